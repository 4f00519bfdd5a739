/** The columns that `kubectl get` shows of built-in kinds. Source: the answers of a real API server. */
import { at, isRecord, list, record, text, type Obj } from './object.js';
import { podCells } from './podColumns.js';
import { duration } from './duration.js';

export interface Column {
  name: string;
  type: string;
  format: string;
  description: string;
  priority: number;
}

export interface TableShape {
  columns: Column[];
  cells(object: Obj, now: number): unknown[];
}

const column = (name: string): Column => {
  const wide = name.endsWith('*');
  const plain = wide ? name.slice(0, -1) : name;
  return {
    name: plain,
    type: 'string',
    format: plain === 'Name' ? 'name' : '',
    description: '',
    priority: wide ? 1 : 0,
  };
};
const shape = (names: string[], cells: TableShape['cells']): TableShape => ({ columns: names.map(column), cells });

export const age = (object: Obj, now: number): string => since(object.metadata.creationTimestamp, now);
const since = (time: unknown, now: number): string =>
  typeof time === 'string' && time !== '' ? duration(now - Date.parse(time)) : '<unknown>';
const orNone = (value: unknown): string => text(value) || '<none>';
const count = (value: unknown): number => Object.keys(record(value)).length;
const pairs = (value: unknown): string =>
  Object.entries(record(value))
    .map(([key, item]) => `${key}=${String(item)}`)
    .sort()
    .join(',') || '<none>';
const name = (object: Obj): string => object.metadata.name;

export const NAME_AGE = shape(['Name', 'Age'], (object, now) => [name(object), age(object, now)]);

const MODES: Record<string, string> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};
const modes = (value: unknown): string =>
  [...new Set(list(value).map((mode) => MODES[text(mode)] ?? text(mode)))].join(',');

function servicePorts(object: Obj): string {
  const ports = list(at(object, 'spec', 'ports')).filter(isRecord);
  const one = (port: Record<string, unknown>) =>
    `${String(port['port'])}${port['nodePort'] === undefined ? '' : `:${String(port['nodePort'])}`}/${text(port['protocol']) || 'TCP'}`;
  return ports.map(one).join(',') || '<none>';
}

function phase(object: Obj): string {
  return object.metadata.deletionTimestamp === undefined ? text(at(object, 'status', 'phase')) : 'Terminating';
}

function nodeStatus(object: Obj): string {
  const ready = list(at(object, 'status', 'conditions')).find((item) => isRecord(item) && item['type'] === 'Ready');
  const state = ready === undefined ? 'Unknown' : record(ready)['status'] === 'True' ? 'Ready' : 'NotReady';
  return at(object, 'spec', 'unschedulable') === true ? `${state},SchedulingDisabled` : state;
}

function nodeAddress(object: Obj, type: string): string {
  const found = list(at(object, 'status', 'addresses')).find((item) => isRecord(item) && item['type'] === type);
  return orNone(record(found)['address']);
}

function nodeRoles(object: Obj): string {
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.keys(object.metadata.labels ?? {}).filter((label) => label.startsWith(prefix));
  return (
    roles
      .map((label) => label.slice(prefix.length))
      .sort()
      .join(',') || '<none>'
  );
}

function eventCells(object: Obj, now: number): unknown[] {
  const involved = record(object['involvedObject']);
  const source = record(object['source']);
  const series = record(object['series']);
  const last =
    object['lastTimestamp'] ?? series['lastObservedTime'] ?? object['eventTime'] ?? object.metadata.creationTimestamp;
  const seen = object['firstTimestamp'] ?? object['eventTime'] ?? object.metadata.creationTimestamp;
  const times = Number(series['count'] ?? object['count'] ?? 1);
  const component = text(source['component']) || text(object['reportingComponent']);
  return [
    times > 1 ? `${since(last, now)} (x${times} over ${since(seen, now)})` : since(last, now),
    text(object['type']),
    text(object['reason']),
    `${text(involved['kind']).toLowerCase()}/${text(involved['name'])}`,
    text(involved['fieldPath']),
    text(source['host']) === '' ? component : `${component}, ${text(source['host'])}`,
    text(object['message']).trim(),
    since(seen, now),
    times,
    name(object),
  ];
}

const truncated = (items: string[], most: number): string =>
  items.length > most
    ? `${items.slice(0, most).join(',')} + ${items.length - most} more...`
    : items.join(',') || '<unset>';

function selectorText(value: unknown): string {
  return count(record(value)['matchLabels']) === 0 ? '<none>' : pairs(record(value)['matchLabels']);
}

export const BUILTIN_TABLES: Record<string, TableShape> = {
  pods: shape(
    ['Name', 'Ready', 'Status', 'Restarts', 'Age', 'IP*', 'Node*', 'Nominated Node*', 'Readiness Gates*'],
    (object, now) => podCells(object, now),
  ),
  services: shape(['Name', 'Type', 'Cluster-IP', 'External-IP', 'Port(s)', 'Age', 'Selector*'], (object, now) => [
    name(object),
    text(at(object, 'spec', 'type')),
    orNone(at(object, 'spec', 'clusterIP')),
    list(at(object, 'spec', 'externalIPs')).join(',') || text(at(object, 'spec', 'externalName')) || '<none>',
    servicePorts(object),
    age(object, now),
    pairs(at(object, 'spec', 'selector')),
  ]),
  secrets: shape(['Name', 'Type', 'Data', 'Age'], (object, now) => [
    name(object),
    text(object['type']),
    count(object['data']),
    age(object, now),
  ]),
  configmaps: shape(['Name', 'Data', 'Age'], (object, now) => [
    name(object),
    count(object['data']) + count(object['binaryData']),
    age(object, now),
  ]),
  persistentvolumeclaims: shape(
    [
      'Name',
      'Status',
      'Volume',
      'Capacity',
      'Access Modes',
      'StorageClass',
      'VolumeAttributesClass',
      'Age',
      'VolumeMode*',
    ],
    (object, now) => [
      name(object),
      phase(object),
      text(at(object, 'spec', 'volumeName')),
      text(at(object, 'status', 'capacity', 'storage')),
      modes(at(object, 'status', 'accessModes')),
      text(at(object, 'spec', 'storageClassName')),
      '<unset>',
      age(object, now),
      text(at(object, 'spec', 'volumeMode')),
    ],
  ),
  persistentvolumes: shape(
    [
      'Name',
      'Capacity',
      'Access Modes',
      'Reclaim Policy',
      'Status',
      'Claim',
      'StorageClass',
      'VolumeAttributesClass',
      'Reason',
      'Age',
      'VolumeMode*',
    ],
    (object, now) => {
      const claim = record(at(object, 'spec', 'claimRef'));
      return [
        name(object),
        text(at(object, 'spec', 'capacity', 'storage')),
        modes(at(object, 'spec', 'accessModes')),
        text(at(object, 'spec', 'persistentVolumeReclaimPolicy')),
        phase(object),
        claim['name'] === undefined ? '' : `${text(claim['namespace'])}/${text(claim['name'])}`,
        text(at(object, 'spec', 'storageClassName')),
        '<unset>',
        text(at(object, 'status', 'reason')),
        age(object, now),
        text(at(object, 'spec', 'volumeMode')),
      ];
    },
  ),
  serviceaccounts: shape(['Name', 'Secrets', 'Age'], (object, now) => [
    name(object),
    list(object['secrets']).length,
    age(object, now),
  ]),
  namespaces: shape(['Name', 'Status', 'Age'], (object, now) => [
    name(object),
    text(at(object, 'status', 'phase')),
    age(object, now),
  ]),
  nodes: shape(
    [
      'Name',
      'Status',
      'Roles',
      'Age',
      'Version',
      'Internal-IP*',
      'External-IP*',
      'OS-Image*',
      'Kernel-Version*',
      'Container-Runtime*',
    ],
    (object, now) => {
      const info = record(at(object, 'status', 'nodeInfo'));
      return [
        name(object),
        nodeStatus(object),
        nodeRoles(object),
        age(object, now),
        text(info['kubeletVersion']),
        nodeAddress(object, 'InternalIP'),
        nodeAddress(object, 'ExternalIP'),
        text(info['osImage']) || '<unknown>',
        text(info['kernelVersion']) || '<unknown>',
        text(info['containerRuntimeVersion']) || '<unknown>',
      ];
    },
  ),
  events: shape(
    ['Last Seen', 'Type', 'Reason', 'Object', 'Subobject*', 'Source*', 'Message', 'First Seen*', 'Count*', 'Name*'],
    eventCells,
  ),
  leases: shape(['Name', 'Holder', 'Age'], (object, now) => [
    name(object),
    text(at(object, 'spec', 'holderIdentity')),
    age(object, now),
  ]),
  endpointslices: shape(['Name', 'AddressType', 'Ports', 'Endpoints', 'Age'], (object, now) => [
    name(object),
    text(object['addressType']),
    truncated(
      list(object['ports']).map((port) => String(record(port)['port'] ?? '*')),
      3,
    ),
    truncated(
      list(object['endpoints']).flatMap((endpoint) => list(record(endpoint)['addresses']).map(text)),
      3,
    ),
    age(object, now),
  ]),
  storageclasses: shape(
    ['Name', 'Provisioner', 'ReclaimPolicy', 'VolumeBindingMode', 'AllowVolumeExpansion', 'Age'],
    (object, now) => [
      object.metadata.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true'
        ? `${name(object)} (default)`
        : name(object),
      text(object['provisioner']),
      text(object['reclaimPolicy']) || 'Delete',
      text(object['volumeBindingMode']) || 'Immediate',
      object['allowVolumeExpansion'] === true,
      age(object, now),
    ],
  ),
  networkpolicies: shape(['Name', 'Pod-Selector', 'Age'], (object, now) => [
    name(object),
    selectorText(at(object, 'spec', 'podSelector')),
    age(object, now),
  ]),
  resourcequotas: shape(['Name', 'Request', 'Limit', 'Age'], (object, now) => [name(object), '', '', age(object, now)]),
  customresourcedefinitions: {
    columns: [column('Name'), { ...column('Created At'), type: 'date' }],
    cells: (object) => [name(object), object.metadata.creationTimestamp ?? ''],
  },
};
