/** `/api/conversations`: made, found, listed, changed, deleted. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { EXECUTION_STATUSES } from '../../contracts/agent/events.js';
import type { Context } from '../context.js';
import type { ConversationRecord } from '../conversations/record.js';
import { startSchema, updateSchema } from '../conversations/requests.js';
import type { Live } from '../conversations/service.js';
import { notFound } from '../http/errors.js';
import { optionalChoice, optionalFlag, optionalText, pageLimit, requiredUuids, type Query } from '../http/query.js';
import { bodyOf, conversationId, queryOf, SUCCESS } from '../http/route.js';
import { hexOf, parseUuid } from '../http/uuid.js';

const ORDERS = ['CREATED_AT', 'UPDATED_AT', 'CREATED_AT_DESC', 'UPDATED_AT_DESC'] as const;

/** The conversation of the path, if this server owns it; else 404 with these words. */
export async function liveOf(context: Context, request: FastifyRequest, detail?: string): Promise<Live> {
  const live = await context.conversations.live(conversationId(request));
  if (live === undefined) throw notFound(detail);
  return live;
}

export function conversationRoutes(app: FastifyInstance, context: Context): void {
  const { conversations } = context;

  app.get('/api/conversations', (request) =>
    requiredUuids(queryOf(request), 'ids').map((id) => {
      const record = conversations.record(id);
      return record === undefined ? null : conversations.info(record);
    }),
  );
  app.post('/api/conversations', async (request, reply) => {
    const { record, created } = await conversations.create(bodyOf(request, startSchema));
    return reply.code(created ? 201 : 200).send(conversations.info(record, { runtime: false }));
  });
  app.get('/api/conversations/search', (request) => {
    const { items, nextPageId } = pageOf(conversations.records(), queryOf(request));
    return { items: items.map((record) => conversations.info(record)), next_page_id: nextPageId };
  });
  app.get('/api/conversations/count', (request, reply) => {
    const status = optionalChoice(queryOf(request), 'status', EXECUTION_STATUSES);
    const count = conversations.records().filter((record) => status === undefined || record.status === status).length;
    return reply.type('application/json').send(String(count));
  });
  app.post('/api/conversations/prepare-for-sandbox-pause', async (_request, reply) => {
    await context.webhooks.flush(5000);
    return reply.code(204).send();
  });
  app.get('/api/conversations/:conversation_id', (request) => {
    const record = conversations.record(conversationId(request));
    if (record === undefined) throw notFound();
    const includeSkills = optionalFlag(queryOf(request), 'include_skills');
    return conversations.info(record, includeSkills === undefined ? {} : { includeSkills });
  });
  app.patch('/api/conversations/:conversation_id', async (request) => {
    const id = conversationId(request);
    const body = bodyOf(request, updateSchema);
    const { conversation } = (await conversations.live(id)) ?? {};
    if (conversation === undefined) throw notFound();
    if (body.title != null || body.tags != null) {
      await conversation.update(
        (record) => {
          if (body.title != null) record.title = body.title;
          if (body.tags != null) record.tags = body.tags;
        },
        body.tags == null ? [] : ['tags'],
      );
      conversations.announce(conversation.record);
    }
    return SUCCESS;
  });
  app.delete('/api/conversations/:conversation_id', async (request) => {
    if (!(await conversations.remove(conversationId(request)))) throw notFound();
    return SUCCESS;
  });
}

/** One page of conversations; an unknown page id gives the first page. */
export function pageOf(
  records: ConversationRecord[],
  query: Query,
): { items: ConversationRecord[]; nextPageId: string | null } {
  const limit = pageLimit(query);
  const status = optionalChoice(query, 'status', EXECUTION_STATUSES);
  const order = optionalChoice(query, 'sort_order', ORDERS) ?? 'CREATED_AT_DESC';
  const time = (record: ConversationRecord) => (order.startsWith('UPDATED') ? record.updatedAt : record.createdAt);
  const sign = order.endsWith('_DESC') ? -1 : 1;
  const sorted = records
    .filter((record) => status === undefined || record.status === status)
    .sort((a, b) => sign * (time(a) - time(b)));
  const page = parseUuid(optionalText(query, 'page_id') ?? '');
  const start = Math.max(
    0,
    sorted.findIndex((record) => record.id === page),
  );
  const next = sorted[start + limit];
  return { items: sorted.slice(start, start + limit), nextPageId: next === undefined ? null : hexOf(next.id) };
}
