/** W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context/): which trace a request belongs to. */
import { randomFillSync } from 'node:crypto';

/** Version, trace id, parent id and flags; later versions may add more behind a dash, 00 may not. */
const FORM = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=-|$)/;
const LENGTH = 55;
const MAX_LENGTH = 256;

export const isTraceParent = (value: string): boolean =>
  FORM.test(value) && (value.length === LENGTH || (value.length <= MAX_LENGTH && !value.startsWith('00')));

const BYTES = 24;
/** Random bytes are fetched for many requests at once: one call each would cost more than all the rest of this. */
const pool = Buffer.alloc(BYTES * 128);
let at = pool.length;

/** Begins a trace. Its flag says sampled, as the access log does record it; with 0 the pod's own tracing would go silent. */
export function newTraceParent(): string {
  if (at === pool.length) {
    randomFillSync(pool);
    at = 0;
  }
  const hex = pool.toString('hex', at, (at += BYTES));
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-01`;
}

/** The trace id in a valid traceparent. */
export const traceIdOf = (traceParent: string): string => traceParent.slice(3, 35);
