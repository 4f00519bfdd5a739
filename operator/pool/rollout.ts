/** Replacing warm pods of an older template: by steps, so that claims keep finding ready pods. Pure. */
import type { SandboxPool } from '../../contracts/resources.js';

type Count = number | string;

export interface RolloutLimits {
  /** Pods above the wanted number while older ones are still there. */
  surge: number;
  /** Ready pods that may be missing meanwhile. */
  unavailable: number;
}

const DEFAULT = '25%';

/** Shares are rounded as in a Deployment: surge up, unavailable down. At least one step is always possible. */
export function rolloutLimits({ spec }: SandboxPool, wanted: number): RolloutLimits {
  const room = Math.max(0, (spec.maxReplicas ?? Number.MAX_SAFE_INTEGER) - wanted);
  const surge = Math.min(room, part(spec.rollout?.maxSurge ?? DEFAULT, wanted, Math.ceil));
  const unavailable = part(spec.rollout?.maxUnavailable ?? DEFAULT, wanted, Math.floor);
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

/** How many ready pods of the older template may go, when `ready` pods could be claimed, those and new ones. */
export function removable(ready: number, wanted: number, { unavailable }: RolloutLimits): number {
  return Math.max(0, ready - Math.max(0, wanted - unavailable));
}

function part(count: Count, of: number, round: (value: number) => number): number {
  const text = String(count);
  return text.endsWith('%') ? round((of * Number(text.slice(0, -1))) / 100) : Number(text);
}
