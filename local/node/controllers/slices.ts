/** EndpointSlices of a Service, computed from its pods as the real endpointslice controller does. Pure. */
import { stableHash } from '../../../kube/apply.js';
import type { Endpoint, EndpointSlice, Pod, Service, ServicePort } from '../../../kube/kinds.js';

export const SERVICE_NAME = 'kubernetes.io/service-name';
export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const MANAGER = 'endpointslice-controller.k8s.io';
const HEADLESS = 'service.kubernetes.io/headless';
const MAX_ENDPOINTS = 100;

type SlicePort = NonNullable<EndpointSlice['ports']>[number];

export const selects = (
  selector: Record<string, string> | undefined,
  labels: Record<string, string> | undefined,
): boolean =>
  selector !== undefined &&
  Object.keys(selector).length > 0 &&
  Object.entries(selector).every(([key, value]) => labels?.[key] === value);

/** The slices that should be: one for each distinct set of ports (and for each 100 endpoints). */
export function slicesOf(service: Service, pods: readonly Pod[]): EndpointSlice[] {
  const groups = new Map<string, { ports: SlicePort[]; endpoints: Endpoint[] }>();
  const chosen = pods
    .filter(
      (pod) =>
        pod.metadata.namespace === service.metadata.namespace && selects(service.spec.selector, pod.metadata.labels),
    )
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const pod of chosen) {
    const endpoint = endpointOf(service, pod);
    if (endpoint === undefined) continue;
    const ports = (service.spec.ports ?? []).flatMap((port) => portOf(port, pod));
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    group.endpoints.push(endpoint);
    groups.set(key, group);
  }
  return [...groups.values()].flatMap(({ ports, endpoints }) =>
    chunks(endpoints).map((chunk, index) => slice(service, ports, chunk, index)),
  );
}

function endpointOf(service: Service, pod: Pod): Endpoint | undefined {
  const { podIP, phase, conditions } = pod.status ?? {};
  if (podIP === undefined || podIP === '' || phase === 'Succeeded' || phase === 'Failed') return undefined;
  const { name, namespace, uid, deletionTimestamp } = pod.metadata;
  const podReady = conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  const anyway = service.spec.publishNotReadyAddresses === true;
  const terminating = deletionTimestamp !== undefined;
  const { hostname, subdomain, nodeName } = pod.spec;
  return {
    addresses: [podIP],
    conditions: { ready: anyway || (podReady && !terminating), serving: podReady || anyway, terminating },
    ...(hostname !== undefined && subdomain === service.metadata.name ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: {
      kind: 'Pod',
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    },
  };
}

/** The port under this pod's number; none when the pod has no port of that name. */
function portOf({ name = '', port, targetPort, protocol = 'TCP', appProtocol }: ServicePort, pod: Pod): SlicePort[] {
  const target = targetPort ?? port;
  const number = typeof target === 'number' ? target : namedPort(target, protocol, pod);
  if (number === undefined) return [];
  return [{ name, port: number, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) }];
}

const namedPort = (name: string, protocol: string, { spec }: Pod): number | undefined =>
  [...spec.containers, ...(spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always')]
    .flatMap(({ ports }) => ports ?? [])
    .find((port) => port.name === name && (port.protocol ?? 'TCP') === protocol)?.containerPort;

function slice(service: Service, ports: SlicePort[], endpoints: Endpoint[], index: number): EndpointSlice {
  const { name, namespace, uid, labels } = service.metadata;
  const headless = service.spec.clusterIP === 'None';
  const hash = stableHash([ports, index])
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '')
    .slice(0, 8);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${hash}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...labels, ...(headless ? { [HEADLESS]: '' } : {}), [SERVICE_NAME]: name, [MANAGED_BY]: MANAGER },
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Service', name, uid: uid ?? '', controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType: 'IPv4',
    endpoints,
    ports,
  };
}

function chunks<T>(items: T[]): T[][] {
  const all: T[][] = [];
  for (let at = 0; at < items.length; at += MAX_ENDPOINTS) all.push(items.slice(at, at + MAX_ENDPOINTS));
  return all;
}

export interface SliceChanges {
  create: EndpointSlice[];
  update: EndpointSlice[];
  remove: EndpointSlice[];
}

/** What to write, so that `existing` (this controller's slices of the service) becomes `wanted`. */
export function changesOf(existing: readonly EndpointSlice[], wanted: readonly EndpointSlice[]): SliceChanges {
  const before = new Map(existing.map((slice) => [slice.metadata.name, slice]));
  const after = new Set(wanted.map(({ metadata }) => metadata.name));
  const content = ({ endpoints, ports, metadata }: EndpointSlice) =>
    stableHash([endpoints, ports ?? [], metadata.labels]);
  return {
    create: wanted.filter(({ metadata }) => !before.has(metadata.name)),
    update: wanted.flatMap((slice) => {
      const old = before.get(slice.metadata.name);
      if (old === undefined || content(old) === content(slice)) return [];
      return [{ ...slice, metadata: { ...slice.metadata, resourceVersion: old.metadata.resourceVersion ?? '' } }];
    }),
    remove: existing.filter(({ metadata }) => !after.has(metadata.name)),
  };
}
