/** `/api/bash`: commands that clients run themselves. `prefix` is `/api` or a conversation's own mirror of it. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { notFound } from '../http/errors.js';
import { optionalChoice, optionalInt, optionalText, optionalTime, pageLimit } from '../http/query.js';
import { bodyOf, paramOf, queryOf, SUCCESS } from '../http/route.js';
import { parseUuid } from '../http/uuid.js';
import { bashRequest, type BashRequest } from '../services/bash.js';

const idsSchema = z.array(z.string()).max(1000);

export function bashRoutes(app: FastifyInstance, context: Context, prefix: string): void {
  const { bash } = context;
  /** Below a conversation a command starts in its workspace. */
  const requestOf = (request: FastifyRequest): BashRequest => {
    const wanted = bodyOf(request, bashRequest);
    const id = parseUuid(paramOf(request, 'runtime_conversation_id'));
    const folder = id === undefined ? undefined : context.conversations.record(id)?.workspace.working_dir;
    return folder === undefined ? wanted : { ...wanted, cwd: wanted.cwd ?? folder };
  };
  app.get(`${prefix}/bash/bash_events/search`, async (request) => {
    const query = queryOf(request);
    const filter = {
      kind: optionalChoice(query, 'kind__eq', ['BashCommand', 'BashOutput']),
      commandId: optionalText(query, 'command_id__eq'),
      from: optionalTime(query, 'timestamp__gte'),
      until: optionalTime(query, 'timestamp__lt'),
      orderAbove: optionalInt(query, 'order__gt'),
    };
    const descending = optionalChoice(query, 'sort_order', ['TIMESTAMP', 'TIMESTAMP_DESC']) === 'TIMESTAMP_DESC';
    const page = { descending, pageId: optionalText(query, 'page_id'), limit: pageLimit(query) };
    const { items, nextPageId } = await bash.search(filter, page);
    return { items, next_page_id: nextPageId };
  });
  app.get(`${prefix}/bash/bash_events/:event_id`, async (request) => {
    const event = await bash.get(paramOf(request, 'event_id'));
    if (event === undefined) throw notFound();
    return event;
  });
  app.get(`${prefix}/bash/bash_events/`, async (request) =>
    Promise.all(bodyOf(request, idsSchema).map(async (id) => (await bash.get(id)) ?? null)),
  );
  app.post(`${prefix}/bash/start_bash_command`, async (request) => {
    const { command } = await bash.start(requestOf(request));
    return command;
  });
  app.post(`${prefix}/bash/execute_bash_command`, async (request) => {
    const { done } = await bash.start(requestOf(request));
    return done;
  });
  app.delete(`${prefix}/bash/bash_events`, async () => ({ cleared_count: await bash.clear() }));
  app.post(`${prefix}/bash/bash_commands/:command_id/stop`, async (request) => {
    if (!(await bash.stop(paramOf(request, 'command_id')))) throw notFound();
    return SUCCESS;
  });
}
