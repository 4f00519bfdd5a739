/** `/api/conversations/{id}/events`: history, and messages to the agent. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { AgentEvent } from '../../contracts/agent/events.js';
import type { Context } from '../context.js';
import { withNulls } from '../conversations/forms.js';
import { messageSchema, respondSchema } from '../conversations/requests.js';
import { userMessage } from '../conversations/new-record.js';
import type { Live } from '../conversations/service.js';
import { notFound } from '../http/errors.js';
import { optionalChoice, optionalText, optionalTime, pageLimit, type Query } from '../http/query.js';
import { bodyOf, conversationId, paramOf, queryOf, SUCCESS } from '../http/route.js';
import { countEvents, searchEvents, type EventFilter } from '../log/search.js';

const BASE = '/api/conversations/:conversation_id/events';
const idsSchema = z.array(z.string()).max(1000);

export function eventRoutes(app: FastifyInstance, context: Context): void {
  const find = async (request: FastifyRequest): Promise<Live> => {
    const id = conversationId(request);
    const live = await context.conversations.live(id);
    if (live === undefined) throw notFound(`Conversation not found: ${id}`);
    return live;
  };

  app.get(`${BASE}/search`, async (request, reply) => {
    conversationId(request);
    const query = queryOf(request);
    const wanted = {
      ...filterOf(query),
      limit: pageLimit(query),
      pageId: optionalText(query, 'page_id'),
      descending: optionalChoice(query, 'sort_order', ['TIMESTAMP', 'TIMESTAMP_DESC']) === 'TIMESTAMP_DESC',
    };
    const { conversation } = await find(request);
    const { items, nextPageId } = await searchEvents(conversation.events, wanted);
    // The log holds the JSON that this answer is made of: no parsing, no second serialisation.
    const body = `{"items":[${items.join(',')}],"next_page_id":${JSON.stringify(nextPageId)}}`;
    return reply.type('application/json').send(body);
  });
  app.get(`${BASE}/count`, async (request, reply) => {
    conversationId(request);
    const filter = filterOf(queryOf(request));
    const { conversation } = await find(request);
    return reply.type('application/json').send(String(await countEvents(conversation.events, filter)));
  });
  app.get(`${BASE}/:event_id`, async (request) => {
    const { conversation } = await find(request);
    const [event] = await readEvents(conversation, [paramOf(request, 'event_id')]);
    if (event == null) throw notFound();
    return event;
  });
  app.get(BASE, async (request) => {
    conversationId(request);
    const ids = bodyOf(request, idsSchema);
    const { conversation } = await find(request);
    return readEvents(conversation, ids);
  });
  app.post(BASE, async (request) => {
    conversationId(request);
    const body = bodyOf(request, messageSchema);
    const live = await find(request);
    await context.conversations.message(live, userMessage(body), {
      run: body.run,
      ...(body.sender == null ? {} : { sender: body.sender }),
    });
    return SUCCESS;
  });
  app.post(`${BASE}/respond_to_confirmation`, async (request) => {
    conversationId(request);
    const { accept, reason } = bodyOf(request, respondSchema);
    const { runner } = await find(request);
    await runner.respond(accept, reason);
    return SUCCESS;
  });
}

function filterOf(query: Query): EventFilter {
  return {
    kind: optionalText(query, 'kind'),
    source: optionalText(query, 'source'),
    body: optionalText(query, 'body'),
    from: optionalTime(query, 'timestamp__gte'),
    until: optionalTime(query, 'timestamp__lt'),
  };
}

/** Events by id, whole; null where there is none. */
async function readEvents(
  conversation: Live['conversation'],
  ids: string[],
): Promise<(Record<string, unknown> | null)[]> {
  const { events } = conversation;
  const seqs = ids.map((id) => events.index.find(id));
  const texts = await events.read(seqs.filter((seq) => seq !== undefined));
  let at = 0;
  return seqs.map((seq) => (seq === undefined ? null : withNulls(JSON.parse(texts[at++] ?? '') as AgentEvent)));
}
