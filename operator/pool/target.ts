/** How many warm pods a pool wants now, and why. Pure. */
import type { SandboxPool } from '../../contracts/resources.js';
import { describeMs, timestamp } from '../durations.js';
import { halfLifeMs, untilFewer, worth, type Peak } from './demand.js';
import type { Waiting } from './situation.js';

export interface Target {
  wanted: number;
  /** More would be wanted, but for `maxReplicas`. */
  asked: number;
  /** For people: why it is this many. Empty where `replicas` says it all. */
  why: string;
  /** Ms until it may be fewer without anything happening. */
  fewerInMs?: number;
}

export function targetOf(pool: SandboxPool, peak: Peak | undefined, waiting: Waiting, now: number): Target {
  const { replicas: least = 1, scaleToDemand } = pool.spec;
  const most = mostReplicas(pool);
  if (scaleToDemand === undefined) return { wanted: Math.min(least, most), asked: least, why: '' };
  const halfLife = halfLifeMs(scaleToDemand.halfLife);
  const remembered = Math.round(worth(peak, now, halfLife));
  const asked = Math.max(least, remembered, waiting.forPool);
  const wanted = Math.min(asked, most);
  const limits = `minimum ${least}, maximum ${most}`;
  if (wanted <= least || peak === undefined || remembered < waiting.forPool)
    return {
      wanted,
      asked,
      why: asked > least ? `${wanted} wanted: ${waiting.forPool} sandboxes wait; ${limits}` : `the minimum; ${limits}`,
    };
  const span = `${peak.claims} were asked for within one start-up time (${describeMs(peak.startMs)})`;
  return {
    wanted,
    asked,
    why: `${wanted} wanted: ${span} at ${timestamp(peak.at)}, which counts half every ${describeMs(halfLife)}; ${limits}`,
    fewerInMs: untilFewer(peak, wanted, now, halfLife),
  };
}

const mostReplicas = ({ spec }: SandboxPool): number => spec.maxReplicas ?? Number.MAX_SAFE_INTEGER;

/** Whether the pool may ever have a pod: waiting for one that cannot is pointless. */
export const mayHavePods = ({ spec }: SandboxPool): boolean =>
  (spec.maxReplicas ?? 1) > 0 && ((spec.replicas ?? 1) > 0 || spec.scaleToDemand !== undefined);
