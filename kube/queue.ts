/**
 * The work queue of a controller. Merge rules:
 * 1. One entry per key. Adding a key that waits merges: the highest priority and the earliest time win.
 * 2. Never two workers on one key. A key added while it is worked on is kept back and handed out again after `done`.
 * 3. Handed out: of what is due, the highest priority first, then in the order in which it became due.
 * 4. `retry` adds with exponential backoff per key; `forget` resets it.
 * Entries and backoff counts are removed when done, so memory is bounded by the keys that exist.
 */
import { ceiling } from './backoff.js';
import { createTimeHeap } from './heap.js';
import type { KubeMetrics } from './metrics.js';
import type { Clock } from './types.js';

export interface AddOptions {
  /** Higher goes first; default 0. */
  priority?: number;
  /** Not before this much time from now; default at once. */
  afterMs?: number;
}

export interface RetryOptions extends AddOptions {
  /** The backoff grows no further than this. */
  capMs?: number;
}

export interface WorkItem {
  key: string;
  priority: number;
}

export interface WorkQueue {
  add(key: string, options?: AddOptions): void;
  /** Adds with the key's next backoff (at least `afterMs`). Answers the wait in ms. */
  retry(key: string, options?: RetryOptions): number;
  forget(key: string): void;
  /** The next due key, now held by the caller until `done(key)`; undefined once closed. Waits. */
  take(): Promise<WorkItem | undefined>;
  done(key: string): void;
  /** Due and not yet handed out. */
  depth(): number;
  /** All entries: due, waiting for their time, and kept back behind a worker. */
  size(): number;
  /** Nothing is handed out any more; waiting takers get undefined. */
  close(): void;
}

export interface QueueOptions {
  clock: Clock;
  name?: string;
  /** Default 50 ms doubling up to 5 minutes, plus up to 20 % at random. */
  backoff?: { baseMs: number; capMs: number };
  metrics?: KubeMetrics | undefined;
  random?: () => number;
}

interface Entry extends WorkItem {
  at: number;
}

const BACKOFF = { baseMs: 50, capMs: 300_000 };
const JITTER = 0.2;
/** Timers cannot hold more than about 24 days; a far entry is just looked at again. */
const LONGEST_SLEEP_MS = 3_600_000;

export function createQueue(options: QueueOptions): WorkQueue {
  const { clock, metrics, name = 'queue', backoff = BACKOFF, random = Math.random } = options;
  // By the wall clock, a machine whose time is set back an hour would leave every timed visit undone for that hour.
  const monotonic = clock.monotonic ?? clock.now;
  const entries = new Map<string, Entry>();
  const running = new Map<string, number>();
  const failures = new Map<string, number>();
  const due = createDue();
  const later = createTimeHeap<Entry>(
    (entry, at) =>
      entries.get(entry.key) === entry && entry.at === at && !due.has(entry.key) && !running.has(entry.key),
  );
  const takers: ((item: WorkItem | undefined) => void)[] = [];
  const unlook = metrics?.queue(name, () => ({
    depths: due.depths(),
    workedSeconds: [...running.values()].map((started) => Math.max(0, monotonic() - started) / 1000),
  }));
  let closed = false;
  let armed: { at: number; cancel: AbortController } | undefined;

  const place = (entry: Entry): void => {
    if (running.has(entry.key)) return;
    if (entry.at > monotonic()) {
      later.push(entry.at, entry);
      arm();
    } else {
      metrics?.queueAdd(name);
      due.add(entry);
      handOut();
    }
  };
  const handOut = (): void => {
    while (takers.length > 0 && due.size() > 0) {
      const entry = due.shift() as Entry;
      entries.delete(entry.key);
      const now = monotonic();
      running.set(entry.key, now);
      metrics?.queueWaited(name, Math.max(0, now - entry.at) / 1000);
      takers.shift()?.({ key: entry.key, priority: entry.priority });
    }
  };
  /** One timer, for the earliest entry. */
  const arm = (): void => {
    const next = later.peek();
    if (closed || next === undefined || (armed !== undefined && armed.at <= next)) return;
    armed?.cancel.abort();
    const mine = { at: next, cancel: new AbortController() };
    armed = mine;
    const wait = Math.min(Math.max(0, next - monotonic()), LONGEST_SLEEP_MS);
    clock.sleep(wait, mine.cancel.signal).then(
      () => {
        if (armed !== mine) return;
        armed = undefined;
        for (const entry of later.takeUntil(monotonic())) place(entry);
        arm();
      },
      // Cancelled because an earlier entry came, or closed.
      () => undefined,
    );
  };

  const queue: WorkQueue = {
    add(key, { priority = 0, afterMs = 0 } = {}) {
      if (closed) return;
      const at = monotonic() + Math.max(0, afterMs);
      const entry = entries.get(key);
      if (entry === undefined) {
        const fresh = { key, priority, at };
        entries.set(key, fresh);
        place(fresh);
        return;
      }
      const earlier = at < entry.at;
      const raised = priority > entry.priority && due.has(key);
      if (raised) due.remove(entry);
      entry.priority = Math.max(entry.priority, priority);
      entry.at = Math.min(entry.at, at);
      if (raised) due.add(entry);
      else if (earlier) place(entry);
    },
    retry(key, { priority = 0, afterMs = 0, capMs = Infinity } = {}) {
      const failed = failures.get(key) ?? 0;
      failures.set(key, failed + 1);
      const wait = Math.max(afterMs, Math.min(ceiling(failed, backoff), capMs) * (1 + JITTER * random()));
      metrics?.queueRetry(name);
      queue.add(key, { priority, afterMs: wait });
      return wait;
    },
    forget: (key) => void failures.delete(key),
    take() {
      if (closed) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        takers.push(resolve);
        handOut();
      });
    },
    done(key) {
      const started = running.get(key);
      if (started === undefined) return;
      running.delete(key);
      metrics?.queueWorked(name, Math.max(0, monotonic() - started) / 1000);
      const entry = entries.get(key);
      if (entry !== undefined && !closed) place(entry);
    },
    depth: () => due.size(),
    size: () => entries.size,
    close() {
      closed = true;
      unlook?.();
      armed?.cancel.abort();
      for (const taker of takers.splice(0)) taker(undefined);
    },
  };
  return queue;
}

/** Due entries: a FIFO per priority. Few distinct priorities, so finding the highest is cheap. */
function createDue() {
  const levels = new Map<number, Map<string, Entry>>();
  const members = new Set<string>();
  const remove = (entry: Entry): void => {
    const level = levels.get(entry.priority);
    level?.delete(entry.key);
    if (level?.size === 0) levels.delete(entry.priority);
    members.delete(entry.key);
  };
  return {
    has: (key: string) => members.has(key),
    size: () => members.size,
    depths: () => new Map([...levels].map(([priority, level]) => [priority, level.size])),
    remove,
    add(entry: Entry): void {
      if (members.has(entry.key)) return;
      members.add(entry.key);
      const level = levels.get(entry.priority);
      if (level === undefined) levels.set(entry.priority, new Map([[entry.key, entry]]));
      else level.set(entry.key, entry);
    },
    shift(): Entry | undefined {
      if (levels.size === 0) return undefined;
      const first = levels
        .get(Math.max(...levels.keys()))
        ?.values()
        .next().value;
      if (first !== undefined) remove(first);
      return first;
    },
  };
}
