/** API keys in the database. */
import { randomUUID } from 'node:crypto';
import type { ApiKey, PrismaClient } from '../db/generated/client.js';
import type { Clock } from '../../kube/types.js';
import { digestOf, hintOf, newKey } from './credentials.js';
import type { Scope } from './scopes.js';

/** Of one user. */
export const MAX_KEYS = 100;

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

export type NewKey = Pick<ApiKey, 'ownerId' | 'name' | 'notBefore' | 'expiresAt'> & { scopes: Scope[] };

/** Makes a key, which is not to be had again; undefined when its owner has as many as there may be. */
export async function issueKey(
  { apiKey }: Pick<PrismaClient, 'apiKey'>,
  { scopes, ...rest }: NewKey,
): Promise<{ row: ApiKey; key: string } | undefined> {
  if ((await apiKey.count({ where: { ownerId: rest.ownerId } })) >= MAX_KEYS) return undefined;
  const key = newKey();
  const secret = { hash: digestOf(key), hint: hintOf(key) };
  const row = await apiKey.create({ data: { id: randomUUID(), ...rest, ...secret, scopes: [...new Set(scopes)] } });
  return { row, key };
}

/** Pure: begun and not over. */
export function isGood({ notBefore, expiresAt }: Pick<ApiKey, 'notBefore' | 'expiresAt'>, now: Date): boolean {
  return (notBefore === null || notBefore <= now) && (expiresAt === null || expiresAt > now);
}
