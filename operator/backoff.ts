/** How long to wait before a lost pod is replaced. */

export interface CrashPolicy {
  /** Wait before the second replacement in a row, ms; doubles with each further one. The first is made at once. */
  firstDelayMs: number;
  maxDelayMs: number;
  /** Losses in a row that are repaired; one more and the sandbox is Failed. */
  budget: number;
  /** A pod that was healthy for this long ends the row, ms. */
  healthyMs: number;
}

export const CRASH_POLICY: CrashPolicy = {
  firstDelayMs: 10_000,
  maxDelayMs: 300_000,
  budget: 5,
  healthyMs: 600_000,
};

/** Delay in ms after the `failures`-th loss in a row (1 = first). */
export function crashDelayMs(policy: CrashPolicy, failures: number): number {
  if (failures <= 1) return 0;
  return Math.min(policy.firstDelayMs * 2 ** Math.min(failures - 2, 20), policy.maxDelayMs);
}
