/** The rules that pause and delete by themselves. All clocks start from times in the resource, so that they survive restarts. */
import { conditionOf } from '../../contracts/resources.js';
import { lastSign } from '../activity.js';
import { describeMs, durationMs, timeMs } from '../durations.js';
import { lifecycleOf, type Lifecycle } from '../shape.js';
import type { Situation } from './situation.js';

/** How fresh an answer about idleness must be to pause on it, ms. */
const FRESH_MS = 30_000;
const ASK_MIN_MS = 30_000;
const ASK_MAX_MS = 600_000;
/** An agent server that does not answer three times a minute apart keeps nothing alive. */
const SILENT_ASKS = 3;
const SILENT_RETRY_MS = 60_000;

export const rulesOf = (s: Situation): Lifecycle => lifecycleOf(s.template ?? { image: '' }, s.sandbox.spec);

/** Why the sandbox's time is over, or when (ms) it will be; undefined without such a rule. */
export function expiry(s: Situation): { over: { reason: string; message: string } } | { at: number } | undefined {
  const rules = rulesOf(s);
  const born = timeMs(s.sandbox.metadata.creationTimestamp) ?? s.now;
  const lifetime = durationMs(rules.maxLifetime);
  const paused = conditionOf(s.sandbox, 'Paused')?.status === 'True' ? timeMs(s.sandbox.status?.pausedAt) : undefined;
  const keep = s.sandbox.spec.runState === 'Paused' ? durationMs(rules.deleteAfterPaused) : undefined;
  const ends = [
    ...(lifetime === undefined ? [] : [{ at: born + lifetime, reason: 'MaxLifetime', ms: lifetime, rule: 'old' }]),
    ...(keep === undefined || paused === undefined
      ? []
      : [{ at: paused + keep, reason: 'DeleteAfterPaused', ms: keep, rule: 'paused' }]),
  ].sort((a, b) => a.at - b.at);
  const next = ends[0];
  if (next === undefined) return undefined;
  if (next.at > s.now) return { at: next.at };
  return { over: { reason: next.reason, message: `deleted after being ${next.rule} for ${describeMs(next.ms)}` } };
}

/** Last sign of use, ms since 1970: traffic that the gateway saw, the agent's own word, and the claim as the start of the clock. */
export function lastActivity(s: Situation, claimedAt: number): number {
  return Math.max(claimedAt, lastSign(s.sandbox, s.now), s.agent.idle?.activeAt ?? 0);
}

export type IdleVerdict =
  { kind: 'off' } | { kind: 'wait'; until: number } | { kind: 'ask' } | { kind: 'idle'; ms: number };

/** Whether a ready sandbox is idle; asks the agent only as often as the timeout needs. */
export function idleVerdict(s: Situation, activeAt: number): IdleVerdict {
  const timeout = durationMs(rulesOf(s).idleTimeout);
  if (timeout === undefined) return { kind: 'off' };
  const due = activeAt + timeout;
  const { polledAt = 0, failures = 0 } = s.agent.idle ?? {};
  if (s.now >= due) {
    if (failures >= SILENT_ASKS || (failures === 0 && polledAt > s.now - FRESH_MS))
      return { kind: 'idle', ms: s.now - activeAt };
    if (failures > 0 && s.now < polledAt + SILENT_RETRY_MS) return { kind: 'wait', until: polledAt + SILENT_RETRY_MS };
    return { kind: 'ask' };
  }
  const every = Math.min(Math.max(timeout / 2, ASK_MIN_MS), ASK_MAX_MS);
  const askAt = Math.max(activeAt, polledAt) + every;
  return s.now >= askAt ? { kind: 'ask' } : { kind: 'wait', until: Math.min(due, askAt) };
}
