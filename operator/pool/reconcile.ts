/** One SandboxPool: observe → decide → act. */
import { setMaxListeners } from 'node:events';
import { LABEL, MANAGER } from '../../contracts/labels.js';
import { newSlot } from '../../contracts/names.js';
import {
  SANDBOX_POOL,
  type SandboxPool,
  type SandboxPoolStatus,
  type SandboxTemplateSpec,
} from '../../contracts/resources.js';
import { keyOf } from '../../kube/cache.js';
import type { KubeClient } from '../../kube/client.js';
import type { Reconcile } from '../../kube/controller.js';
import { isConflict, isNotFound, isUnanswered } from '../../kube/errors.js';
import type { EventRecorder } from '../../kube/events.js';
import { PVC, SECRET, type KindOf, type Pod } from '../../kube/kinds.js';
import { collapse, done, retry, wait, type Outcome } from '../../kube/outcome.js';
import { createStatusWriter } from '../../kube/status.js';
import type { Clock, KubeObject } from '../../kube/types.js';
import { crashDelayMs, type CrashPolicy } from '../backoff.js';
import type { Holder } from '../build/meta.js';
import type { Children } from '../children.js';
import type { Claimer } from '../claim/claim.js';
import type { Installation } from '../install.js';
import { refusalOf } from '../sandbox/refusal.js';
import { isReady, type World } from '../world.js';
import { filled } from './bucket.js';
import { decidePool, rateOf, statusDelayMs } from './decide.js';
import type { PoolDecision, PoolMemory, PoolSituation } from './situation.js';
import { buildWarm } from './warm.js';

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
  hashOf(template: SandboxTemplateSpec): string;
}

/** Creates that run at once; more only queue up in the API server, before the claims. */
const PARALLEL = 8;
const PENDING_MS = 60_000;

export function createPoolReconciler(options: PoolReconcilerOptions): Reconcile {
  const { client, world, children, claimer, clock, events } = options;
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

  const observe = (pool: SandboxPool, memory: PoolMemory): PoolSituation => {
    const key = keyOf(pool);
    const { namespace = '' } = pool.metadata;
    const template = world.templates.get(`${namespace}/${pool.spec.template}`)?.spec;
    const now = clock.now();
    for (const [name, until] of memory.pending)
      if (until <= now || world.pods.get(`${namespace}/${name}`) !== undefined) memory.pending.delete(name);
    const mine = (object: KubeObject) => object.metadata.ownerReferences?.[0]?.uid === pool.metadata.uid;
    // A sandbox that has the slot but lost or paused its pod has yet to make the workspace its own.
    const podless = (object: KubeObject) => {
      const slot = `${namespace}/${object.metadata.labels?.[LABEL.slot] ?? ''}`;
      return world.pods.get(slot) === undefined && world.sandboxes.by('slot', slot).length === 0;
    };
    const orphans = [
      ...world.secrets.by('warm', key).map((object) => ({ kind: 'secret' as const, object })),
      ...world.claims.by('warm', key).map((object) => ({ kind: 'workspace' as const, object })),
    ].filter(({ object }) => mine(object) && podless(object) && object.metadata.deletionTimestamp === undefined);
    return {
      pool,
      now,
      template,
      hash: template === undefined ? '' : options.hashOf(template),
      warm: world.pods.by('warm', key).filter(mine),
      orphans,
      memory,
      startDeadlineMs: options.startDeadlineMs,
      crashBudget: options.crash.budget,
    };
  };

  const remove = async ({ pod, failed }: PoolDecision['remove'][number], memory: PoolMemory, signal: AbortSignal) => {
    // A claim that has it already wins; the pod then leaves the pool by itself.
    if (!claimer.reserve(pod)) return;
    try {
      const { name, namespace = '', uid = '' } = pod.metadata;
      await children.deletePod({ name, namespace, uid }, false, signal);
      if (failed) memory.failures += 1;
    } finally {
      claimer.release(pod);
    }
  };

  const createOne = async (s: PoolSituation, template: SandboxTemplateSpec, signal: AbortSignal): Promise<void> => {
    const { name, namespace = '', uid = '' } = s.pool.metadata;
    const holder: Holder = { kind: 'pool', name, namespace, uid, template: s.pool.spec.template };
    const slot = newSlot();
    const { secret, claim, pod } = buildWarm({
      holder,
      slot,
      template,
      installation: options.installation,
      templateHash: s.hash,
    });
    s.memory.pending.set(slot, clock.now() + PENDING_MS);
    try {
      await Promise.all([
        children.applySecret(secret, signal),
        claim === undefined ? undefined : children.createClaim(claim, signal),
      ]);
      await children.createPod(pod, signal);
      s.memory.pending.delete(slot);
    } catch (error) {
      // Without an answer the pod may exist; it then counts until the watch tells or the time is over.
      if (!isUnanswered(error)) s.memory.pending.delete(slot);
      throw error;
    }
  };

  /** Rejects with the first error that trying again may heal. */
  const createMany = async (s: PoolSituation, count: number, signal: AbortSignal): Promise<void> => {
    const { memory, template } = s;
    if (count === 0 || template === undefined) return;
    await children.ensureService(s.pool.metadata.namespace ?? '', signal);
    const bucket = filled(memory.bucket, rateOf(s.pool), clock.now());
    memory.bucket = { ...bucket, tokens: bucket.tokens - count };
    // Each call listens for the abort.
    setMaxListeners(4 * PARALLEL, signal);
    let left = count;
    let failure: { error: unknown } | undefined;
    const worker = async (): Promise<void> => {
      while (left > 0 && failure === undefined && !signal.aborted) {
        left -= 1;
        await createOne(s, template, signal).catch((error: unknown) => (failure ??= { error }));
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, count) }, worker));
    if (failure !== undefined) throw failure.error;
  };

  /** Refusals pause the pool instead of being tried at the pace of errors. */
  const refill = async (s: PoolSituation, count: number, signal: AbortSignal): Promise<Outcome> => {
    const { memory } = s;
    try {
      await createMany(s, count, signal);
      return done;
    } catch (error) {
      const refusal = refusalOf('pod', error);
      if (refusal === undefined) return retry(error);
      memory.failures += 1;
      memory.trouble = { reason: refusal.reason, message: refusal.message };
      return wait(holdBack(memory), refusal.reason);
    }
  };
  const holdBack = (memory: PoolMemory): number => {
    const ms = Math.max(1_000, crashDelayMs(options.crash, memory.failures));
    memory.pausedUntil = clock.now() + ms;
    return ms;
  };

  const sweep = async ({ kind, object }: PoolSituation['orphans'][number], signal: AbortSignal): Promise<void> => {
    const of: KindOf<KubeObject> = kind === 'secret' ? SECRET : PVC;
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
    if (kind === 'secret') world.secrets.noteGone(object);
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
      return done;
    }
    const memory = memoryOf(key);
    const situation = observe(pool, memory);
    settleTrouble(memory, situation.warm);
    const decision = decidePool(situation);
    for (const one of decision.remove) await remove(one, memory, signal);
    if (decision.remove.some(({ failed }) => failed)) holdBack(memory);
    for (const orphan of decision.sweep) await sweep(orphan, signal);
    const refilled = await refill(situation, decision.create, signal);
    // What was created is in the cache already: the status says so at once.
    const after = decidePool(observe(world.pools.get(key) ?? pool, memory));
    return [refilled, await saveStatus(situation, after), after.ending].reduce(collapse);
  };
}
