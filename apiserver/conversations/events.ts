/** Reads of stored history. Bodies are JSON text and are put together as text: a page costs no parsing. */
import { z } from 'zod';
import type { Prisma } from '../db/generated/client.js';
import type { OwnedDb } from '../db/owned.js';
import { readCursor, writeCursor } from '../http/page.js';
import { eventTime } from '../http/times.js';
import { limit, pageId } from '../http/validate.js';

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
export const eventCountQuery = z.object(filters);
export const eventSearchQuery = z.object({
  ...filters,
  sort_order: z.enum(['TIMESTAMP', 'TIMESTAMP_DESC']).default('TIMESTAMP'),
  page_id: pageId,
  limit: limit(),
});
export type EventSearch = z.infer<typeof eventSearchQuery>;
export type EventFilters = z.infer<typeof eventCountQuery>;

type Events = Pick<OwnedDb, 'event'>;

/** Which events: of a conversation (hex), without some kinds. */
export interface EventScope {
  conversationId: string;
  without?: readonly string[];
}

/** A page as JSON text: `{items, next_page_id}`. */
export async function searchEvents(db: Events, scope: EventScope, query: EventSearch): Promise<string> {
  const { limit: size, page_id, sort_order, ...rest } = query;
  const direction = sort_order === 'TIMESTAMP' ? 'asc' : 'desc';
  const after = readCursor(page_id, 2);
  // The recorded server's tokens are plain offsets; some clients count themselves.
  const skip = after === undefined && /^[0-9]{1,6}$/.test(page_id ?? '') ? Number(page_id) : 0;
  const rows = await db.event.findMany({
    where: { AND: [inScope(scope), whereOf(rest), after === undefined ? {} : beyond(direction, after)] },
    orderBy: [{ timestamp: direction }, { seq: direction }],
    select: { body: true, timestamp: true, seq: true },
    skip,
    take: size + 1,
  });
  const items = rows.slice(0, size);
  const last = items.at(-1);
  const next = rows.length > size && last !== undefined ? writeCursor([last.timestamp, String(last.seq)]) : null;
  return `{"items":[${items.map(({ body }) => body).join(',')}],"next_page_id":${JSON.stringify(next)}}`;
}

export const countEvents = (db: Events, scope: EventScope, query: EventFilters): Promise<number> =>
  db.event.count({ where: { AND: [inScope(scope), whereOf(query)] } });

/** The events of some ids as JSON text: a list in the order of `ids`, null for what is not there. */
export async function eventsById(db: Events, scope: EventScope, ids: string[]): Promise<string> {
  const rows = await db.event.findMany({
    where: { AND: [inScope(scope), { id: { in: ids } }] },
    select: { id: true, body: true },
  });
  const byId = new Map(rows.map(({ id, body }) => [id, body]));
  return `[${ids.map((id) => byId.get(id) ?? 'null').join(',')}]`;
}

const inScope = ({ conversationId, without = [] }: EventScope): Prisma.EventWhereInput => ({
  conversationId,
  ...(without.length === 0 ? {} : { kind: { notIn: [...without] } }),
});

function whereOf(query: EventFilters): Prisma.EventWhereInput {
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
