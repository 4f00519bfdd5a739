/** What the operator knows: one label-scoped watch and cache per kind, and which controller hears of which change. */
import { ANNOTATION, LABEL, SANDBOX_APP, STATE_CLAIMED, STATE_WARM } from '../contracts/labels.js';
import {
  SANDBOX,
  SANDBOX_POOL,
  SANDBOX_TEMPLATE,
  type Sandbox,
  type SandboxPool,
  type SandboxTemplate,
} from '../contracts/resources.js';
import { createFreshCache, type FreshCache } from '../kube/fresh.js';
import { keyOf } from '../kube/cache.js';
import type { KubeClient } from '../kube/client.js';
import {
  POD,
  PVC,
  SECRET,
  SERVICE,
  type KindOf,
  type PersistentVolumeClaim,
  type Pod,
  type Secret,
  type Service,
} from '../kube/kinds.js';
import type { Log } from '../kube/log.js';
import type { KubeMetrics } from '../kube/metrics.js';
import { startReflector, type Reflector } from '../kube/reflector.js';
import type { Clock, KubeObject } from '../kube/types.js';
import { agentTarget } from './agent.js';
import { hasPlace } from './limits/place.js';
import { waitsFor } from './pool/waiting.js';

export interface World {
  /**
   * `waiting`: those without slot by the `namespace/name` of their template; `slot`: by `namespace/slot`; `placed`: those that
   * count against limits, by `namespace …` and `owner …`.
   */
  sandboxes: FreshCache<Sandbox, 'waiting' | 'slot' | 'placed'>;
  templates: FreshCache<SandboxTemplate, never>;
  pools: FreshCache<SandboxPool, 'template'>;
  /**
   * `sandbox`: pods by the uid of their Sandbox; `warm`: unclaimed pods by `namespace/pool`; `claimable`: those of them that
   * are ready, by `claimableKey`; `initKeys`: pods by `namespace/name` of the Secret with their init key; others by owner
   * label and namespace.
   */
  pods: FreshCache<Pod, keyof typeof podIndexes>;
  claims: FreshCache<PersistentVolumeClaim, 'warm'>;
  /** Without their data. */
  secrets: FreshCache<Secret, 'warm'>;
  services: FreshCache<Service, never>;
  /** Names of the watches whose first list is not complete. */
  unsynced(): string[];
  /** Resolves when all first lists are in, or false when stopped before. */
  synced: Promise<boolean>;
  /**
   * Takes in what the server has of sandboxes and pods at this moment, ahead of the watches: what the leader before wrote
   * last may not be told yet, and limits would be counted without it. Rejects with KubeErrors.
   */
  reread(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** Who wants to hear of a change. Keys are `namespace/name`. */
export interface Listeners {
  sandbox(key: string): void;
  pool(key: string): void;
  template(key: string): void;
  /** The pod of a sandbox is gone. `owner`: its label. */
  freed(namespace: string, owner: string | undefined): void;
}

export interface WorldOptions {
  client: Pick<KubeClient, 'list' | 'watch'>;
  /** Undefined: all namespaces. */
  namespace: string | undefined;
  /** Label selector of what this operator serves; undefined: all. Templates and the shared Services are everybody's. */
  selector: string | undefined;
  clock: Clock;
  log: Log;
  metrics?: KubeMetrics | undefined;
  listeners: Listeners;
}

const EXPIRE_EVERY_MS = 30_000;
const OURS = `${LABEL.name}=${SANDBOX_APP}`;

export function startWorld(options: WorldOptions): World {
  const { clock, listeners, selector } = options;
  const own = { labelSelector: selector };
  const ours = { labelSelector: selector === undefined ? OURS : `${OURS},${selector}` };
  const caches = createCaches(clock, listeners);
  const stopping = new AbortController();
  const watch = <T extends KubeObject>(kind: KindOf<T>, cache: FreshCache<T, never>, more: Scope<T> = {}): Reflector =>
    startReflector<T>({ ...options, kind, handler: cache.handler, signal: stopping.signal, ...more });
  const reflectors = {
    sandboxes: watch<Sandbox>(SANDBOX, caches.sandboxes, own),
    templates: watch<SandboxTemplate>(SANDBOX_TEMPLATE, caches.templates),
    pools: watch<SandboxPool>(SANDBOX_POOL, caches.pools, own),
    pods: watch<Pod>(POD, caches.pods, { ...ours, transform: trimPod }),
    claims: watch<PersistentVolumeClaim>(PVC, caches.claims, ours),
    secrets: watch<Secret>(SECRET, caches.secrets, { ...ours, transform: dropData }),
    services: watch<Service>(SERVICE, caches.services, { labelSelector: OURS }),
  };
  const all = Object.entries(reflectors);
  const expiry = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await clock.sleep(EXPIRE_EVERY_MS, stopping.signal).catch(() => undefined);
      for (const [name, reflector] of all) caches[name as keyof typeof reflectors].expire(reflector.lastContact());
    }
  };
  const expiring = expiry();
  return {
    ...caches,
    unsynced: () => all.filter(([, reflector]) => !reflector.hasSynced()).map(([name]) => name),
    synced: Promise.all(all.map(([, reflector]) => reflector.synced)).then((each) => each.every(Boolean)),
    async reread(signal) {
      const scope = { client: options.client, namespace: options.namespace, signal };
      await Promise.all([
        listInto<Sandbox>({ ...scope, ...own, kind: SANDBOX, cache: caches.sandboxes, transform: (object) => object }),
        listInto<Pod>({ ...scope, ...ours, kind: POD, cache: caches.pods, transform: trimPod }),
      ]);
    },
    async stop() {
      stopping.abort();
      await Promise.all([expiring, ...all.map(([, reflector]) => reflector.stop())]);
    },
  };
}

interface Scope<T> {
  labelSelector?: string | undefined;
  transform?: (object: T) => T;
}

const PAGE_SIZE = 500;

async function listInto<T extends KubeObject>(options: {
  client: Pick<KubeClient, 'list'>;
  kind: KindOf<T>;
  namespace: string | undefined;
  labelSelector: string | undefined;
  cache: Pick<FreshCache<T>, 'note'>;
  transform: (object: T) => T;
  signal: AbortSignal;
}): Promise<void> {
  const { client, kind, cache, transform, namespace, labelSelector, signal } = options;
  let next: string | undefined;
  do {
    const page = await client.list<T>(kind, { namespace, labelSelector, limit: PAGE_SIZE, continue: next, signal });
    for (const object of page.items) cache.note(transform(object));
    next = page.metadata.continue || undefined;
  } while (next !== undefined);
}

const inNamespace = (object: KubeObject, name: string | undefined): string | undefined =>
  name === undefined ? undefined : `${object.metadata.namespace ?? ''}/${name}`;
const ownerOf = (object: KubeObject, kind: string) =>
  object.metadata.ownerReferences?.find((reference) => reference.kind === kind);
/** `namespace/pool` of an unclaimed child of a pool. Names come from owner references: a label cuts them at 63 characters. */
const warmOf = (object: KubeObject): string | undefined =>
  object.metadata.labels?.[LABEL.state] === STATE_WARM
    ? inNamespace(object, ownerOf(object, SANDBOX_POOL.kind)?.name)
    : undefined;
/** A retained workspace claim has no owner; its sandbox is told by the label. */
const sandboxOf = (object: KubeObject): string | undefined =>
  inNamespace(object, ownerOf(object, SANDBOX.kind)?.name ?? object.metadata.labels?.[LABEL.sandbox]);

/** Under what a ready warm pod is found by a claim: the template's whole hash, and the part that must fit. */
export const claimableKey = (pool: string, hash: string): string => `${pool}#${hash}`;
export const claimableOf = (pod: Pod): string[] => {
  const pool = warmOf(pod);
  if (pool === undefined || !isReady(pod) || agentTarget(pod) === undefined) return [];
  const { [ANNOTATION.templateHash]: whole, [ANNOTATION.templateFit]: fit } = pod.metadata.annotations ?? {};
  return [whole, fit].flatMap((hash) => (hash === undefined ? [] : [claimableKey(pool, hash)]));
};

export const podIndexes = {
  sandbox: (pod: Pod) => ownerOf(pod, SANDBOX.kind)?.uid,
  warm: warmOf,
  owner: ({ metadata }: Pod) => metadata.labels?.[LABEL.owner],
  claimed: ({ metadata }: Pod) => (metadata.labels?.[LABEL.state] === STATE_CLAIMED ? metadata.namespace : undefined),
  claimable: claimableOf,
  initKeys: (pod: Pod) => inNamespace(pod, pod.metadata.annotations?.[ANNOTATION.initKeys]),
};

export const placesOf = (sandbox: Sandbox): string[] =>
  hasPlace(sandbox)
    ? [
        `namespace ${sandbox.metadata.namespace ?? ''}`,
        ...(sandbox.spec.owner === undefined ? [] : [`owner ${sandbox.spec.owner}`]),
      ]
    : [];

function createCaches(clock: Clock, listeners: Listeners) {
  const tell = (heard: (key: string) => void, key: string | undefined): void => {
    if (key !== undefined) heard(key);
  };
  const childChanged = (object: KubeObject, old: KubeObject | undefined): void => {
    tell(listeners.sandbox, sandboxOf(object));
    tell(listeners.pool, warmOf(object) ?? (old === undefined ? undefined : warmOf(old)));
  };
  const sandboxes = createFreshCache<Sandbox, 'waiting' | 'slot' | 'placed'>({
    clock,
    indexes: {
      waiting: (object) => (object.status?.slot === undefined ? inNamespace(object, object.spec.template) : undefined),
      slot: (object) => inNamespace(object, object.status?.slot),
      placed: placesOf,
    },
    changed: (object) => {
      listeners.sandbox(keyOf(object));
      if (waitsFor(object) !== undefined) wakePools(inNamespace(object, object.spec.template));
    },
  });
  const wakePools = (template: string | undefined): void => {
    for (const pool of template === undefined ? [] : pools.by('template', template)) listeners.pool(keyOf(pool));
  };
  const freed = ({ metadata }: Pod): void => listeners.freed(metadata.namespace ?? '', metadata.labels?.[LABEL.owner]);
  /** Sandboxes without slot wait for a template or for a pool. */
  const wakeWaiting = (template: string | undefined): void => {
    for (const one of template === undefined ? [] : sandboxes.by('waiting', template)) listeners.sandbox(keyOf(one));
  };
  const pools = createFreshCache<SandboxPool, 'template'>({
    clock,
    indexes: { template: (object) => inNamespace(object, object.spec.template) },
    changed: (object) => {
      listeners.pool(keyOf(object));
      wakeWaiting(inNamespace(object, object.spec.template));
    },
  });
  const templates = createFreshCache<SandboxTemplate>({
    clock,
    changed: (object) => {
      listeners.template(keyOf(object));
      wakePools(keyOf(object));
      wakeWaiting(keyOf(object));
    },
  });
  const pods = createFreshCache<Pod, keyof typeof podIndexes>({
    clock,
    indexes: podIndexes,
    changed: (pod, old) => {
      childChanged(pod, old);
      if (pods.get(keyOf(pod)) === undefined) freed(pod);
      const pool = warmOf(pod);
      if (pool !== undefined && isReady(pod) && !(old !== undefined && isReady(old)))
        wakeWaiting(inNamespace(pod, pools.get(pool)?.spec.template));
    },
  });
  return {
    sandboxes,
    templates,
    pools,
    pods,
    claims: createFreshCache<PersistentVolumeClaim, 'warm'>({
      clock,
      indexes: { warm: warmOf },
      changed: childChanged,
    }),
    secrets: createFreshCache<Secret, 'warm'>({
      clock,
      indexes: { warm: warmOf },
      // Whoever still runs on it has to have it again.
      changed: (secret) => {
        for (const pod of pods.by('initKeys', keyOf(secret))) tell(listeners.sandbox, sandboxOf(pod));
      },
    }),
    services: createFreshCache<Service>({ clock, changed: () => undefined }),
  };
}

export const isReady = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** What decisions read; env, volumes and probes of 10,000 pods stay with the server. */
export function trimPod(pod: Pod): Pod {
  const { phase, reason, message, podIP, conditions, containerStatuses } = pod.status ?? {};
  return {
    metadata: pod.metadata,
    spec: {
      ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
      containers: pod.spec.containers.map(({ name, ports }) => ({ name, ...(ports === undefined ? {} : { ports }) })),
    },
    status: {
      ...(phase === undefined ? {} : { phase }),
      ...(reason === undefined ? {} : { reason }),
      ...(message === undefined ? {} : { message }),
      ...(podIP === undefined ? {} : { podIP }),
      ...(conditions === undefined ? {} : { conditions }),
      ...(containerStatuses === undefined ? {} : { containerStatuses }),
    },
  };
}

function dropData(secret: Secret): Secret {
  return { metadata: secret.metadata };
}
