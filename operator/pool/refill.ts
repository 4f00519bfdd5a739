/** Creates a pool's warm pods: as many at once as the API server takes well, none after a failure. */
import { setMaxListeners } from 'node:events';
import { randomBytes } from 'node:crypto';
import { LABEL } from '../../contracts/labels.js';
import { newSlot } from '../../contracts/names.js';
import type { SandboxTemplateSpec } from '../../contracts/resources.js';
import { isUnanswered } from '../../kube/errors.js';
import { done, retry, wait, type Outcome } from '../../kube/outcome.js';
import type { Clock } from '../../kube/types.js';
import { crashDelayMs, type CrashPolicy } from '../backoff.js';
import type { Holder } from '../build/meta.js';
import { buildInitKeys } from '../build/secret.js';
import type { Children } from '../children.js';
import type { Installation } from '../install.js';
import { refusalOf } from '../sandbox/refusal.js';
import type { World } from '../world.js';
import { filled, type Bucket, type Rate } from './bucket.js';
import { rateOf } from './decide.js';
import type { PoolMemory, PoolSituation } from './situation.js';
import { buildWarm } from './warm.js';

export interface RefillOptions {
  world: Pick<World, 'secrets'>;
  children: Pick<Children, 'ensureService' | 'createSecret' | 'createClaim' | 'createPod'>;
  installation: Installation;
  clock: Clock;
  crash: CrashPolicy;
}

export interface Refill {
  /** Creates `count` warm pods; refusals pause the pool instead of being tried at the pace of errors. */
  create(s: PoolSituation, count: number, signal: AbortSignal): Promise<Outcome>;
  /** No creates for a while: longer with each failure in a row. Answers how long, ms. */
  holdBack(memory: PoolMemory): number;
  /** Pods that all pools together may create now. */
  budget(now: number): number;
}

/** Of all pools together: what an API server and a scheduler take besides everything else. */
const EVERYBODY: Rate = { perSecond: 200, burst: 200 };
/** Creates that run at once; more only queue up in the API server, before the claims. */
const PARALLEL = 8;
const PENDING_MS = 60_000;
/** Init keys in one Secret: few writes for a big pool, no big Secret for a small one. */
const KEYS = { least: 16, most: 256 };

export function createRefill({ world, children, installation, clock, crash }: RefillOptions): Refill {
  let everybody: Bucket | undefined;
  const holderOf = ({ pool }: PoolSituation): Holder => {
    const { name, namespace = '', uid = '', labels } = pool.metadata;
    return { kind: 'pool', name, namespace, uid, template: pool.spec.template, shard: labels?.[LABEL.shard] };
  };

  /** Slots whose init keys are in a Secret. */
  const ensureSlots = async (s: PoolSituation, count: number, signal: AbortSignal): Promise<void> => {
    const pool = holderOf(s);
    const { memory } = s;
    const known = memory.initKeys;
    const there = known !== undefined && world.secrets.get(`${pool.namespace}/${known.name}`) !== undefined;
    if (there && known.slots.length > 0) return;
    const slots = Array.from({ length: Math.min(Math.max(count, KEYS.least), KEYS.most) }, newSlot);
    const name = `${pool.name.slice(0, 200)}-init-${randomBytes(6).toString('hex')}`;
    await children.createSecret(buildInitKeys({ pool, name, slots, secret: installation.secret }), signal);
    memory.initKeys = { name, slots };
  };

  const createOne = async (s: PoolSituation, template: SandboxTemplateSpec, signal: AbortSignal): Promise<void> => {
    const { memory } = s;
    const { initKeys } = memory;
    const slot = initKeys?.slots.pop();
    if (initKeys === undefined || slot === undefined) return;
    const { claim, pod } = buildWarm({
      holder: holderOf(s),
      slot,
      template,
      installation,
      templateHash: s.hash,
      initKeys: initKeys.name,
    });
    await children.ensureService(pod.metadata.namespace ?? '', slot, signal);
    memory.pending.set(slot, clock.now() + PENDING_MS);
    try {
      if (claim !== undefined) await children.createClaim(claim, signal);
      await children.createPod(pod, signal);
      memory.pending.delete(slot);
    } catch (error) {
      // Without an answer the pod may exist; it then counts until the watch tells or the time is over.
      if (!isUnanswered(error)) memory.pending.delete(slot);
      throw error;
    }
  };

  /** Rejects with the first error. */
  const createMany = async (s: PoolSituation, count: number, signal: AbortSignal): Promise<void> => {
    const { memory, template } = s;
    if (count === 0 || template === undefined) return;
    const bucket = filled(memory.bucket, rateOf(s.pool), clock.now());
    memory.bucket = { ...bucket, tokens: bucket.tokens - count };
    const shared = filled(everybody, EVERYBODY, clock.now());
    everybody = { ...shared, tokens: shared.tokens - count };
    // Each call listens for the abort.
    setMaxListeners(4 * PARALLEL, signal);
    let failure: { error: unknown } | undefined;
    const goesOn = (): boolean => failure === undefined && !signal.aborted;
    for (let left = count; left > 0 && goesOn();) {
      await ensureSlots(s, left, signal);
      let batch = Math.min(left, memory.initKeys?.slots.length ?? 0);
      left -= batch;
      const worker = async (): Promise<void> => {
        while (batch-- > 0 && goesOn())
          await createOne(s, template, signal).catch((error: unknown) => (failure ??= { error }));
      };
      await Promise.all(Array.from({ length: Math.min(PARALLEL, batch) }, worker));
    }
    if (failure !== undefined) throw failure.error;
  };

  const holdBack = (memory: PoolMemory): number => {
    const ms = Math.max(1_000, crashDelayMs(crash, memory.failures));
    memory.pausedUntil = clock.now() + ms;
    return ms;
  };

  return {
    holdBack,
    budget: (now) => filled(everybody, EVERYBODY, now).tokens,
    async create(s, count, signal) {
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
    },
  };
}
