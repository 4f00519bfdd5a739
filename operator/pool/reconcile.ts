/** One SandboxPool: observe → decide → act. */
import { LABEL, MANAGER } from '../../contracts/labels.js';
import {
  SANDBOX_POOL,
  type Sandbox,
  type SandboxPool,
  type SandboxPoolStatus,
  type SandboxTemplateSpec,
} from '../../contracts/resources.js';
import { keyOf } from '../../kube/cache.js';
import type { KubeClient } from '../../kube/client.js';
import type { Reconcile } from '../../kube/controller.js';
import { isConflict, isNotFound } from '../../kube/errors.js';
import type { EventRecorder } from '../../kube/events.js';
import { PVC, SECRET, type KindOf, type Pod } from '../../kube/kinds.js';
import { collapse, done, wait, type Outcome } from '../../kube/outcome.js';
import { createStatusWriter } from '../../kube/status.js';
import type { Clock, KubeObject } from '../../kube/types.js';
import type { CrashPolicy } from '../backoff.js';
import type { Children } from '../children.js';
import type { Claimer } from '../claim/claim.js';
import type { Installation } from '../install.js';
import type { PodEvents } from '../sandbox/podevents.js';
import { shardKey } from '../shard.js';
import { isReady, type World } from '../world.js';
import type { Asks } from './asks.js';
import { decidePool, statusDelayMs } from './decide.js';
import { halfLifeMs, peakAfter, peakOf, startTimeMs, UNKNOWN_START_MS, worth, type Peak } from './demand.js';
import { placedTemplate } from './placed.js';
import { createRefill } from './refill.js';
import type { PoolDecision, PoolMemory, PoolSituation } from './situation.js';
import { countWaiting } from './waiting.js';
import { lastWords } from './trouble.js';
import type { TemplateHash } from './warm.js';

export interface PoolReconcilerOptions {
  client: Pick<KubeClient, 'get' | 'patch' | 'delete'>;
  world: World;
  children: Children;
  claimer: Pick<Claimer, 'reserve' | 'release'>;
  installation: Installation;
  clock: Clock;
  events: Pick<EventRecorder, 'record'>;
  crash: CrashPolicy;
  startDeadlineMs: number;
  hashOf(template: SandboxTemplateSpec): TemplateHash;
  asks: Pick<Asks, 'since' | 'forget'>;
  podEvents: PodEvents;
}

export function createPoolReconciler(options: PoolReconcilerOptions): Reconcile {
  const { client, world, children, claimer, clock, events } = options;
  const refill = createRefill(options);
  const memories = new Map<string, PoolMemory>();
  const writer = createStatusWriter<SandboxPool, SandboxPoolStatus>({
    client,
    kind: SANDBOX_POOL,
    fieldManager: MANAGER,
  });

  const memoryOf = (key: string): PoolMemory => {
    const known = memories.get(key) ?? { pending: new Map<string, number>(), failures: 0, wroteAt: 0 };
    memories.set(key, known);
    return known;
  };

  /** The busiest time that counts, of a pool that scales to demand. */
  const peakNow = (pool: SandboxPool, memory: PoolMemory, warm: Pod[], now: number): Peak | undefined => {
    const { scaleToDemand } = pool.spec;
    if (scaleToDemand === undefined) return undefined;
    const halfLife = halfLifeMs(scaleToDemand.halfLife);
    const before = 'peak' in memory ? memory.peak : peakOf(pool.status);
    const startMs = startTimeMs(warm.filter(isReady)) ?? memory.startMs ?? before?.startMs ?? UNKNOWN_START_MS;
    const peak = peakAfter(before, options.asks.since(keyOf(pool), now - startMs), { startMs, halfLife });
    memory.startMs = startMs;
    memory.peak = Math.round(worth(peak, now, halfLife)) > 0 ? peak : undefined;
    return memory.peak;
  };

  const observe = (pool: SandboxPool, memory: PoolMemory): PoolSituation => {
    const key = keyOf(pool);
    const { namespace = '' } = pool.metadata;
    const templateKey = `${namespace}/${pool.spec.template}`;
    const general = world.templates.get(templateKey)?.spec;
    const template = general === undefined ? undefined : placedTemplate(general, pool.spec);
    const serves = ({ metadata, spec }: Sandbox) =>
      shardKey({ metadata }) === shardKey(pool) &&
      (spec.runtimeClassName ?? general?.runtimeClassName) === template?.runtimeClassName;
    const now = clock.now();
    for (const [name, until] of memory.pending)
      if (until <= now || world.pods.get(`${namespace}/${name}`) !== undefined) memory.pending.delete(name);
    const mine = (object: KubeObject) => object.metadata.ownerReferences?.[0]?.uid === pool.metadata.uid;
    // A sandbox that has the slot but lost or paused its pod has yet to make the workspace its own.
    const podless = (object: KubeObject) => {
      const slot = `${namespace}/${object.metadata.labels?.[LABEL.slot] ?? ''}`;
      return world.pods.get(slot) === undefined && world.sandboxes.by('slot', slot).length === 0;
    };
    const unused = (keys: KubeObject) =>
      keys.metadata.name !== memory.initKeys?.name && world.pods.count('initKeys', keyOf(keys)) === 0;
    const orphans = [
      ...world.secrets
        .by('warm', key)
        .filter(unused)
        .map((object) => ({ kind: 'initKeys' as const, object })),
      ...world.claims
        .by('warm', key)
        .filter(podless)
        .map((object) => ({ kind: 'workspace' as const, object })),
    ].filter(({ object }) => mine(object) && object.metadata.deletionTimestamp === undefined);
    const warm = world.pods.by('warm', key).filter(mine);
    return {
      pool,
      now,
      template,
      peak: peakNow(pool, memory, warm, now),
      waiting: countWaiting(world.sandboxes.by('waiting', templateKey).filter(serves)),
      hash: template === undefined ? { whole: '', fit: '' } : options.hashOf(template),
      budget: refill.budget(now),
      warm,
      orphans,
      memory,
      startDeadlineMs: options.startDeadlineMs,
      crashBudget: options.crash.budget,
    };
  };

  const noteFailure = (memory: PoolMemory, pod: Pod): void => {
    memory.failures += 1;
    // One may have been ended from outside; several in a row have a cause.
    if (memory.failures > 1) memory.trouble = lastWords({ memory, now: clock.now() }, pod);
  };

  const readEvents = async (memory: PoolMemory, pod: Pod, signal: AbortSignal): Promise<void> => {
    const { uid } = pod.metadata;
    const before = memory.podEvents?.pod === uid ? memory.podEvents?.trouble : undefined;
    const told = await options.podEvents.trouble(pod, signal);
    memory.podEvents = { pod: uid, readAt: clock.now(), trouble: told ?? before };
  };

  const remove = async ({ pod, failed }: PoolDecision['remove'][number], memory: PoolMemory, signal: AbortSignal) => {
    // A claim that has it already wins; the pod then leaves the pool by itself.
    if (!claimer.reserve(pod)) return;
    try {
      const { name, namespace = '', uid = '' } = pod.metadata;
      await children.deletePod({ name, namespace, uid }, false, signal);
      if (failed) noteFailure(memory, pod);
    } finally {
      claimer.release(pod);
    }
  };

  const sweep = async ({ kind, object }: PoolSituation['orphans'][number], signal: AbortSignal): Promise<void> => {
    const of: KindOf<KubeObject> = kind === 'initKeys' ? SECRET : PVC;
    const { uid, resourceVersion } = object.metadata;
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    try {
      // The version: a sandbox may be adopting it at this moment.
      await client.delete(of, object.metadata, { preconditions, signal });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
    if (kind === 'initKeys') world.secrets.noteGone(object);
  };

  const saveStatus = async (s: PoolSituation, decision: PoolDecision): Promise<Outcome> => {
    const delay = statusDelayMs(s.pool.status, decision.status, s.now - s.memory.wroteAt);
    if (delay > 0) return wait(delay, 'status pace');
    const written = await writer.write(s.pool, () => decision.status);
    if (written === undefined) world.pools.noteGone(s.pool);
    else world.pools.note(written);
    if (written !== s.pool) s.memory.wroteAt = clock.now();
    for (const report of decision.reports) events.record(SANDBOX_POOL, s.pool, report);
    return done;
  };

  const settleTrouble = (memory: PoolMemory, warm: Pod[]): void => {
    const youngest = warm.filter(isReady).length;
    if (youngest === 0 || memory.failures === 0) return;
    // A pod that became ready ends the row of failures, if none of them is newer.
    if ((memory.pausedUntil ?? 0) > clock.now()) return;
    memory.failures = 0;
    delete memory.trouble;
  };

  return async (key, signal) => {
    const pool = world.pools.get(key);
    if (pool === undefined) {
      memories.delete(key);
      options.asks.forget(key);
      return done;
    }
    const memory = memoryOf(key);
    const situation = observe(pool, memory);
    settleTrouble(memory, situation.warm);
    const decision = decidePool(situation);
    for (const one of decision.remove) await remove(one, memory, signal);
    if (decision.remove.some(({ failed }) => failed)) refill.holdBack(memory);
    for (const orphan of decision.sweep) await sweep(orphan, signal);
    const refilled = await refill.create(situation, decision.create, signal);
    if (decision.readEvents !== undefined) await readEvents(memory, decision.readEvents, signal);
    // What was created is in the cache already: the status says so at once.
    const after = decidePool(observe(world.pools.get(key) ?? pool, memory));
    return [refilled, await saveStatus(situation, after), after.ending].reduce(collapse);
  };
}
