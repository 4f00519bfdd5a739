/** API keys in the database. */
import type { ApiKey, PrismaClient } from '../db/generated/client.js';
import type { Clock } from '../../kube/types.js';
import { digestOf } from './credentials.js';

/** `last_used_at` is as fine as this; a write for each request would cost more than the request. */
const USED_MS = 60_000;

export interface KeyCheck {
  /** The row of a key that is good now. */
  find(key: string): Promise<ApiKey | undefined>;
}

export function createKeyCheck({ prisma, clock }: { prisma: PrismaClient; clock: Pick<Clock, 'now'> }): KeyCheck {
  return {
    async find(key) {
      const row = await prisma.apiKey.findUnique({ where: { hash: digestOf(key) } });
      const now = new Date(clock.now());
      if (row === null || !isGood(row, now)) return undefined;
      if (row.lastUsedAt === null || now.getTime() - row.lastUsedAt.getTime() > USED_MS)
        await prisma.apiKey.updateMany({ where: { id: row.id }, data: { lastUsedAt: now } });
      return row;
    },
  };
}

/** Pure: begun and not over. */
export function isGood({ notBefore, expiresAt }: Pick<ApiKey, 'notBefore' | 'expiresAt'>, now: Date): boolean {
  return (notBefore === null || notBefore <= now) && (expiresAt === null || expiresAt > now);
}
