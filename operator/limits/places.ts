/**
 * Who may run. A place is asked for before a sandbox gets its pod, and taken at once in memory, so that any number of
 * sandboxes that ask at the same time stay within the limits; from the next write on the status says it (place.ts).
 */
import { ownerLabel } from '../../contracts/names.js';
import type { Sandbox } from '../../contracts/resources.js';
import { keyOf, refOf } from '../../kube/cache.js';
import type { Pod } from '../../kube/kinds.js';
import { lastSign } from '../activity.js';
import { timeMs } from '../durations.js';
import { hasFailed } from '../sandbox/status.js';
import type { World } from '../world.js';
import { hasPlace, ownerLimit, type LimitPolicy, type LimitReason } from './place.js';

export type Place = { kind: 'free' } | { kind: 'refused'; reason: LimitReason; message: string };

export interface Places {
  /** Whether the sandbox may have a pod; if so the place is its own from now on. */
  ask(sandbox: Sandbox, now: number): Place;
  /** Why the sandbox has to make room for another one of its owner; undefined when it has not. */
  yields(sandbox: Sandbox): string | undefined;
  /** What `ask` gave and the status does not say by now is given back. */
  settle(key: string): void;
  /** The sandbox is gone. */
  forget(key: string): void;
  /** A place became free: those who wait longest ask again. */
  freed(namespace: string, owner: string | undefined): void;
}

export interface PlacesOptions {
  world: Pick<World, 'sandboxes' | 'pods'>;
  policy: LimitPolicy;
  /** How long past its grace period a pod still counts, ms: later it is taken as lost with its node. */
  lostMs: number;
  wake(key: string): void;
}

const FREE: Place = { kind: 'free' };
/** Those who ask again when a place became free: more than one, should the first wait for another limit. */
const WOKEN = 3;

/** Bounded by the sandboxes that exist, as long as `forget` is called for those that go. */
export function createPlaces({ world, policy, lostMs, wake }: PlacesOptions): Places {
  const taken = new Map<string, Sandbox>();
  /** In the order in which they asked first. `owner` is a label. */
  const waiting = new Map<string, { namespace: string; owner: string | undefined }>();
  /** Why, by the key of who has to make room. */
  const yielding = new Map<string, { uid: string | undefined; message: string }>();

  const isTaken = (sandbox: Sandbox): boolean => taken.get(keyOf(sandbox))?.metadata.uid === sandbox.metadata.uid;
  const hasPod = ({ metadata }: Sandbox): boolean => world.pods.count('sandbox', metadata.uid ?? '') > 0;
  const ownerOfPod = (pod: Pod): string =>
    pod.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid ?? '';

  /** Uids of the sandboxes other than this one that have a place or a pod. */
  const occupants = (scope: Scope, self: Sandbox, now: number): Set<string> => {
    const gone = (pod: Pod) => (timeMs(pod.metadata.deletionTimestamp) ?? Infinity) + lostMs < now;
    const uids = [
      ...world.sandboxes.by('placed', scope.placed).map(({ metadata }) => metadata.uid ?? ''),
      ...scope
        .pods()
        .filter((pod) => !gone(pod))
        .map(ownerOfPod),
      ...[...taken.values()].filter(scope.has).map(({ metadata }) => metadata.uid ?? ''),
    ];
    const set = new Set(uids);
    set.delete(self.metadata.uid ?? '');
    return set;
  };

  const scopeOfOwner = (owner: string): Scope => ({
    placed: `owner ${owner}`,
    pods: () => world.pods.by('owner', ownerLabel(owner)),
    has: ({ spec }) => spec.owner === owner,
  });
  const scopeOfNamespace = (namespace: string): Scope => ({
    placed: `namespace ${namespace}`,
    pods: () => world.pods.by('claimed', namespace),
    has: ({ metadata }) => metadata.namespace === namespace,
  });

  const namespaceFull = (sandbox: Sandbox, now: number): Place | undefined => {
    const { namespace = '' } = sandbox.metadata;
    const limit = policy.perNamespace;
    if (limit === undefined) return undefined;
    const scope = scopeOfNamespace(namespace);
    // Most questions are far from the limit and must not cost a walk over all pods.
    const most = world.sandboxes.count('placed', scope.placed) + world.pods.count('claimed', namespace) + taken.size;
    if (most < limit || occupants(scope, sandbox, now).size < limit) return undefined;
    const message = `${limit} sandboxes run in this namespace, which is the limit; this one starts when one of them ends`;
    return { kind: 'refused', reason: 'NamespaceLimitReached', message };
  };

  const ownerFull = (sandbox: Sandbox, now: number): Place | undefined => {
    const { owner } = sandbox.spec;
    const limit = ownerLimit(policy, owner);
    if (owner === undefined || limit === undefined) return undefined;
    if (occupants(scopeOfOwner(owner), sandbox, now).size < limit) return undefined;
    const makesRoom = policy.overOwnerLimit === 'PauseLeastActive';
    if (makesRoom) makeRoom(owner, limit, now);
    const way = makesRoom
      ? 'the least recently active one is paused to make room'
      : 'pause or delete one of them and this one starts by itself';
    const message = `${limit} sandboxes of this owner run, which is the limit; ${way}`;
    return { kind: 'refused', reason: 'OwnerLimitReached', message };
  };

  /** Chooses who is paused, unless enough are on their way out. */
  const makeRoom = (owner: string, limit: number, now: number): void => {
    const yields = (one: Sandbox) => yielding.get(keyOf(one))?.uid === one.metadata.uid;
    const staying = world.sandboxes
      .by('placed', `owner ${owner}`)
      .filter((one) => one.spec.runState !== 'Paused' && !yields(one));
    const asking = [...taken.values()].filter((one) => one.spec.owner === owner);
    if (new Set([...staying, ...asking].map(({ metadata }) => metadata.uid)).size < limit) return;
    const [victim] = staying.sort((a, b) => lastSign(a, now) - lastSign(b, now));
    if (victim === undefined) return;
    const message = `paused to make room: its owner started another sandbox and ${limit} may run at a time`;
    yielding.set(keyOf(victim), { uid: victim.metadata.uid, message });
    wake(keyOf(victim));
  };

  const drop = (key: string): void => {
    taken.delete(key);
    waiting.delete(key);
    yielding.delete(key);
  };

  const freed = (namespace: string, owner: string | undefined): void => {
    const concerned = [...waiting].filter(
      ([, one]) => one.namespace === namespace || (owner !== undefined && one.owner === owner),
    );
    for (const [key] of concerned.slice(0, WOKEN)) wake(key);
  };

  return {
    ask(sandbox, now) {
      const key = keyOf(sandbox);
      if (!wantsPlace(sandbox)) {
        drop(key);
        const { namespace, owner } = waiterOf(sandbox);
        if (waiting.size > 0 && !hasPlace(sandbox) && !hasPod(sandbox)) freed(namespace, owner);
        return FREE;
      }
      const own = hasPlace(sandbox) || isTaken(sandbox) || hasPod(sandbox);
      const refused = own ? undefined : (namespaceFull(sandbox, now) ?? ownerFull(sandbox, now));
      if (refused !== undefined) {
        if (!waiting.has(key)) waiting.set(key, waiterOf(sandbox));
        return refused;
      }
      waiting.delete(key);
      if (!own) taken.set(key, sandbox);
      return FREE;
    },
    yields(sandbox) {
      const own = yielding.get(keyOf(sandbox));
      return own !== undefined && own.uid === sandbox.metadata.uid ? own.message : undefined;
    },
    settle: (key) => void taken.delete(key),
    forget(key) {
      drop(key);
      freed(refOf(key).namespace ?? '', undefined);
    },
    freed,
  };
}

const wantsPlace = (sandbox: Sandbox): boolean =>
  sandbox.spec.runState !== 'Paused' && sandbox.metadata.deletionTimestamp === undefined && !hasFailed(sandbox);

const waiterOf = ({ metadata, spec }: Sandbox) => ({
  namespace: metadata.namespace ?? '',
  owner: spec.owner === undefined ? undefined : ownerLabel(spec.owner),
});

interface Scope {
  /** Value in the index of placed sandboxes. */
  placed: string;
  pods(): Pod[];
  has(sandbox: Sandbox): boolean;
}
