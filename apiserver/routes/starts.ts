import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { conversationHex } from '../../contracts/names.js';
import type { Prisma, StartTask } from '../db/generated/client.js';
import type { OwnedDb } from '../db/owned.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { statusOf } from '../sandboxes/status.js';
import { emptySettings } from '../settings/model.js';
import { settingsStore } from '../settings/store.js';
import { pageOf, readCursor } from '../http/page.js';
import { batchIds, limit, moment, pageId, repeated, uuid } from '../http/validate.js';
import { withSuggestedTask } from '../start/first-message.js';
import { admit } from '../start/admit.js';
import { usableProfile } from '../start/launch.js';
import { echoOf, startRequest, type StartRequest } from '../start/request.js';
import { startPlace } from '../start/secrets.js';
import { shownTask } from '../start/tasks.js';

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

const keyHeader = z.object({ 'idempotency-key': z.string().min(1).max(200).optional() });

const STARTING = { body: startRequest, headers: keyHeader };

interface Asking extends Pick<FastifyRequest, 'owned' | 'user'> {
  body: StartRequest;
  headers: z.infer<typeof keyHeader>;
}

export function startRoutes(app: Api, deps: Deps): void {
  app.post('/app-conversations', { schema: STARTING }, async (request) => {
    const { task, again } = await createTask(deps, request);
    if (!again) deps.starts.begin(task);
    return shownTask(task, request.user.shown, { fresh: true });
  });

  app.post(
    '/app-conversations/stream-start',
    { schema: STARTING, config: { uncounted: true } },
    async (request, reply) => {
      const { task, again } = await createTask(deps, request);
      // Sent again, it is told as it is by now.
      if (again) return [shownTask(task, request.user.shown, { fresh: true })];
      const { raw } = reply.hijack();
      raw.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      await streamStates(deps, task, (state, first) => {
        raw.write(`${first ? '[' : ','}${JSON.stringify(shownTask(state, request.user.shown, { fresh: true }))}`);
      });
      raw.end(']');
      return reply;
    },
  );

  app.get(
    '/app-conversations/start-tasks/search',
    { schema: { querystring: searchQuery } },
    async ({ query, owned, user }) => {
      const { limit: size, page_id, sort_order, ...rest } = query;
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
    },
  );

  app.get('/app-conversations/start-tasks/count', { schema: { querystring: countQuery } }, async ({ query, owned }) =>
    owned.startTask.count({ where: whereOf(query) }),
  );

  app.get('/app-conversations/start-tasks', { schema: { querystring: batchQuery } }, async ({ query, owned, user }) => {
    const ids = batchIds(query.ids, 100);
    const rows = await owned.startTask.findMany({ where: { id: { in: ids } } });
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.map((id) => {
      const row = byId.get(id);
      return row === undefined ? null : shownTask(row, user.shown, { fresh: false });
    });
  });
}

/** Validates and writes the task; from here on it survives this process. One that is sent again is not begun again. */
async function createTask(deps: Deps, request: Asking): Promise<{ task: StartTask; again: boolean }> {
  const { body, user, owned } = request;
  const wanted = withSuggestedTask(body);
  if (wanted.agent_profile_id !== null) {
    const stored = (await settingsStore(owned, deps.box, user.id).read()) ?? emptySettings();
    usableProfile(stored, wanted.agent_profile_id);
  }
  const { 'idempotency-key': idempotencyKey = null } = request.headers;
  const id = conversationHex(randomUUID());
  const conversationId = wanted.conversation_id ?? conversationHex(randomUUID());
  return await admit(deps.db.prisma, {
    data: {
      id,
      ownerId: user.id,
      status: 'WORKING',
      conversationId,
      idempotencyKey,
      request: echoOf(wanted) as unknown as Prisma.InputJsonValue,
      secrets: wanted.secrets === null ? null : deps.box.seal(JSON.stringify(wanted.secrets), startPlace(id)),
      ...deps.starts.lease(),
    },
    chosenId: wanted.conversation_id !== null,
    needsPlace: await makesSandbox(deps, owned, user.id, wanted),
    running: new Set(
      deps.directory
        .ownedBy(user.id)
        .filter((sandbox) => sandbox.spec.runState !== 'Paused' && ['RUNNING', 'STARTING'].includes(statusOf(sandbox)))
        .map(({ metadata }) => metadata.name),
    ),
    limits: deps.config.limits,
  });
}

/** Not where it joins another conversation's; where the user lets conversations share, the operator's limit speaks. */
async function makesSandbox(deps: Deps, owned: OwnedDb, ownerId: string, wanted: StartRequest): Promise<boolean> {
  if (wanted.sandbox_id !== null || wanted.parent_conversation_id !== null) return false;
  const { perOwner, ofOwners } = deps.config.limits;
  if ((ofOwners.get(ownerId) ?? perOwner) === 0) return false;
  const settings = await settingsStore(owned, deps.box, ownerId).read();
  return (settings?.scalars.sandbox_grouping_strategy ?? 'NO_GROUPING') === 'NO_GROUPING';
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
