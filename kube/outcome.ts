/**
 * What a reconcile can answer; nothing else exists.
 * - done: as declared. The key comes back when something changes.
 * - wait: look again after `ms`, or earlier when something changes. No failure: the backoff is reset.
 * - stalled: no retry can help (the declaration is wrong); only a change brings the key back.
 * - retry: something failed; again with exponential backoff.
 */
export type Outcome =
  | { readonly type: 'done' }
  | { readonly type: 'wait'; readonly ms: number; readonly reason: string }
  | { readonly type: 'stalled'; readonly reason: string }
  | { readonly type: 'retry'; readonly error: unknown };

export const done: Outcome = { type: 'done' };
export const wait = (ms: number, reason: string): Outcome => ({ type: 'wait', ms, reason });
export const stalled = (reason: string): Outcome => ({ type: 'stalled', reason });
export const retry = (error: unknown): Outcome => ({ type: 'retry', error });

const URGENCY = { done: 0, wait: 1, stalled: 2, retry: 3 } as const;

/** The most urgent of two: retry, then stalled, then the shorter wait, then done. */
export function collapse(a: Outcome, b: Outcome): Outcome {
  if (a.type === 'wait' && b.type === 'wait') return b.ms < a.ms ? b : a;
  return URGENCY[b.type] > URGENCY[a.type] ? b : a;
}
