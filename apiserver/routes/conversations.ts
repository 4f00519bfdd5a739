import { z } from 'zod';
import { findConversation } from '../conversations/find.js';
import { removeConversation } from '../conversations/remove.js';
import { showConversations } from '../conversations/view.js';
import type { Prisma } from '../db/generated/client.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { pageOf, readCursor } from '../http/page.js';
import { batchIds, hexId, idPath, limit, moment, pageId, queryFlag, repeated } from '../http/validate.js';
import { providerSchema } from '../start/request.js';

const filters = {
  title__contains: z.string().max(500).optional(),
  created_at__gte: moment.optional(),
  created_at__lt: moment.optional(),
  updated_at__gte: moment.optional(),
  updated_at__lt: moment.optional(),
  sandbox_id__eq: z.string().max(200).optional(),
  include_sub_conversations: queryFlag.default(false),
};
const countQuery = z.object(filters);
const searchQuery = z.object({ ...filters, page_id: pageId, limit: limit() });
const batchQuery = z.object({ ids: repeated });
const text = (max: number) => z.string({ error: 'Input should be a valid string' }).max(max);
const change = z.object({
  title: text(200).nullable().optional(),
  public: z.boolean().nullable().optional(),
  selected_repository: text(1000).nullable().optional(),
  selected_branch: text(1000).nullable().optional(),
  git_provider: providerSchema.nullable().optional(),
});

/** Ids of one batch call; the recorded server takes 99. */
const MAX_IDS = 99;

export function conversationRoutes(app: Api, deps: Deps): void {
  app.get('/app-conversations/search', { schema: { querystring: searchQuery } }, async ({ query, owned, user }) => {
    const { limit: size, page_id, ...rest } = query;
    const after = readCursor(page_id, 2);
    const rows = await owned.conversation.findMany({
      where: { AND: [whereOf(rest), after === undefined ? {} : olderThan(after[0] ?? '', after[1] ?? '')] },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: size + 1,
    });
    const page = pageOf(rows, size, (row) => [row.createdAt.toISOString(), row.id]);
    return { ...page, items: await showConversations(deps, owned, user, page.items) };
  });

  app.get('/app-conversations/count', { schema: { querystring: countQuery } }, async ({ query, owned }) =>
    owned.conversation.count({ where: whereOf(query) }),
  );

  app.get('/app-conversations', { schema: { querystring: batchQuery } }, async ({ query, owned, user }) => {
    const ids = batchIds(query.ids, MAX_IDS);
    const rows = await owned.conversation.findMany({ where: { id: { in: ids } } });
    const shown = await showConversations(deps, owned, user, rows);
    const byId = new Map(shown.map((one) => [one.id, one]));
    return ids.map((id) => byId.get(id) ?? null);
  });

  app.patch(
    '/app-conversations/:id',
    { schema: { params: idPath, body: change } },
    async ({ params, body: wanted, owned, user }) => {
      const id = hexId(params.id);
      if (id === undefined) throw new ApiError('bad_conversation_id');
      const data: Prisma.ConversationUpdateManyMutationInput = {
        ...(wanted.title == null ? {} : { title: wanted.title }),
        ...(wanted.public === undefined ? {} : { public: wanted.public }),
        ...(wanted.selected_repository === undefined ? {} : { selectedRepository: wanted.selected_repository }),
        ...(wanted.selected_branch === undefined ? {} : { selectedBranch: wanted.selected_branch }),
        ...(wanted.git_provider === undefined ? {} : { gitProvider: wanted.git_provider }),
        updatedAt: new Date(deps.clock.now()),
      };
      const [row] = await owned.conversation.updateManyAndReturn({ where: { id }, data });
      if (row === undefined) throw new ApiError('unknown_app_conversation');
      return (await showConversations(deps, owned, user, [row]))[0];
    },
  );

  app.delete('/app-conversations/:id', { schema: { params: idPath } }, async ({ params, owned }) => {
    const conversation = await findConversation(owned, params.id).catch((error: unknown) => {
      throw error instanceof ApiError && error.code === 'conversation_not_found'
        ? new ApiError('conversation_not_found')
        : error;
    });
    await removeConversation(deps, conversation);
    return { success: true };
  });
}

function whereOf(query: z.infer<typeof countQuery>): Prisma.ConversationWhereInput {
  const range = (from: Date | undefined, to: Date | undefined) => ({
    ...(from === undefined ? {} : { gte: from }),
    ...(to === undefined ? {} : { lt: to }),
  });
  return {
    ...(query.title__contains === undefined ? {} : { title: { contains: query.title__contains, mode: 'insensitive' } }),
    ...(query.sandbox_id__eq === undefined ? {} : { sandboxId: query.sandbox_id__eq }),
    ...(query.include_sub_conversations ? {} : { parentId: null }),
    createdAt: range(query.created_at__gte, query.created_at__lt),
    updatedAt: range(query.updated_at__gte, query.updated_at__lt),
  };
}

/** Behind a place in the order newest first. */
function olderThan(time: string, id: string): Prisma.ConversationWhereInput {
  const createdAt = new Date(time);
  if (Number.isNaN(createdAt.getTime())) return {};
  // The first part is implied by the rest, but only it lets the index begin at the place.
  return { createdAt: { lte: createdAt }, OR: [{ createdAt: { lt: createdAt } }, { createdAt, id: { lt: id } }] };
}
