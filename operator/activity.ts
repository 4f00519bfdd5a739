/** When a sandbox was last used, as far as its resource tells. */
import { ANNOTATION } from '../contracts/labels.js';
import type { Sandbox } from '../contracts/resources.js';
import { timeMs } from './durations.js';

/** Ms since 1970; 0 without any sign. A time in the future counts as now: a wrong clock keeps nothing alive for ever. */
export function lastSign({ metadata, status }: Sandbox, now: number): number {
  return Math.max(
    timeMs(status?.claimedAt) ?? 0,
    timeMs(status?.startedAt) ?? 0,
    timeMs(status?.lastActivityTime) ?? 0,
    Math.min(timeMs(metadata.annotations?.[ANNOTATION.lastTraffic]) ?? 0, now),
  );
}
