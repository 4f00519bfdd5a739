/** Discovery: which groups, versions and resources there are; plain and aggregated. */
import { createHash } from 'node:crypto';
import type { Json } from './object.js';
import { apiVersionOf, VERBS, type Registry, type Resource } from './resources.js';

/** Groups without kept objects: reviews that are answered at once. */
export const REVIEWS: readonly { group: string; kind: string; plural: string }[] = [
  { group: 'authorization.k8s.io', kind: 'SelfSubjectAccessReview', plural: 'selfsubjectaccessreviews' },
  { group: 'authorization.k8s.io', kind: 'SelfSubjectRulesReview', plural: 'selfsubjectrulesreviews' },
  { group: 'authentication.k8s.io', kind: 'SelfSubjectReview', plural: 'selfsubjectreviews' },
];

const SUBRESOURCES: Record<string, { kind: string; verbs: string[] }> = {
  attach: { kind: 'PodAttachOptions', verbs: ['create', 'get'] },
  binding: { kind: 'Binding', verbs: ['create'] },
  exec: { kind: 'PodExecOptions', verbs: ['create', 'get'] },
  finalize: { kind: 'Namespace', verbs: ['update'] },
  log: { kind: 'Pod', verbs: ['get'] },
  portforward: { kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
};

interface Sub {
  name: string;
  group: string;
  version: string;
  kind: string;
  verbs: string[];
}

function subresourcesOf(resource: Resource): Sub[] {
  const own = { group: resource.group, version: resource.version };
  const verbs = ['get', 'patch', 'update'];
  return [
    ...resource.subresources.map((name) => ({ name, ...own, kind: '', verbs: ['get'], ...SUBRESOURCES[name] })),
    ...(resource.scale === undefined
      ? []
      : [{ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs }]),
    ...(resource.status ? [{ name: 'status', ...own, kind: resource.kind, verbs }] : []),
  ];
}

interface GroupVersion {
  group: string;
  version: string;
  resources: Resource[];
  reviews: (typeof REVIEWS)[number][];
}

function groupVersions(registry: Registry): GroupVersion[] {
  const found = new Map<string, GroupVersion>();
  const of = (group: string, version: string): GroupVersion => {
    const key = `${group}/${version}`;
    const made = found.get(key) ?? { group, version, resources: [], reviews: [] };
    found.set(key, made);
    return made;
  };
  for (const resource of registry.all()) of(resource.group, resource.version).resources.push(resource);
  for (const review of REVIEWS) of(review.group, 'v1').reviews.push(review);
  return [...found.values()];
}

const optional = (resource: Resource): Json => ({
  ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
  ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
});

/** GET /api/v1 and /apis/{group}/{version}; undefined when there is no such version. */
export function resourceList(registry: Registry, group: string, version: string): Json | undefined {
  const found = groupVersions(registry).find((one) => one.group === group && one.version === version);
  if (found === undefined) return undefined;
  const resources = found.resources.flatMap((resource) => [
    {
      name: resource.plural,
      singularName: resource.singular,
      namespaced: resource.namespaced,
      kind: resource.kind,
      verbs: VERBS,
      ...optional(resource),
      storageVersionHash: createHash('sha256').update(resource.key).digest('base64').slice(0, 12),
    },
    ...subresourcesOf(resource).map((sub) => ({
      name: `${resource.plural}/${sub.name}`,
      singularName: '',
      namespaced: resource.namespaced,
      ...(sub.group === resource.group ? {} : { group: sub.group, version: sub.version }),
      kind: sub.kind,
      verbs: sub.verbs,
    })),
  ]);
  const reviews = found.reviews.map(({ kind, plural }) => ({
    name: plural,
    singularName: kind.toLowerCase(),
    namespaced: false,
    kind,
    verbs: ['create'],
  }));
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf(found),
    resources: [...resources, ...reviews],
  };
}

export const coreVersions = (address: string): Json => ({
  kind: 'APIVersions',
  versions: ['v1'],
  serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
});

function groups(registry: Registry): { name: string; versions: GroupVersion[] }[] {
  const names = new Set(
    groupVersions(registry)
      .map((one) => one.group)
      .filter((group) => group !== ''),
  );
  return [...names].map((name) => ({ name, versions: groupVersions(registry).filter((one) => one.group === name) }));
}

function groupBody({ name, versions }: { name: string; versions: GroupVersion[] }): Json {
  const said = versions.map((one) => ({ groupVersion: apiVersionOf(one), version: one.version }));
  return { name, versions: said, preferredVersion: said[0] };
}

/** GET /apis. */
export const groupList = (registry: Registry): Json => ({
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: groups(registry).map(groupBody),
});

/** GET /apis/{group}. */
export function groupOf(registry: Registry, name: string): Json | undefined {
  const found = groups(registry).find((one) => one.name === name);
  return found === undefined ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...groupBody(found) };
}

function aggregatedResource(resource: Resource): Json {
  const { group, version, kind } = resource;
  const subresources = subresourcesOf(resource).map((sub) => ({
    subresource: sub.name,
    responseKind: { group: sub.group, version: sub.version, kind: sub.kind },
    verbs: sub.verbs,
  }));
  return {
    resource: resource.plural,
    responseKind: { group, version, kind },
    scope: resource.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: resource.singular,
    verbs: VERBS,
    ...optional(resource),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}

/** /api and /apis in the aggregated form (apidiscovery.k8s.io/v2). */
export function aggregated(registry: Registry, core: boolean): Json {
  const all = core
    ? [{ name: '', versions: groupVersions(registry).filter((one) => one.group === '') }]
    : groups(registry);
  const items = all.map(({ name, versions }) => ({
    metadata: name === '' ? {} : { name },
    versions: versions.map((one) => ({
      version: one.version,
      resources: [
        ...one.resources.map(aggregatedResource),
        ...one.reviews.map(({ group, kind, plural }) => ({
          resource: plural,
          responseKind: { group, version: 'v1', kind },
          scope: 'Cluster',
          singularResource: kind.toLowerCase(),
          verbs: ['create'],
        })),
      ],
      freshness: 'Current',
    })),
  }));
  return { kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2', metadata: {}, items };
}

export const AGGREGATED_TYPE = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
export const wantsAggregated = (accept: string | undefined): boolean =>
  (accept ?? '')
    .split(',')
    .map((range) => range.split(';').map((part) => part.trim()))
    .some(
      (parts) =>
        parts[0] === 'application/json' && parts.includes('v=v2') && parts.includes('as=APIGroupDiscoveryList'),
    );
