import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { conversationHex } from '../../contracts/names.js';
import type { Prisma, StartTask } from '../db/generated/client.js';
import type { Deps } from '../deps.js';
import { ApiError } from '../http/errors.js';
import { pageOf, readCursor } from '../http/page.js';
import { batchIds, limit, moment, pageId, parse, repeated, uuid } from '../http/validate.js';
import { withSuggestedTask } from '../start/first-message.js';
import { echoOf, startRequest } from '../start/request.js';
import { FINAL, shownTask } from '../start/tasks.js';

const filters = { conversation_id__eq: uuid.optional(), created_at__gte: moment.optional() };
const ORDERS = ['CREATED_AT', 'CREATED_AT_DESC', 'UPDATED_AT', 'UPDATED_AT_DESC'] as const;
const countQuery = z.object(filters);
const searchQuery = z.object({
  ...filters,
  sort_order: z.enum(ORDERS).default('CREATED_AT_DESC'),
  page_id: pageId,
  limit: limit(),
});
const batchQuery = z.object({ ids: repeated });

/** Of one user; each holds a sandbox and a connection to it. */
const MAX_UNFINISHED = 100;

export function startRoutes(app: FastifyInstance, deps: Deps): void {
  app.post('/app-conversations', async (request) => {
    const task = await createTask(deps, request);
    deps.starts.begin(task);
    return shownTask(task, request.user.shown, { fresh: true });
  });

  app.post('/app-conversations/stream-start', async (request, reply) => {
    const task = await createTask(deps, request);
    const { raw } = reply.hijack();
    raw.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    await streamStates(deps, task, (state, first) => {
      raw.write(`${first ? '[' : ','}${JSON.stringify(shownTask(state, request.user.shown, { fresh: true }))}`);
    });
    raw.end(']');
  });

  app.get('/app-conversations/start-tasks/search', async ({ query, owned, user }) => {
    const { limit: size, page_id, sort_order, ...rest } = parse(searchQuery, query, 'query');
    const after = readCursor(page_id, 2);
    const column = sort_order.startsWith('CREATED') ? 'createdAt' : 'updatedAt';
    const direction = sort_order.endsWith('DESC') ? 'desc' : 'asc';
    const rows = await owned.startTask.findMany({
      where: { AND: [whereOf(rest), after === undefined ? {} : beyond(column, direction, after)] },
      orderBy: [{ [column]: direction }, { id: direction }],
      take: size + 1,
    });
    const page = pageOf(rows, size, (row) => [row[column].toISOString(), row.id]);
    return { ...page, items: page.items.map((task) => shownTask(task, user.shown, { fresh: false })) };
  });

  app.get('/app-conversations/start-tasks/count', async ({ query, owned }) =>
    owned.startTask.count({ where: whereOf(parse(countQuery, query, 'query')) }),
  );

  app.get('/app-conversations/start-tasks', async ({ query, owned, user }) => {
    const ids = batchIds(parse(batchQuery, query, 'query').ids, 100);
    const rows = await owned.startTask.findMany({ where: { id: { in: ids } } });
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.map((id) => {
      const row = byId.get(id);
      return row === undefined ? null : shownTask(row, user.shown, { fresh: false });
    });
  });
}

/** Validates and writes the task; from here on it survives this process. */
async function createTask(deps: Deps, { body, owned, user }: FastifyRequest): Promise<StartTask> {
  const wanted = withSuggestedTask(parse(startRequest, body ?? {}, 'body'));
  if ((await owned.startTask.count({ where: { status: { notIn: FINAL as string[] } } })) >= MAX_UNFINISHED)
    throw new ApiError('too_many_starts');
  const id = conversationHex(randomUUID());
  const conversationId = wanted.conversation_id ?? conversationHex(randomUUID());
  // Not by owner: an id that anybody has cannot be had again, and nothing else is told of it.
  const taken =
    wanted.conversation_id !== null && (await deps.db.prisma.conversation.count({ where: { id: conversationId } })) > 0;
  if (taken) throw new ApiError('conversation_exists');
  return await owned.startTask.create({
    data: {
      id,
      ownerId: user.id,
      status: 'WORKING',
      conversationId,
      request: echoOf(wanted) as unknown as Prisma.InputJsonValue,
      secrets: wanted.secrets === null ? null : deps.box.seal(JSON.stringify(wanted.secrets), `start/${id}`),
      ...deps.starts.lease(),
    },
  });
}

/** Every state once, until the last. A client that hangs up does not stop the start. */
async function streamStates(
  { starts }: Deps,
  task: StartTask,
  give: (state: StartTask, first: boolean) => void,
): Promise<void> {
  give(task, true);
  await new Promise<void>((resolve) => {
    const stop = starts.listen(task.id, (state) => {
      if (state !== undefined) return give(state, false);
      stop();
      resolve();
    });
    starts.begin(task);
  });
}

function whereOf(query: z.infer<typeof countQuery>): Prisma.StartTaskWhereInput {
  return {
    ...(query.conversation_id__eq === undefined ? {} : { conversationId: query.conversation_id__eq }),
    ...(query.created_at__gte === undefined ? {} : { createdAt: { gte: query.created_at__gte } }),
  };
}

function beyond(
  column: 'createdAt' | 'updatedAt',
  direction: 'asc' | 'desc',
  [time = '', id = '']: string[],
): Prisma.StartTaskWhereInput {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return {};
  const than = direction === 'desc' ? 'lt' : 'gt';
  return { OR: [{ [column]: { [than]: at } }, { [column]: at, id: { [than]: id } }] };
}
