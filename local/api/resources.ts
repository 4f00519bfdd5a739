/** The served resources: the built-in ones as a table here, custom ones added while running from their CRDs. */
import type { Kind } from '../../kube/types.js';
import { at, record, text, type Obj } from './object.js';
import { builtinSchema, type Schema } from './schema.js';
import { BUILTIN_TABLES, NAME_AGE, type TableShape } from './columns.js';
import { rulesOf, type Rules } from './rules.js';

export interface ScalePaths {
  specReplicasPath: string;
  statusReplicasPath: string;
  labelSelectorPath?: string;
}

/** One resource in one version, with all that the verbs must know of it. */
export interface Resource extends Kind {
  singular: string;
  shortNames: string[];
  categories: string[];
  /** `group/plural` under which its objects are kept. */
  key: string;
  custom: boolean;
  /** Version in which its objects are kept. */
  storageVersion: string;
  status: boolean;
  scale?: ScalePaths;
  /** Whether metadata.generation counts changes of everything but metadata and status. */
  generation: boolean;
  schema: Schema;
  table: TableShape;
  /** Fields that a field selector may name beside metadata.name and metadata.namespace. */
  fields: Record<string, (object: Obj) => string>;
  /** Names of list kind, of subresources beside status and scale. */
  listKind: string;
  subresources: string[];
  rules: Rules;
}

export const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

const path =
  (...keys: string[]) =>
  (object: Obj): string => {
    const value = at(object, ...keys);
    return typeof value === 'boolean' || typeof value === 'number' ? String(value) : text(value);
  };

const INVOLVED = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'];
const EVENT_FIELDS = {
  ...Object.fromEntries(INVOLVED.map((key) => [`involvedObject.${key}`, path('involvedObject', key)])),
  reason: path('reason'),
  type: path('type'),
  reportingComponent: path('reportingComponent'),
  source: (object: Obj) => text(record(object['source'])['component']) || text(object['reportingComponent']),
};

const FIELDS: Record<string, Resource['fields']> = {
  pods: {
    'spec.nodeName': path('spec', 'nodeName'),
    'spec.restartPolicy': path('spec', 'restartPolicy'),
    'spec.schedulerName': path('spec', 'schedulerName'),
    'spec.serviceAccountName': path('spec', 'serviceAccountName'),
    'spec.hostNetwork': path('spec', 'hostNetwork'),
    'status.phase': path('status', 'phase'),
    'status.podIP': path('status', 'podIP'),
    'status.nominatedNodeName': path('status', 'nominatedNodeName'),
  },
  events: EVENT_FIELDS,
  secrets: { type: path('type') },
  namespaces: { 'status.phase': path('status', 'phase') },
  nodes: { 'spec.unschedulable': (object) => path('spec', 'unschedulable')(object) || 'false' },
  services: { 'spec.clusterIP': path('spec', 'clusterIP'), 'spec.type': path('spec', 'type') },
};

interface Row {
  kind: string;
  plural: string;
  group?: string;
  namespaced?: false;
  shortNames?: string[];
  categories?: string[];
  status?: true;
  generation?: true;
  subresources?: string[];
}

const ROWS: Row[] = [
  {
    kind: 'Namespace',
    plural: 'namespaces',
    namespaced: false,
    shortNames: ['ns'],
    status: true,
    subresources: ['finalize'],
  },
  { kind: 'Node', plural: 'nodes', namespaced: false, shortNames: ['no'], status: true },
  {
    kind: 'Pod',
    plural: 'pods',
    shortNames: ['po'],
    categories: ['all'],
    status: true,
    generation: true,
    subresources: ['attach', 'binding', 'exec', 'log', 'portforward'],
  },
  { kind: 'Service', plural: 'services', shortNames: ['svc'], categories: ['all'], status: true },
  { kind: 'Secret', plural: 'secrets' },
  { kind: 'ConfigMap', plural: 'configmaps', shortNames: ['cm'] },
  { kind: 'PersistentVolumeClaim', plural: 'persistentvolumeclaims', shortNames: ['pvc'], status: true },
  { kind: 'PersistentVolume', plural: 'persistentvolumes', namespaced: false, shortNames: ['pv'], status: true },
  { kind: 'ServiceAccount', plural: 'serviceaccounts', shortNames: ['sa'] },
  { kind: 'ResourceQuota', plural: 'resourcequotas', shortNames: ['quota'], status: true },
  { kind: 'Event', plural: 'events', shortNames: ['ev'] },
  { kind: 'Event', plural: 'events', group: 'events.k8s.io', shortNames: ['ev'] },
  { kind: 'Lease', plural: 'leases', group: 'coordination.k8s.io' },
  { kind: 'EndpointSlice', plural: 'endpointslices', group: 'discovery.k8s.io', generation: true },
  {
    kind: 'NetworkPolicy',
    plural: 'networkpolicies',
    group: 'networking.k8s.io',
    shortNames: ['netpol'],
    generation: true,
  },
  { kind: 'StorageClass', plural: 'storageclasses', group: 'storage.k8s.io', namespaced: false, shortNames: ['sc'] },
  {
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    group: 'apiextensions.k8s.io',
    namespaced: false,
    shortNames: ['crd', 'crds'],
    categories: ['api-extensions'],
    status: true,
    generation: true,
  },
];

function fromRow(row: Row): Resource {
  const group = row.group ?? '';
  return {
    group,
    version: 'v1',
    kind: row.kind,
    plural: row.plural,
    namespaced: row.namespaced ?? true,
    singular: row.kind.toLowerCase(),
    shortNames: row.shortNames ?? [],
    categories: row.categories ?? [],
    // Both event APIs show the same objects.
    key: row.plural === 'events' ? 'core/events' : `${group === '' ? 'core' : group}/${row.plural}`,
    custom: false,
    storageVersion: 'v1',
    status: row.status ?? false,
    generation: row.generation ?? false,
    schema: builtinSchema(group, 'v1', row.kind) ?? {},
    table: BUILTIN_TABLES[row.plural] ?? NAME_AGE,
    fields: group === 'events.k8s.io' ? {} : (FIELDS[row.plural] ?? {}),
    listKind: `${row.kind}List`,
    subresources: row.subresources ?? [],
    rules: rulesOf(row.plural),
  };
}

export interface Registry {
  find(group: string, version: string, plural: string): Resource | undefined;
  /** Any version of the kind: for owner references. */
  byKind(group: string, kind: string): Resource | undefined;
  all(): Resource[];
  hasGroupVersion(group: string, version: string): boolean;
  /** Replaces the custom resources of one CRD. */
  setCustom(crd: string, resources: Resource[]): void;
  /** Rises with every change: for documents derived from the registry. */
  revision(): number;
}

export function createRegistry(): Registry {
  const builtin = ROWS.map(fromRow);
  const custom = new Map<string, Resource[]>();
  let all = builtin;
  let revision = 1;
  return {
    find: (group, version, plural) =>
      all.find((of) => of.plural === plural && of.group === group && of.version === version),
    byKind: (group, kind) => all.find((of) => of.kind === kind && of.group === group),
    all: () => all,
    hasGroupVersion: (group, version) => all.some((of) => of.group === group && of.version === version),
    setCustom(crd, resources) {
      if (resources.length === 0) custom.delete(crd);
      else custom.set(crd, resources);
      all = [...builtin, ...[...custom.values()].flat()];
      revision += 1;
    },
    revision: () => revision,
  };
}

/** The resource whose schema and rules fit the stored form of `of` (both event APIs keep core Events). */
export const apiVersionOf = (of: Pick<Kind, 'group' | 'version'>): string =>
  of.group === '' ? of.version : `${of.group}/${of.version}`;
