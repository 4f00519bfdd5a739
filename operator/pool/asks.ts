/** When sandboxes asked pools for a pod, as far back as matters. */
import type { Clock } from '../../kube/types.js';

export interface Asks {
  /** A sandbox took a pod of the pool (`namespace/name`), or found none. */
  note(pool: string): void;
  /** Times since `since`, ascending, ms since 1970; older ones are forgotten. */
  since(pool: string, since: number): readonly number[];
  forget(pool: string): void;
}

/** No pool may keep more pods than this, so more asks change nothing. */
const MOST = 10_000;

/** Bounded by the pools that exist, as long as `forget` is called for those that go. */
export function createAsks(clock: Pick<Clock, 'now'>): Asks {
  const times = new Map<string, number[]>();
  return {
    note(pool) {
      const known = times.get(pool) ?? [];
      known.push(clock.now());
      if (known.length > 2 * MOST) known.splice(0, known.length - MOST);
      times.set(pool, known);
    },
    since(pool, since) {
      const recent = (times.get(pool) ?? []).filter((at) => at > since);
      if (recent.length === 0) times.delete(pool);
      else times.set(pool, recent);
      return recent;
    },
    forget: (pool) => void times.delete(pool),
  };
}
