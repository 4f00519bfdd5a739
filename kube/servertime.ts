/**
 * The API server's clock. A controller compares "now" with times that the API server wrote, and writes times that others
 * compare with those; by its own wall clock, a node that is ten minutes fast sees every new pod as ten minutes old.
 */

export interface ServerTime {
  /** ms since 1970. By the own wall clock, as it was at the start, until an answer has shown that the server's differs. */
  now(): number;
  /**
   * Of an answer: its Date header, and when the call began and ended, on the monotonic clock. The header is cut to the second
   * and was written somewhere in between, so it bounds what the server's clock can say; within the bounds nothing moves.
   */
  note(header: string | undefined, call: { began: number; ended: number }): void;
}

export function createServerTime(wall: () => number, monotonic: () => number = () => performance.now()): ServerTime {
  // Wall clocks are set; a monotonic clock is not. What it misses while a machine is suspended the next answer puts right.
  let offset = wall() - monotonic();
  return {
    now: () => offset + monotonic(),
    note(header, { began, ended }) {
      const date = Date.parse(header ?? '');
      if (!Number.isNaN(date)) offset = Math.min(Math.max(offset, date - ended), date + 1_000 - began);
    },
  };
}
