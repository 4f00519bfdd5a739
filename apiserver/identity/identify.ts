/** The two ways to find out who asks: single-user mode and a login. API keys speak in both. */
import type { FastifyRequest } from 'fastify';
import type { PrismaClient } from '../db/generated/client.js';
import { ApiError } from '../http/errors.js';
import { keyOfHeaders } from './credentials.js';
import { LOCAL_USER, type Identify, type User } from './identity.js';
import type { KeyCheck } from './keys.js';
import { SCOPES, type Scope } from './scopes.js';

/** Whoever gets past the guard is the one local user. A key of ours is checked all the same: it may be narrow, or revoked. */
export function identifyLocal(keys: KeyCheck): Identify {
  return async ({ headers }) => {
    const { key } = keyOfHeaders(headers);
    if (key === undefined) return LOCAL_USER;
    const row = await keys.find(key);
    if (row === undefined) throw new ApiError('bad_key');
    return { ...LOCAL_USER, via: 'key', scopes: scopesOf(row.scopes), credential: row.id };
  };
}

/** A key in a header, else what `session` makes of the cookie. */
export function identifyByLogin(keys: KeyCheck, prisma: PrismaClient, session: Identify): Identify {
  return async (request, reply) => {
    const { key, malformed } = keyOfHeaders(request.headers);
    if (key !== undefined) return await userOfKey(keys, prisma, key);
    if (malformed) throw new ApiError('bad_key');
    return await session(request, reply);
  };
}

async function userOfKey(keys: KeyCheck, prisma: PrismaClient, key: string): Promise<User> {
  const row = await keys.find(key);
  const owner = row === undefined ? null : await prisma.user.findUnique({ where: { id: row.ownerId } });
  if (row === undefined || owner === null) throw new ApiError('bad_key');
  if (owner.disabledAt !== null) throw new ApiError('user_disabled');
  const { id, roles } = owner;
  return { id, shown: id, via: 'key', roles, scopes: scopesOf(row.scopes), credential: row.id };
}

const scopesOf = (stored: string[]): Scope[] => SCOPES.filter((scope) => stored.includes(scope));

/** The Runtime API: clients that forgot their key are told so, in single-user mode too. */
export function identifyCaller(identify: Identify): Identify {
  return (request: FastifyRequest, reply) => {
    if ((request.headers['x-api-key'] ?? '') === '') throw new ApiError('no_api_key');
    return identify(request, reply);
  };
}
