/** Share links of a conversation: its owner makes, lists and revokes them. The link itself is shown once. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { conversationHex } from '../../contracts/names.js';
import { findConversation } from '../conversations/find.js';
import type { Share } from '../db/generated/client.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { isoZ } from '../http/times.js';
import { idPath, moment } from '../http/validate.js';
import { digestOf } from '../identity/credentials.js';
import { portRef, SHARED_NAMES, storedPort, type SharedPort } from '../shares/ports.js';
import { liveShares, MAX_SHARES, newShareSecret, revokeShare, tellSandbox } from '../shares/shares.js';

const MAX_PORTS = 16;
const MAX_DAYS = 366;
const DAY_MS = 86_400_000;

const createBody = z.object({
  name: z.string().trim().max(100).nullish(),
  expires_at: moment,
  ports: z
    .array(z.union([z.enum(SHARED_NAMES as [string, ...string[]]), z.number().int().min(1).max(65535)]))
    .max(MAX_PORTS)
    .default([]),
});
const sharePath = idPath.extend({ share_id: z.string().max(100) });

export function shareRoutes(app: Api, deps: Deps): void {
  const { clock, directory } = deps;

  app.get('/app-conversations/:id/shares', { schema: { params: idPath } }, async ({ params, owned }) => {
    const { id } = await findConversation(owned, params.id);
    const rows = await owned.share.findMany({
      where: { conversationId: id, expiresAt: { gt: new Date(clock.now()) } },
      orderBy: [{ createdAt: 'desc' }, { id: 'asc' }],
      take: MAX_SHARES,
    });
    return { items: rows.map(shown) };
  });

  app.post(
    '/app-conversations/:id/shares',
    { schema: { params: idPath, body: createBody } },
    async ({ params, body, owned, user }, reply) => {
      const conversation = await findConversation(owned, params.id);
      const { name, expires_at: expiresAt } = body;
      const now = clock.now();
      if (expiresAt.getTime() <= now) throw new ApiError('bad_share', { text: 'expires_at is in the past.' });
      if (expiresAt.getTime() > now + MAX_DAYS * DAY_MS)
        throw new ApiError('bad_share', { text: `expires_at is more than ${MAX_DAYS} days away.` });
      const sandbox = directory.get(conversation.sandboxId);
      const ports = body.ports.map((port) => {
        const stored = storedPort(port as SharedPort, sandbox);
        if (stored === undefined)
          throw new ApiError('bad_share', { text: `Port ${port} is the sandbox itself and cannot be shared.` });
        return stored;
      });
      await owned.share.deleteMany({ where: { conversationId: conversation.id, expiresAt: { lte: new Date(now) } } });
      if ((await liveShares(deps, conversation.sandboxId)).length >= MAX_SHARES) throw new ApiError('too_many_shares');
      const secret = newShareSecret();
      const row = await owned.share.create({
        data: {
          id: conversationHex(randomUUID()),
          ownerId: user.id,
          conversationId: conversation.id,
          name: name ?? null,
          hash: digestOf(secret),
          ports: [...new Set(ports)],
          expiresAt,
        },
      });
      try {
        await tellSandbox(deps, conversation.sandboxId);
      } catch (error) {
        // Nobody has its secret: nobody would miss it.
        await owned.share.deleteMany({ where: { id: row.id } });
        throw error;
      }
      const link = `/shared/conversations/${conversation.id}#${secret}`;
      return reply.header('cache-control', 'no-store').send({ ...shown(row), secret, link });
    },
  );

  app.delete(
    '/app-conversations/:id/shares/:share_id',
    { schema: { params: sharePath } },
    async ({ params, owned }) => {
      const conversation = await findConversation(owned, params.id);
      const where = { id: params.share_id, conversationId: conversation.id };
      if ((await owned.share.findFirst({ where })) === null) throw new ApiError('share_not_found');
      await revokeShare(deps, conversation, params.share_id);
      return { success: true };
    },
  );
}

function shown(row: Share): Record<string, unknown> {
  return {
    id: row.id,
    conversation_id: row.conversationId,
    name: row.name,
    ports: row.ports.map(portRef),
    created_at: isoZ(row.createdAt),
    expires_at: isoZ(row.expiresAt),
    last_used_at: row.lastUsedAt === null ? null : isoZ(row.lastUsedAt),
  };
}
