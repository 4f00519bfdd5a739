/** Defaults and checks of the small built-in kinds. Source: the Kubernetes API reference; only what protects the user. */
import type { Cause } from './errors.js';
import { at, isRecord, list, record, same, text, type Json, type Obj } from './object.js';
import { isQuantity } from './quantity.js';
import { duplicate, forbiddenField, invalidValue, requiredValue, unsupported } from './validate.js';

type Part = {
  prepare?(object: Obj, old: Obj | undefined): void;
  validate?(object: Obj, old: Obj | undefined): Cause[];
  firstStatus?(object: Obj): unknown;
};

export const fill = (target: Json, defaults: Json): void => {
  for (const [key, value] of Object.entries(defaults)) target[key] ??= value;
};

export const namespaceRules: Part = {
  prepare(object, old) {
    object.metadata.labels = { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name };
    if (old === undefined) object['spec'] = { finalizers: ['kubernetes'] };
  },
  firstStatus: () => ({ phase: 'Active' }),
};

const DATA_KEY = /^[-._a-zA-Z0-9]+$/;

function dataKeys(object: Obj, field: string): Cause[] {
  const faulty = Object.keys(record(object[field])).filter((key) => !DATA_KEY.test(key) || key.length > 253);
  return faulty.map((key) =>
    invalidValue(
      `${field}[${key}]`,
      key,
      `a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`,
    ),
  );
}

function frozen(object: Obj, old: Obj | undefined, fields: string[]): Cause[] {
  if (old?.['immutable'] !== true) return [];
  const changed = fields.filter((field) => !same(object[field], old[field]));
  return changed.map((field) => forbiddenField(field, 'field is immutable when `immutable` is set'));
}

export const secretRules: Part = {
  prepare(object) {
    const plain = record(object['stringData']);
    const coded = Object.entries(plain).map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')]);
    if (coded.length > 0) object['data'] = { ...record(object['data']), ...(Object.fromEntries(coded) as Json) };
    Reflect.deleteProperty(object, 'stringData');
    object['type'] ??= 'Opaque';
  },
  validate(object, old) {
    const causes = [...dataKeys(object, 'data'), ...frozen(object, old, ['immutable', 'data'])];
    if (old !== undefined && old['type'] !== object['type'])
      causes.push(invalidValue('type', object['type'], 'field is immutable'));
    return causes;
  },
};

export const configMapRules: Part = {
  validate: (object, old) => [
    ...dataKeys(object, 'data'),
    ...dataKeys(object, 'binaryData'),
    ...frozen(object, old, ['immutable', 'data', 'binaryData']),
  ],
};

export const serviceRules: Part = {
  prepare(object) {
    const spec = record((object['spec'] ??= {}));
    fill(spec, { type: 'ClusterIP', sessionAffinity: 'None', internalTrafficPolicy: 'Cluster' });
    if (spec['type'] === 'ExternalName') return;
    fill(spec, { ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' });
    for (const port of list(spec['ports']).filter(isRecord)) fill(port, { protocol: 'TCP', targetPort: port['port'] });
    if (spec['clusterIP'] === 'None') spec['clusterIPs'] ??= ['None'];
  },
  validate(object, old) {
    const spec = record(object['spec']);
    const ports = list(spec['ports']).filter(isRecord);
    const causes = ports.flatMap((port, index) => servicePort(port, `spec.ports[${index}]`, ports.length > 1));
    const headless = spec['clusterIP'] === 'None' || spec['type'] === 'ExternalName';
    if (ports.length === 0 && !headless) causes.push(requiredValue('spec.ports'));
    const names = ports.map((port) => text(port['name']));
    names.forEach((name, index) => {
      if (name !== '' && names.indexOf(name) !== index) causes.push(duplicate(`spec.ports[${index}].name`, name));
    });
    if (!['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'].includes(text(spec['type'])))
      causes.push(unsupported('spec.type', spec['type'], ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']));
    const before = text(at(old, 'spec', 'clusterIP'));
    if (before !== '' && before !== text(spec['clusterIP']))
      causes.push(invalidValue('spec.clusterIPs[0]', spec['clusterIP'] ?? '', 'may not change once set'));
    return causes;
  },
  firstStatus: () => ({ loadBalancer: {} }),
};

const PORT_RANGE = 'must be between 1 and 65535, inclusive';
export const isPort = (value: unknown): boolean =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65535;

function servicePort(port: Json, field: string, several: boolean): Cause[] {
  const causes: Cause[] = [];
  if (several && text(port['name']) === '') causes.push(requiredValue(`${field}.name`));
  if (!isPort(port['port'])) causes.push(invalidValue(`${field}.port`, port['port'] ?? 0, PORT_RANGE));
  if (!['TCP', 'UDP', 'SCTP'].includes(text(port['protocol'])))
    causes.push(unsupported(`${field}.protocol`, port['protocol'], ['SCTP', 'TCP', 'UDP']));
  return causes;
}

/** Checks every quantity of a map of resources. */
export function quantities(value: unknown, field: string): Cause[] {
  return Object.entries(record(value)).flatMap(([key, amount]) =>
    isQuantity(String(amount))
      ? []
      : [
          invalidValue(
            `${field}[${key}]`,
            amount,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
          ),
        ],
  );
}

export const claimRules: Part = {
  prepare(object) {
    fill(record((object['spec'] ??= {})), { volumeMode: 'Filesystem' });
  },
  validate(object, old) {
    const spec = record(object['spec']);
    const causes = quantities(at(spec, 'resources', 'requests'), 'spec.resources.requests');
    if (list(spec['accessModes']).length === 0)
      causes.push(requiredValue('spec.accessModes', 'at least 1 access mode is required'));
    if (at(spec, 'resources', 'requests', 'storage') === undefined)
      causes.push(requiredValue('spec.resources[storage]'));
    if (old !== undefined && !same(fixedClaim(object), fixedClaim(old)) && text(at(old, 'spec', 'volumeName')) !== '')
      causes.push(
        forbiddenField(
          'spec',
          'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
        ),
      );
    return causes;
  },
  firstStatus: () => ({ phase: 'Pending' }),
};

function fixedClaim(object: Obj): Json {
  const { resources: _resources, volumeName: _volume, ...fixed } = record(object['spec']);
  return fixed;
}

export const volumeRules: Part = {
  prepare(object) {
    fill(record((object['spec'] ??= {})), { persistentVolumeReclaimPolicy: 'Retain', volumeMode: 'Filesystem' });
  },
  validate(object) {
    const causes = quantities(at(object, 'spec', 'capacity'), 'spec.capacity');
    if (at(object, 'spec', 'capacity', 'storage') === undefined) causes.push(requiredValue('spec.capacity'));
    if (list(at(object, 'spec', 'accessModes')).length === 0) causes.push(requiredValue('spec.accessModes'));
    return causes;
  },
  firstStatus: () => ({ phase: 'Pending' }),
};

export const sliceRules: Part = {
  prepare(object) {
    object['endpoints'] ??= [];
    for (const port of list(object['ports']).filter(isRecord)) fill(port, { name: '', protocol: 'TCP' });
  },
  validate(object, old) {
    const kinds = ['IPv4', 'IPv6', 'FQDN'];
    const causes = text(object['addressType']) === '' ? [requiredValue('addressType')] : [];
    if (causes.length === 0 && !kinds.includes(text(object['addressType'])))
      causes.push(unsupported('addressType', object['addressType'], kinds));
    if (old !== undefined && old['addressType'] !== object['addressType'])
      causes.push(invalidValue('addressType', object['addressType'], 'field is immutable'));
    list(object['endpoints']).forEach((endpoint, index) => {
      if (list(record(endpoint)['addresses']).length === 0)
        causes.push(requiredValue(`endpoints[${index}].addresses`, 'must contain at least 1 address'));
    });
    return causes;
  },
};

export const storageClassRules: Part = {
  prepare(object) {
    fill(object, { reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' });
  },
  validate: (object) => (text(object['provisioner']) === '' ? [requiredValue('provisioner')] : []),
};
