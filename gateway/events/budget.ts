/**
 * Memory that all readers of histories share. Whoever finds too little waits his turn; whoever holds some for a client that does
 * not read gives it up as soon as somebody waits, so that slow clients keep nobody from reading.
 */

export interface Lease {
  /** Called once when the memory is wanted by others; only while set. */
  wanted: (() => void) | undefined;
  /** Gives it back. Again is harmless. */
  release(): void;
}

export interface Budget {
  /** Waits for `bytes`, which must not exceed the whole; undefined when `signal` ends the wait. One user gets a quarter. */
  take(bytes: number, user: string, signal: AbortSignal): Promise<Lease | undefined>;
  /** Somebody waits. */
  isShort(): boolean;
}

interface Waiting {
  bytes: number;
  user: string;
  grant: () => void;
}

export function createBudget(total: number): Budget {
  let free = total;
  const queue = new Set<Waiting>();
  const leases = new Set<Lease>();
  const held = new Map<string, number>();

  const hold = (user: string, bytes: number) => {
    free -= bytes;
    const now = (held.get(user) ?? 0) + bytes;
    if (now === 0) held.delete(user);
    else held.set(user, now);
  };
  const hasHisShare = ({ user, bytes }: Waiting) => {
    const has = held.get(user) ?? 0;
    return has > 0 && has + bytes > total / 4;
  };
  const serve = () => {
    for (const waiting of queue) {
      if (hasHisShare(waiting)) continue;
      if (waiting.bytes > free) break;
      queue.delete(waiting);
      hold(waiting.user, waiting.bytes);
      waiting.grant();
    }
    if (queue.size > 0) for (const lease of [...leases]) lease.wanted?.();
  };
  const leaseOf = (user: string, bytes: number): Lease => {
    const lease: Lease = {
      wanted: undefined,
      release() {
        if (!leases.delete(lease)) return;
        hold(user, -bytes);
        serve();
      },
    };
    leases.add(lease);
    return lease;
  };
  return {
    isShort: () => queue.size > 0,
    take: (bytes, user, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve(undefined);
        const gone = () => {
          // The next in line may want less.
          if (queue.delete(waiting)) serve();
          resolve(undefined);
        };
        const grant = () => {
          signal.removeEventListener('abort', gone);
          resolve(leaseOf(user, bytes));
        };
        const waiting = { bytes, user, grant };
        signal.addEventListener('abort', gone, { once: true });
        queue.add(waiting);
        serve();
      }),
  };
}
