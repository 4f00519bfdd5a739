/**
 * Exponential backoff with full jitter: `random() * min(cap, base * 2^failures)`. Full jitter spreads the clients of a server
 * that came back over the whole window.
 */
export function fullJitter(
  failures: number,
  bounds: { baseMs: number; capMs: number },
  random: () => number = Math.random,
): number {
  return random() * ceiling(failures, bounds);
}

/** The same bound without jitter. `failures` counts from 0. */
export function ceiling(failures: number, { baseMs, capMs }: { baseMs: number; capMs: number }): number {
  return Math.min(capMs, baseMs * 2 ** Math.min(failures, 40));
}
