/** The loop around a reconcile function: takes keys, bounds time, turns outcomes into the next visit. */
import { setMaxListeners } from 'node:events';
import { isConflict, KubeError } from './errors.js';
import type { Log } from './log.js';
import type { KubeMetrics, ReconcileResult } from './metrics.js';
import { retry, type Outcome } from './outcome.js';
import { createQueue, type AddOptions, type WorkItem, type WorkQueue } from './queue.js';
import type { Clock } from './types.js';

export { done, wait, stalled, retry, collapse, type Outcome } from './outcome.js';

/**
 * Brings the world of one key to what is declared. Called with a key, never with an event: it reads what is true now (a
 * cache, or a missing object: then it cleans up or answers done). At most one call per key runs at a time; calls may be
 * merged, repeated, and made after nothing changed. Throwing is the same as answering retry(error).
 * `signal` is aborted when the reconcile ran out of time or the controller stops.
 */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<Outcome>;

export interface ControllerOptions {
  name: string;
  reconcile: Reconcile;
  clock: Clock;
  log: Log;
  /** Parallel reconciles (of different keys); default 1. */
  workers?: number;
  /** Default: an own queue. */
  queue?: WorkQueue;
  /** Of one reconcile; default 2 minutes. Then its signal is aborted; the key stays held until it returns. */
  timeoutMs?: number;
  metrics?: KubeMetrics | undefined;
  /** Aborts: stop at once, reconciles included. */
  signal?: AbortSignal | undefined;
}

export interface Controller {
  readonly queue: WorkQueue;
  add(key: string, options?: AddOptions): void;
  /** Takes no new keys, lets running reconciles finish for `graceMs` (default 3 s), then aborts their signals and waits. */
  stop(graceMs?: number): Promise<void>;
}

const TIMEOUT_MS = 120_000;
const CONFLICT_CAP_MS = 1_000;
/** Below the 5 s between the end of a leader's term and the earliest start of another's (lease.ts). */
const GRACE_MS = 3_000;

export function startController(options: ControllerOptions): Controller {
  const { name, reconcile, clock, log, metrics, workers = 1, timeoutMs = TIMEOUT_MS } = options;
  const queue = options.queue ?? createQueue({ clock, name, metrics });
  const monotonic = clock.monotonic ?? clock.now;
  const stopping = new AbortController();
  // Every running reconcile listens for the stop.
  setMaxListeners(workers + 10, stopping.signal);
  let active = 0;

  const work = async ({ key, priority }: WorkItem): Promise<void> => {
    const started = monotonic();
    metrics?.workers(name, ++active);
    const outcome = await bounded({ reconcile, key, clock, timeoutMs, log, name, stop: stopping.signal });
    metrics?.workers(name, --active);
    const seconds = Math.max(0, monotonic() - started) / 1000;
    metrics?.reconcile({ name, result: RESULTS[outcome.type], seconds });
    if (!stopping.signal.aborted) settle({ queue, log, name, key, priority, outcome });
    queue.done(key);
  };
  const worker = async (): Promise<void> => {
    for (let item = await queue.take(); item !== undefined; item = await queue.take()) await work(item);
  };
  const onAbort = (): void => {
    stopping.abort();
    queue.close();
  };
  if (options.signal?.aborted === true) onAbort();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  metrics?.controller(name, workers);
  const ended = Promise.all(Array.from({ length: workers }, worker)).finally(() =>
    options.signal?.removeEventListener('abort', onAbort),
  );

  return {
    queue,
    add: (key, addOptions) => queue.add(key, addOptions),
    async stop(graceMs = GRACE_MS) {
      queue.close();
      const finished = new AbortController();
      const grace = clock.sleep(graceMs, finished.signal).then(
        () => stopping.abort(),
        () => undefined,
      );
      await ended;
      finished.abort();
      await grace;
    },
  };
}

const RESULTS: Record<Outcome['type'], ReconcileResult> = {
  done: 'success',
  wait: 'requeue_after',
  stalled: 'terminal_error',
  retry: 'error',
};

interface Settled {
  queue: WorkQueue;
  log: Log;
  name: string;
  key: string;
  priority: number;
  outcome: Outcome;
}

/** Runs before `queue.done`, so that the key cannot be handed out in between. A timed visit keeps the priority of this one. */
function settle({ queue, log, name: controller, key, priority, outcome }: Settled): void {
  switch (outcome.type) {
    case 'done':
      queue.forget(key);
      return;
    case 'wait':
      queue.forget(key);
      queue.add(key, { priority, afterMs: outcome.ms });
      log.debug({ controller, key, ms: outcome.ms, reason: outcome.reason }, 'waiting');
      return;
    case 'stalled':
      queue.forget(key);
      log.info({ controller, key, reason: outcome.reason }, 'stalled until something changes');
      return;
    case 'retry': {
      const { error } = outcome;
      const afterMs = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
      // A conflict only says that the cache was behind: by now it may have caught up, however often that was so.
      const behind = isConflict(error);
      const ms = Math.round(queue.retry(key, { priority, afterMs, ...(behind ? { capMs: CONFLICT_CAP_MS } : {}) }));
      log[behind ? 'debug' : 'warn']({ controller, key, ms, err: error }, 'reconcile failed, trying again');
    }
  }
}

interface Bounded {
  reconcile: Reconcile;
  key: string;
  clock: Clock;
  timeoutMs: number;
  log: Log;
  name: string;
  stop: AbortSignal;
}

async function bounded({ reconcile, key, clock, timeoutMs, log, name, stop }: Bounded): Promise<Outcome> {
  const call = new AbortController();
  const timer = new AbortController();
  const onStop = (): void => call.abort(new Error('the controller stops'));
  stop.addEventListener('abort', onStop, { once: true });
  if (stop.aborted) onStop();
  void clock.sleep(timeoutMs, timer.signal).then(
    () => {
      log.warn({ controller: name, key, timeoutMs }, 'a reconcile takes too long, aborting it');
      call.abort(new Error(`the reconcile took longer than ${timeoutMs} ms`));
    },
    // The reconcile came first.
    () => undefined,
  );
  try {
    return await reconcile(key, call.signal);
  } catch (error) {
    return retry(error);
  } finally {
    timer.abort();
    stop.removeEventListener('abort', onStop);
  }
}
