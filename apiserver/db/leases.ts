/**
 * What only one of several API servers may do at a time. A lease belongs to a process until a time by the database's clock:
 * clocks of replicas need not agree, and whoever is killed loses it when it runs out.
 */
import { randomUUID } from 'node:crypto';
import type { Database } from './open.js';

export interface Leases {
  /** Takes or prolongs a lease. False: another process has it. */
  take(name: string, ms: number): Promise<boolean>;
  /** Gives it back before its time, if it is still this process's. */
  release(name: string): Promise<void>;
  /** Forgets what the dead left behind. */
  sweep(): Promise<void>;
}

const TAKE = `
INSERT INTO leases (name, holder, until) VALUES ($1, $2, now() + $3 * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE leases.until < now() OR leases.holder = excluded.holder
RETURNING name`;

const SWEEP = `DELETE FROM leases WHERE until < now() - interval '1 hour'`;

export function createLeases(
  { query, embedded }: Pick<Database, 'query' | 'embedded'>,
  holder: string = randomUUID(),
): Leases {
  // One process has an embedded database alone.
  if (embedded)
    return { take: () => Promise.resolve(true), release: () => Promise.resolve(), sweep: () => Promise.resolve() };
  return {
    take: async (name, ms) => (await query(TAKE, [name, holder, ms])).length === 1,
    release: async (name) => void (await query('DELETE FROM leases WHERE name = $1 AND holder = $2', [name, holder])),
    sweep: async () => void (await query(SWEEP)),
  };
}
