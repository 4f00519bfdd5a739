/**
 * The built-in kinds that controllers touch, with the fields that they read and write. The types are minimal on purpose: a
 * field that is missing here is still in the object. Source: the Kubernetes API reference, v1.34.
 */
import type { Kind, KubeObject } from './types.js';
export type * from './objects.js';
import type {
  Binding,
  ConfigMap,
  CoreEvent,
  CustomResourceDefinition,
  EndpointSlice,
  EventV1,
  LeaseObject,
  Namespace,
  NetworkPolicy,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  ResourceQuota,
  Secret,
  Service,
  ServiceAccount,
  StorageClass,
} from './objects.js';

/** A kind that carries the type of its objects, so that `client.get(POD, ref)` answers a `Pod`. Plain `Kind`s fit too. */
export type KindOf<T extends KubeObject> = Kind & { readonly object?: T };

const core = <T extends KubeObject>(kind: string, plural: string, namespaced = true): KindOf<T> => ({
  group: '',
  version: 'v1',
  kind,
  plural,
  namespaced,
});

const grouped = <T extends KubeObject>(group: string, kind: string, plural: string, namespaced = true): KindOf<T> => ({
  group,
  version: 'v1',
  kind,
  plural,
  namespaced,
});

export const POD = core<Pod>('Pod', 'pods');
export const SERVICE = core<Service>('Service', 'services');
export const SECRET = core<Secret>('Secret', 'secrets');
export const CONFIG_MAP = core<ConfigMap>('ConfigMap', 'configmaps');
export const PVC = core<PersistentVolumeClaim>('PersistentVolumeClaim', 'persistentvolumeclaims');
export const SERVICE_ACCOUNT = core<ServiceAccount>('ServiceAccount', 'serviceaccounts');
export const RESOURCE_QUOTA = core<ResourceQuota>('ResourceQuota', 'resourcequotas');
/** The core/v1 Event, which `kubectl describe` and `kubectl get events` read. */
export const EVENT = core<CoreEvent>('Event', 'events');
export const NAMESPACE = core<Namespace>('Namespace', 'namespaces', false);
export const NODE = core<Node>('Node', 'nodes', false);
export const PERSISTENT_VOLUME = core<PersistentVolume>('PersistentVolume', 'persistentvolumes', false);
export const BINDING = core<Binding>('Binding', 'bindings');
export const EVENT_V1 = grouped<EventV1>('events.k8s.io', 'Event', 'events');
export const LEASE = grouped<LeaseObject>('coordination.k8s.io', 'Lease', 'leases');
export const ENDPOINT_SLICE = grouped<EndpointSlice>('discovery.k8s.io', 'EndpointSlice', 'endpointslices');
export const NETWORK_POLICY = grouped<NetworkPolicy>('networking.k8s.io', 'NetworkPolicy', 'networkpolicies');
export const STORAGE_CLASS = grouped<StorageClass>('storage.k8s.io', 'StorageClass', 'storageclasses', false);
export const CUSTOM_RESOURCE_DEFINITION = grouped<CustomResourceDefinition>(
  'apiextensions.k8s.io',
  'CustomResourceDefinition',
  'customresourcedefinitions',
  false,
);

/** `apiVersion` of a kind: `v1` or `group/v1`. */
export const apiVersionOf = (kind: Kind): string =>
  kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
