/** From a pool's situation to pods to create and to delete: pure. */
import { ANNOTATION, LABEL, STATE_WARM } from '../../contracts/labels.js';
import type { SandboxPool, SandboxPoolStatus } from '../../contracts/resources.js';
import type { Pod } from '../../kube/kinds.js';
import { collapse, done, wait, type Outcome } from '../../kube/outcome.js';
import { setConditions, type ConditionUpdate } from '../../kube/status.js';
import { labelValue } from '../build/meta.js';
import type { Trouble } from '../sandbox/podevents.js';
import { timeMs } from '../durations.js';
import { filled, untilToken, type Rate } from './bucket.js';
import { demandOf } from './demand.js';
import { removable, rolloutLimits } from './rollout.js';
import type { PoolDecision, PoolSituation } from './situation.js';
import { targetOf, type Target } from './target.js';
import { hangingOf, oldest, stateOf, type Hanging } from './trouble.js';

const STATUS_STEP_MS = 1_000;
/** Sandboxes that stop waiting for a place tell nobody but the pod that they get. */
const LIMITED_MS = 30_000;
/** Init keys that no pod uses may be those of a pod whose create is still on its way, also of an operator before this one. */
const KEYS_UNUSED_MS = 60_000;

export function decidePool(s: PoolSituation): PoolDecision {
  const usable = whyUseless(s) === undefined && s.pool.metadata.deletionTimestamp === undefined;
  const target = targetOf(s.pool, s.peak, s.waiting, s.now);
  const wanted = usable ? target.wanted : 0;
  const remove = toRemove(s, wanted);
  const gone = new Set(remove.map(({ pod }) => pod));
  const live = s.warm.filter((pod) => !isGoing(pod) && !gone.has(pod));
  const fresh = live.filter((pod) => !isStale(s, pod)).length;
  const { create, ending } = refill(s, { wanted, fresh, stale: live.length - fresh });
  const hanging = hangingOf(s, live);
  const status = statusOf(s, { target, wanted, live, stale: live.length - fresh, hanging });
  const report = troubleReport(s, status);
  const { read } = hanging;
  return {
    create,
    remove,
    sweep: sweepable(s),
    readEvents: read !== undefined && read.at <= s.now ? read.pod : undefined,
    status,
    reports: report,
    ending: [ending, nextDeadline(s, live), nextSweep(s), nextTarget(s, target), nextRead(s, hanging)].reduce(collapse),
  };
}

/** Why the template cannot have warm pods. */
function whyUseless({ template, pool }: PoolSituation): { reason: string; message: string } | undefined {
  const { template: name } = pool.spec;
  if (template === undefined)
    return { reason: 'TemplateNotFound', message: `no SandboxTemplate "${name}" in this namespace` };
  if (template.deferredInit !== false) return undefined;
  return { reason: 'DeferredInitOff', message: `SandboxTemplate "${name}" says that its image cannot start dormant` };
}

const isGoing = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined;

function nextTarget({ waiting }: PoolSituation, { fewerInMs }: Target): Outcome {
  const limited = waiting.forOwner + waiting.forNamespace > 0 ? wait(LIMITED_MS, 'limits') : done;
  return fewerInMs === undefined ? limited : collapse(limited, wait(fewerInMs, 'demand'));
}

export const rateOf = ({ spec }: SandboxPool): Rate => ({
  perSecond: spec.refill?.perSecond ?? 20,
  burst: spec.refill?.burst ?? 20,
});

const isStale = ({ hash }: PoolSituation, { metadata }: Pod): boolean =>
  metadata.annotations?.[ANNOTATION.templateHash] !== hash.whole;

/** Stale pods that still serve claims go step by step, stale ones that do not at once. */
function staleToRemove(s: PoolSituation, wanted: number, pods: { stale: Pod[]; fresh: Pod[] }): Pod[] {
  const ready = (pod: Pod) => stateOf(pod).kind === 'ready';
  const serves = (pod: Pod) => ready(pod) && pod.metadata.annotations?.[ANNOTATION.templateFit] === s.hash.fit;
  const serving = pods.stale.filter(serves);
  const count = removable(pods.fresh.filter(ready).length + serving.length, wanted, rolloutLimits(s.pool, wanted));
  return [...pods.stale.filter((pod) => !serves(pod)), ...serving.slice(0, count)];
}

/** Failed and hanging pods at once; of the good ones the surplus, the least ready and youngest first. */
function toRemove(s: PoolSituation, wanted: number): PoolDecision['remove'] {
  const present = s.warm.filter((pod) => !isGoing(pod));
  const fresh = present.filter((pod) => !isStale(s, pod));
  const stale = staleToRemove(s, wanted, { stale: present.filter((pod) => isStale(s, pod)), fresh });
  const failed = fresh.filter((pod) => hasFailed(s, pod));
  const good = failed.length === 0 ? fresh : fresh.filter((pod) => !failed.includes(pod));
  const surplus = good.length > wanted ? good.sort(byWorth).slice(0, good.length - wanted) : [];
  return [
    ...stale.map((pod) => ({ pod, failed: false })),
    ...failed.map((pod) => ({ pod, failed: true })),
    ...surplus.map((pod) => ({ pod, failed: false })),
  ];
}

function hasFailed(s: PoolSituation, pod: Pod): boolean {
  const { kind, restarts, born } = stateOf(pod);
  if (kind === 'ended') return true;
  if (kind === 'ready') return false;
  return restarts > s.crashBudget || s.now - born > s.startDeadlineMs;
}

/** Ascending: what goes first. */
function byWorth(a: Pod, b: Pod): number {
  const ready = (pod: Pod) => Number(stateOf(pod).kind === 'ready');
  return ready(a) - ready(b) || stateOf(b).born - stateOf(a).born || (a.metadata.name < b.metadata.name ? -1 : 1);
}

/** How many to create: what is missing, under the cap (which counts pods that are still going), as far as the bucket allows. */
function refill(
  s: PoolSituation,
  { wanted, fresh, stale }: { wanted: number; fresh: number; stale: number },
): { create: number; ending: Outcome } {
  const pending = s.memory.pending.size;
  const { surge } = rolloutLimits(s.pool, wanted);
  const missing = Math.min(wanted - fresh, wanted + surge - fresh - stale) - pending;
  const room = (s.pool.spec.maxReplicas ?? Number.MAX_SAFE_INTEGER) - s.warm.length - pending;
  const due = Math.min(missing, room);
  if (due <= 0) return { create: 0, ending: pending > 0 ? wait(5_000, 'unanswered creates') : done };
  const paused = (s.memory.pausedUntil ?? 0) - s.now;
  if (paused > 0) return { create: 0, ending: wait(paused, 'creates fail') };
  const rate = rateOf(s.pool);
  const bucket = filled(s.memory.bucket, rate, s.now);
  const create = Math.min(due, Math.floor(bucket.tokens), Math.max(0, Math.floor(s.budget)));
  const next = untilToken({ ...bucket, tokens: bucket.tokens - create }, rate);
  return { create, ending: create < due ? wait(Math.max(next, 50), 'refill rate') : done };
}

/** Looks again when the first pod that is not ready will have taken too long. */
function nextDeadline(s: PoolSituation, live: Pod[]): Outcome {
  const first = oldest(live.filter((pod) => stateOf(pod).kind !== 'ready'));
  if (first === undefined) return done;
  return wait(Math.max(1_000, stateOf(first).born + s.startDeadlineMs + 1_000 - s.now), 'start deadline');
}

/** Creates in flight may have a workspace claim, or only their init key, and no pod yet. */
function sweepable(s: PoolSituation): PoolSituation['orphans'] {
  if (s.memory.pending.size > 0) return [];
  return s.orphans.filter((orphan) => sweepAt(orphan) <= s.now);
}

function sweepAt({ kind, object }: PoolSituation['orphans'][number]): number {
  return kind === 'workspace' ? 0 : (timeMs(object.metadata.creationTimestamp) ?? 0) + KEYS_UNUSED_MS;
}

function nextSweep(s: PoolSituation): Outcome {
  const due = s.orphans.map(sweepAt).filter((at) => at > s.now);
  return due.length === 0 ? done : wait(Math.min(...due) - s.now, 'unused init keys');
}

function nextRead(s: PoolSituation, { read }: Hanging): Outcome {
  return read === undefined ? done : wait(Math.max(1, read.at - s.now), 'events of a pod');
}

interface Counted {
  target: Target;
  wanted: number;
  live: Pod[];
  /** Pods of an older template. */
  stale: number;
  hanging: Hanging;
}

function statusOf(s: PoolSituation, counted: Counted): SandboxPoolStatus {
  const { wanted, live } = counted;
  const ready = live.filter((pod) => stateOf(pod).kind === 'ready').length;
  const observedGeneration = s.pool.metadata.generation ?? 0;
  const conditions = conditionsOf(s, { ...counted, ready }).map((update) => ({ ...update, observedGeneration }));
  return {
    observedGeneration,
    replicas: live.length,
    readyReplicas: ready,
    wantedReplicas: wanted,
    ...(s.peak === undefined ? {} : { demand: demandOf(s.peak) }),
    selector: `${LABEL.pool}=${labelValue(s.pool.metadata.name)},${LABEL.state}=${STATE_WARM}`,
    conditions: [...setConditions(s.pool.status?.conditions ?? [], conditions, s.now)],
  };
}

function conditionsOf(s: PoolSituation, facts: Counted & { ready: number }): ConditionUpdate[] {
  const { wanted, ready, hanging } = facts;
  const useless = whyUseless(s);
  const trouble = hanging.trouble ?? s.memory.trouble;
  const { reason, message } = useless ?? trouble ?? { reason: 'Filling', message: 'warm pods are missing' };
  const full = useless === undefined && ready >= wanted;
  // One bad node or a refusal now and then does not stop a pool whose other pods start.
  const stuck = !full && reason !== 'Filling' && (useless !== undefined || !hanging.othersStart);
  return [
    full
      ? { type: 'Ready', status: 'True', reason: 'Full', message: 'the wanted number of warm pods is ready' }
      : { type: 'Ready', status: 'False', reason, message },
    s.template === undefined
      ? { type: 'TemplateFound', status: 'False', reason, message }
      : { type: 'TemplateFound', status: 'True', reason: 'Found', message: '' },
    stuck
      ? { type: 'Progressing', status: 'False', reason, message }
      : {
          type: 'Progressing',
          status: 'True',
          reason: facts.stale > 0 ? 'RollingOut' : full ? 'Full' : 'Filling',
          message: facts.target.why,
        },
    scalingLimited(s, facts.target, trouble),
    claimsLimited(s.waiting),
  ];
}

function scalingLimited(s: PoolSituation, target: Target, trouble: Trouble | undefined): ConditionUpdate {
  const type = 'ScalingLimited';
  if (trouble?.reason === 'QuotaExceeded') return { type, status: 'True', ...trouble };
  const { maxReplicas } = s.pool.spec;
  if (maxReplicas === undefined || target.asked <= maxReplicas)
    return { type, status: 'False', reason: 'WithinLimits', message: '' };
  const message = `${target.asked} warm pods are asked for; maxReplicas is ${maxReplicas}`;
  return { type, status: 'True', reason: 'MaxReplicasReached', message };
}

function claimsLimited({ forOwner, forNamespace }: PoolSituation['waiting']): ConditionUpdate {
  const type = 'ClaimsLimited';
  if (forNamespace + forOwner === 0) return { type, status: 'False', reason: 'WithinLimits', message: '' };
  const reason = forNamespace > 0 ? 'NamespaceLimitReached' : 'OwnerLimitReached';
  const message = `sandboxes of this template wait: ${forNamespace} for the namespace's limit, ${forOwner} for their owner's`;
  return { type, status: 'True', reason, message };
}

/** An Event when the pool gets stuck, once. */
function troubleReport(s: PoolSituation, status: SandboxPoolStatus): PoolDecision['reports'] {
  const of = (from: SandboxPoolStatus | undefined) => from?.conditions?.find(({ type }) => type === 'Progressing');
  const [before, after] = [of(s.pool.status), of(status)];
  if (after?.status !== 'False' || (before?.status === 'False' && before.reason === after.reason)) return [];
  return [{ type: 'Warning', reason: after.reason, message: after.message }];
}

/** How long a status that differs only in its counts waits, so that a pool of a thousand does not write a thousand times; 0: write now. */
export function statusDelayMs(
  before: SandboxPoolStatus | undefined,
  after: SandboxPoolStatus,
  sinceMs: number,
): number {
  // A claim makes a pool go from Full to Filling and back; that is counting too.
  const words = (status: SandboxPoolStatus | undefined) =>
    status?.conditions?.map(({ reason }) => (reason === 'Full' ? 'Filling' : reason)).join();
  return words(before) === words(after) ? Math.max(0, STATUS_STEP_MS - sinceMs) : 0;
}
