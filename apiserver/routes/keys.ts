/** API keys of the user: `/api/keys`, as OpenHands has them, with scopes. The key itself is shown once. */
import { z } from 'zod';
import type { ApiKey } from '../db/generated/client.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { isoZ } from '../http/times.js';
import { idPath, moment } from '../http/validate.js';
import { issueKey, MAX_KEYS } from '../identity/keys.js';
import { SCOPES } from '../identity/scopes.js';

const createBody = z
  .object({
    name: z.string().trim().max(100).nullish(),
    scopes: z.array(z.enum(SCOPES)).min(1).default(['full']),
    not_before: moment.nullish(),
    expires_at: moment.nullish(),
  })
  .refine(({ not_before, expires_at }) => (not_before ?? 0) < (expires_at ?? Infinity), {
    path: ['expires_at'],
    error: 'Input should be after not_before',
  });

export function keyRoutes(app: Api, { clock }: Deps): void {
  app.get('/keys', async ({ owned }) => {
    const rows = await owned.apiKey.findMany({ orderBy: [{ createdAt: 'desc' }, { id: 'asc' }], take: MAX_KEYS });
    return rows.map(shownKey);
  });

  // A key cannot make keys: one that leaks would live on in others.
  app.post(
    '/keys',
    { config: { need: 'session' }, schema: { body: createBody } },
    async ({ body, owned, user }, reply) => {
      const { name, scopes, not_before, expires_at } = body;
      if (expires_at != null && expires_at.getTime() <= clock.now())
        throw new ApiError('bad_key_request', { text: 'expires_at is in the past.' });
      const made = await issueKey(owned, {
        ownerId: user.id,
        name: name ?? null,
        scopes,
        notBefore: not_before ?? null,
        expiresAt: expires_at ?? null,
      });
      if (made === undefined) throw new ApiError('too_many_keys');
      return reply.header('cache-control', 'no-store').send({ ...shownKey(made.row), key: made.key });
    },
  );

  app.get('/keys/current', { config: { need: 'read' } }, async ({ owned, user }) => {
    const row =
      user.via === 'key' && user.credential !== undefined
        ? await owned.apiKey.findUnique({ where: { id: user.credential } })
        : null;
    if (row === null) throw new ApiError('key_not_found');
    return { ...shownKey(row), bound_org_id: null, user_id: user.shown, auth_type: 'bearer' };
  });

  app.delete('/keys/:id', { config: { need: 'session' }, schema: { params: idPath } }, async ({ params, owned }) => {
    const { count } = await owned.apiKey.deleteMany({ where: { id: params.id } });
    if (count === 0) throw new ApiError('key_not_found');
    return { message: 'API key deleted successfully' };
  });
}

/** A key as it is listed: without itself. */
export function shownKey(row: ApiKey): Record<string, unknown> {
  const time = (at: Date | null) => (at === null ? null : isoZ(at));
  return {
    id: row.id,
    name: row.name,
    hint: row.hint,
    scopes: row.scopes,
    created_at: isoZ(row.createdAt),
    last_used_at: time(row.lastUsedAt),
    not_before: time(row.notBefore),
    expires_at: time(row.expiresAt),
    org_id: null,
  };
}
