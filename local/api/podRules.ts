/** Defaults and checks of pods. Source: the Kubernetes API reference; only what Sandlot's pods use. */
import type { Cause } from './errors.js';
import { clone, isRecord, list, record, same, text, type Json, type Obj } from './object.js';
import { labelFault, subdomainFault } from './quantity.js';
import { fill, isPort, quantities } from './coreRules.js';
import { duplicate, forbiddenField, invalidValue, requiredValue, unsupported } from './validate.js';

const containersOf = (spec: Json, field: string): Json[] => list(spec[field]).filter(isRecord);

function probeDefaults(probe: unknown): void {
  if (!isRecord(probe)) return;
  fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  if (isRecord(probe['httpGet'])) fill(probe['httpGet'], { path: '/', scheme: 'HTTP' });
}

function containerDefaults(container: Json): void {
  const image = text(container['image']);
  const moving = !image.includes('@') && (!/:[^/]*$/.test(image) || image.endsWith(':latest'));
  fill(container, {
    imagePullPolicy: moving ? 'Always' : 'IfNotPresent',
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
  });
  for (const port of list(container['ports']).filter(isRecord)) fill(port, { protocol: 'TCP' });
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) probeDefaults(container[probe]);
  for (const env of list(container['env']).filter(isRecord)) {
    const reference = record(record(env['valueFrom'])['fieldRef']);
    if (reference['fieldPath'] !== undefined) fill(reference, { apiVersion: 'v1' });
  }
  // What is limited and not requested is requested in full.
  const resources = record(container['resources']);
  if (isRecord(resources['limits'])) {
    const requests = record((resources['requests'] ??= {}));
    fill(requests, clone(resources['limits']));
  }
}

function volumeDefaults(volume: Json): void {
  for (const kind of ['secret', 'configMap', 'projected'])
    if (isRecord(volume[kind])) fill(volume[kind] as Json, { defaultMode: 420 });
}

function prepare(object: Obj): void {
  const spec = record((object['spec'] ??= {}));
  fill(spec, {
    restartPolicy: 'Always',
    dnsPolicy: 'ClusterFirst',
    terminationGracePeriodSeconds: 30,
    securityContext: {},
    schedulerName: 'default-scheduler',
    enableServiceLinks: true,
    serviceAccountName: 'default',
    priority: 0,
    preemptionPolicy: 'PreemptLowerPriority',
  });
  spec['serviceAccount'] ??= spec['serviceAccountName'];
  for (const field of ['containers', 'initContainers'])
    for (const container of containersOf(spec, field)) containerDefaults(container);
  for (const volume of containersOf(spec, 'volumes')) volumeDefaults(volume);
}

function qosClass(object: Obj): string {
  const containers = containersOf(record(object['spec']), 'containers');
  const resources = containers.map((container) => record(container['resources']));
  if (
    resources.every(
      (one) => Object.keys(record(one['requests'])).length + Object.keys(record(one['limits'])).length === 0,
    )
  )
    return 'BestEffort';
  const guaranteed = resources.every((one) => {
    const limits = record(one['limits']);
    return limits['cpu'] !== undefined && limits['memory'] !== undefined && same(record(one['requests']), limits);
  });
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

function containerFaults(container: Json, field: string, volumes: Set<string>): Cause[] {
  const causes: Cause[] = [];
  const name = text(container['name']);
  if (name === '') causes.push(requiredValue(`${field}.name`));
  else if (labelFault(name) !== '') causes.push(invalidValue(`${field}.name`, name, labelFault(name)));
  if (text(container['image']) === '') causes.push(requiredValue(`${field}.image`));
  list(container['env']).forEach((env, index) => {
    if (text(record(env)['name']) === '') causes.push(requiredValue(`${field}.env[${index}].name`));
  });
  list(container['volumeMounts']).forEach((mount, index) => {
    const here = `${field}.volumeMounts[${index}]`;
    const volume = text(record(mount)['name']);
    if (!volumes.has(volume))
      causes.push({
        reason: 'FieldValueNotFound',
        field: `${here}.name`,
        message: `Not found: ${JSON.stringify(volume)}`,
      });
    if (text(record(mount)['mountPath']) === '') causes.push(requiredValue(`${here}.mountPath`));
  });
  list(container['ports']).forEach((port, index) => {
    const number = record(port)['containerPort'];
    if (!isPort(number))
      causes.push(
        number === undefined
          ? requiredValue(`${field}.ports[${index}].containerPort`)
          : invalidValue(`${field}.ports[${index}].containerPort`, number, 'must be between 1 and 65535, inclusive'),
      );
  });
  for (const kind of ['requests', 'limits'])
    causes.push(...quantities(record(container['resources'])[kind], `${field}.resources.${kind}`));
  return causes;
}

function specFaults(spec: Json): Cause[] {
  const causes: Cause[] = [];
  const volumes = new Set(containersOf(spec, 'volumes').map((volume) => text(volume['name'])));
  const names = new Set<string>();
  for (const field of ['initContainers', 'containers'])
    containersOf(spec, field).forEach((container, index) => {
      causes.push(...containerFaults(container, `spec.${field}[${index}]`, volumes));
      const name = text(container['name']);
      if (names.has(name)) causes.push(duplicate(`spec.${field}[${index}].name`, name));
      names.add(name);
    });
  if (containersOf(spec, 'containers').length === 0) causes.push(requiredValue('spec.containers'));
  if (!['Always', 'OnFailure', 'Never'].includes(text(spec['restartPolicy'])))
    causes.push(unsupported('spec.restartPolicy', spec['restartPolicy'], ['Always', 'OnFailure', 'Never']));
  for (const field of ['hostname', 'subdomain']) {
    const value = text(spec[field]);
    if (value !== '' && labelFault(value) !== '') causes.push(invalidValue(`spec.${field}`, value, labelFault(value)));
  }
  const account = text(spec['serviceAccountName']);
  if (subdomainFault(account) !== '')
    causes.push(invalidValue('spec.serviceAccountName', account, subdomainFault(account)));
  return causes;
}

/** What may be changed in a pod: images, its deadline, added tolerations; and a shorter grace period when it was negative. */
function mutable(spec: Json): Json {
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, ...fixed } = clone(spec);
  for (const field of ['containers', 'initContainers'])
    for (const container of containersOf(fixed, field)) Reflect.deleteProperty(container, 'image');
  return fixed;
}

const MUTABLE_ONLY =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

export const podRules = {
  prepare,
  validate(object: Obj, old: Obj | undefined): Cause[] {
    const spec = record(object['spec']);
    const causes = specFaults(spec);
    if (old !== undefined && causes.length === 0 && !same(mutable(spec), mutable(record(old['spec']))))
      causes.push(forbiddenField('spec', MUTABLE_ONLY));
    return causes;
  },
  firstStatus: (object: Obj): unknown => ({ phase: 'Pending', qosClass: qosClass(object) }),
};
