import { z } from 'zod';
import type { Prisma } from '../db/generated/client.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { readCursor, writeCursor } from '../http/page.js';
import { eventTime } from '../http/times.js';
import { idPath, limit, pageId, pathId, repeated } from '../http/validate.js';

const time = z
  .string()
  .max(64)
  .refine((value) => eventTime(value) !== undefined, 'Input should be a valid datetime')
  .transform((value) => eventTime(value) ?? '');
const filters = {
  kind__eq: z.string().max(200).optional(),
  timestamp__gte: time.optional(),
  timestamp__lt: time.optional(),
};
const countQuery = z.object(filters);
const searchQuery = z.object({
  ...filters,
  sort_order: z.enum(['TIMESTAMP', 'TIMESTAMP_DESC']).default('TIMESTAMP'),
  page_id: pageId,
  limit: limit(),
});
const batchQuery = z.object({ id: repeated });
const MAX_IDS = 100;

/** Stored history. Bodies are JSON text and are put together as text: a page costs no parsing. */
export function eventRoutes(app: Api, _deps: Deps): void {
  app.get(
    '/conversation/:id/events/search',
    { schema: { params: idPath, querystring: searchQuery } },
    async ({ params, query, owned }, reply) => {
      const { limit: size, page_id, sort_order, ...rest } = query;
      const direction = sort_order === 'TIMESTAMP' ? 'asc' : 'desc';
      const after = readCursor(page_id, 2);
      // The recorded server's tokens are plain offsets; some clients count themselves.
      const skip = after === undefined && /^[0-9]{1,6}$/.test(page_id ?? '') ? Number(page_id) : 0;
      const rows = await owned.event.findMany({
        where: {
          AND: [
            { conversationId: pathId(params.id) },
            whereOf(rest),
            after === undefined ? {} : beyond(direction, after),
          ],
        },
        orderBy: [{ timestamp: direction }, { seq: direction }],
        select: { body: true, timestamp: true, seq: true },
        skip,
        take: size + 1,
      });
      const items = rows.slice(0, size);
      const last = items.at(-1);
      const next = rows.length > size && last !== undefined ? writeCursor([last.timestamp, String(last.seq)]) : null;
      return reply
        .type('application/json')
        .send(`{"items":[${items.map(({ body }) => body).join(',')}],"next_page_id":${JSON.stringify(next)}}`);
    },
  );

  app.get(
    '/conversation/:id/events/count',
    { schema: { params: idPath, querystring: countQuery } },
    async ({ params, query, owned }) =>
      owned.event.count({
        where: { AND: [{ conversationId: pathId(params.id) }, whereOf(query)] },
      }),
  );

  app.get(
    '/conversation/:id/events',
    { schema: { params: idPath, querystring: batchQuery } },
    async ({ params, query, owned }, reply) => {
      const ids = query.id;
      if (ids.length > MAX_IDS)
        throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${MAX_IDS}.` });
      const rows = await owned.event.findMany({
        where: { conversationId: pathId(params.id), id: { in: ids } },
        select: { id: true, body: true },
      });
      const byId = new Map(rows.map(({ id, body }) => [id, body]));
      return reply.type('application/json').send(`[${ids.map((id) => byId.get(id) ?? 'null').join(',')}]`);
    },
  );
}

function whereOf(query: z.infer<typeof countQuery>): Prisma.EventWhereInput {
  const { kind__eq, timestamp__gte, timestamp__lt } = query;
  return {
    ...(kind__eq === undefined ? {} : { kind: kind__eq }),
    timestamp: {
      ...(timestamp__gte === undefined ? {} : { gte: timestamp__gte }),
      ...(timestamp__lt === undefined ? {} : { lt: timestamp__lt }),
    },
  };
}

function beyond(direction: 'asc' | 'desc', [timestamp = '', seq = '']: string[]): Prisma.EventWhereInput {
  if (!/^[0-9]{1,18}$/.test(seq)) return {};
  const than = direction === 'asc' ? 'gt' : 'lt';
  return {
    // Implied by the rest, but only this lets the index begin at the place instead of at the start of the history.
    timestamp: { [`${than}e`]: timestamp },
    OR: [{ timestamp: { [than]: timestamp } }, { timestamp, seq: { [than]: BigInt(seq) } }],
  };
}
