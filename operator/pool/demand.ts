/**
 * How many warm pods the demand asks for. Pods that are claimed come back one start-up time later; so a pool has always one
 * ready if it keeps as many as were asked for within any such time. The busiest one is remembered, and counts half after each
 * half-life. Pure.
 */
import type { SandboxPoolStatus } from '../../contracts/resources.js';
import type { Pod } from '../../kube/kinds.js';
import { durationMs, timeMs, timestamp } from '../durations.js';

export interface Peak {
  /** Sandboxes that wanted a pod within one start-up time. */
  claims: number;
  /** Ms since 1970. */
  at: number;
  startMs: number;
}

/** What is taken as the start-up time before a pod has shown one. */
export const UNKNOWN_START_MS = 30_000;
const START = { leastMs: 1_000, mostMs: 600_000 };
/** Ready pods whose start is looked at; more say nothing new. */
const SAMPLES = 50;
export const DEFAULT_HALF_LIFE_MS = 600_000;

export const halfLifeMs = (text: string | undefined): number => durationMs(text) ?? DEFAULT_HALF_LIFE_MS;

/** From creation to ready: the median of ready pods, or undefined without any. */
export function startTimeMs(ready: readonly Pod[]): number | undefined {
  const times = ready
    .slice(0, SAMPLES)
    .map(({ metadata, status }) => {
      const at = status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime;
      return (timeMs(at) ?? NaN) - (timeMs(metadata.creationTimestamp) ?? NaN);
    })
    .filter((ms) => !Number.isNaN(ms))
    .sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)];
  return median === undefined ? undefined : Math.min(START.mostMs, Math.max(START.leastMs, median));
}

/** What a peak counts now. */
export function worth(peak: Peak | undefined, now: number, halfLife: number): number {
  if (peak === undefined) return 0;
  return peak.claims * 2 ** (-Math.max(0, now - peak.at) / halfLife);
}

/** The peak after sandboxes asked at these times (ascending, ms since 1970): the busiest span, unless the one before counts more. */
export function peakAfter(
  before: Peak | undefined,
  asked: readonly number[],
  { startMs, halfLife }: { startMs: number; halfLife: number },
): Peak | undefined {
  let peak = before;
  let from = 0;
  for (const [index, at] of asked.entries()) {
    while ((asked[from] ?? at) <= at - startMs) from += 1;
    const claims = index - from + 1;
    if (claims > worth(peak, at, halfLife)) peak = { claims, at, startMs };
  }
  return peak;
}

/** Ms from now until the peak asks for fewer than `count` pods. */
export function untilFewer(peak: Peak, count: number, now: number, halfLife: number): number {
  return Math.max(1, Math.ceil(peak.at + halfLife * Math.log2(peak.claims / (count - 0.5)) - now) + 1);
}

/** The status keeps the peak, so that a new leader does not throw the pods away that the old one kept. */
export function peakOf(status: SandboxPoolStatus | undefined): Peak | undefined {
  const { claims, time, startSeconds } = status?.demand ?? {};
  const at = timeMs(time);
  if (claims === undefined || at === undefined) return undefined;
  return { claims, at, startMs: startSeconds === undefined ? UNKNOWN_START_MS : startSeconds * 1_000 };
}

export const demandOf = (peak: Peak): NonNullable<SandboxPoolStatus['demand']> => ({
  claims: peak.claims,
  time: timestamp(peak.at),
  startSeconds: Math.ceil(peak.startMs / 1_000),
});
