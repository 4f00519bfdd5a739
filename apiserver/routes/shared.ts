/**
 * What others see of a conversation: with a share link (its secret in X-Sandlot-Share), or without when it is `public`. Open
 * to everybody, reading only. What is not shared answers like what is not there. Paths and shapes are those that OpenHands'
 * frontend calls on its page of a shared conversation.
 */
import { z } from 'zod';
import { PORT_NAMES } from '../../contracts/ports.js';
import { signPass } from '../../contracts/tokens.js';
import { entryUrl, type PortRef } from '../../contracts/urls.js';
import { countEvents, eventCountQuery, eventsById, eventSearchQuery, searchEvents } from '../conversations/events.js';
import type { Conversation } from '../db/generated/client.js';
import { ownedBy } from '../db/owned.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { isoZ } from '../http/times.js';
import { idPath, localPathSchema, repeated } from '../http/validate.js';
import { metricsOf } from '../ingest/metrics.js';
import { slotOf, statusOf } from '../sandboxes/status.js';
import { opens, portRef } from '../shares/ports.js';
import { findShared, SHARE_HEADER, sharedHeaders as headers, tellSandbox, type Shared } from '../shares/shares.js';

const MAX_IDS = 100;
/** They hold what the owner set up (settings, names of secrets, prompts), and nothing of the conversation itself. */
const HIDDEN = ['ConversationStateUpdateEvent', 'SystemPromptEvent', 'LLMCompletionLogEvent'];
/** The gateway's cookie lasts no longer than this either; then the page asks again. */
const PASS_SECONDS = 12 * 3600;

const ofConversation = { conversation_id: z.string().max(100) };
const batchQuery = z.object({ ids: repeated });
const searchQuery = eventSearchQuery.extend(ofConversation);
const countQuery = eventCountQuery.extend(ofConversation);
const eventsQuery = z.object({ ...ofConversation, id: repeated });
const eventPath = z.object({ ...ofConversation, event_id: z.string().max(200) });
const entryBody = z.object({
  port: z.union([z.enum(PORT_NAMES as [string, ...string[]]), z.number().int().min(1).max(65535)]),
  path: localPathSchema,
});

export function sharedRoutes(app: Api, deps: Deps): void {
  const { prisma } = deps.db;
  const find = (id: string, given: z.infer<typeof headers>) => findShared(deps, id, given[SHARE_HEADER]);
  const eventsOf = async (id: string, given: z.infer<typeof headers>) => {
    const found = await find(id, given);
    if (found === undefined) return undefined;
    const { id: conversationId, ownerId } = found.conversation;
    return { owned: ownedBy(prisma, ownerId), scope: { conversationId, without: HIDDEN } };
  };

  app.get('/shared-conversations', { schema: { headers, querystring: batchQuery } }, async ({ query, headers }) => {
    if (query.ids.length > MAX_IDS)
      throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${MAX_IDS}.` });
    const found: (Record<string, unknown> | null)[] = [];
    for (const id of query.ids) {
      const shared = await find(id, headers);
      found.push(shared === undefined ? null : await shown(deps, shared));
    }
    return found;
  });

  app.get('/shared-events/search', { schema: { headers, querystring: searchQuery } }, async (request, reply) => {
    const { conversation_id, ...query } = request.query;
    const found = await eventsOf(conversation_id, request.headers);
    const text = found === undefined ? NO_EVENTS : await searchEvents(found.owned, found.scope, query);
    return reply.type('application/json').send(text);
  });

  app.get('/shared-events/count', { schema: { headers, querystring: countQuery } }, async (request) => {
    const { conversation_id, ...query } = request.query;
    const found = await eventsOf(conversation_id, request.headers);
    return found === undefined ? 0 : await countEvents(found.owned, found.scope, query);
  });

  app.get('/shared-events', { schema: { headers, querystring: eventsQuery } }, async ({ query, headers }, reply) => {
    if (query.id.length > MAX_IDS)
      throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${MAX_IDS}.` });
    const found = await eventsOf(query.conversation_id, headers);
    const text =
      found === undefined
        ? JSON.stringify(query.id.map(() => null))
        : await eventsById(found.owned, found.scope, query.id);
    return reply.type('application/json').send(text);
  });

  app.get(
    '/shared-events/:conversation_id/:event_id',
    { schema: { headers, params: eventPath } },
    async ({ params, headers }, reply) => {
      const found = await eventsOf(params.conversation_id, headers);
      const text = found === undefined ? '[null]' : await eventsById(found.owned, found.scope, [params.event_id]);
      return reply.type('application/json').send(text.slice(1, -1));
    },
  );

  // Only what a link names: a conversation that is public opens no ports.
  app.post(
    '/shared-conversations/:id/entry',
    { schema: { headers, params: idPath, body: entryBody } },
    async ({ params, headers, body }) => {
      const { share, conversation } = (await find(params.id, headers)) ?? {};
      const port = body.port as PortRef;
      if (conversation === undefined || share === undefined || !opens(share, port))
        throw new ApiError('share_not_found');
      const sandbox = deps.directory.get(conversation.sandboxId);
      const slot = sandbox === undefined ? undefined : slotOf(sandbox);
      if (statusOf(sandbox) !== 'RUNNING' || slot === undefined) throw new ApiError('sandbox_not_running');
      await tellSandbox(deps, conversation.sandboxId);
      const until = Math.min(share.expiresAt.getTime(), deps.clock.now() + PASS_SECONDS * 1000);
      const pass = signPass(deps.config.secrets[0], {
        use: 'share',
        slot,
        share: share.id,
        exp: Math.floor(until / 1000),
      });
      return { url: entryUrl(deps.config.gateway, { slot, port, pass, to: body.path }) };
    },
  );
}

const NO_EVENTS = '{"items":[],"next_page_id":null}';
const NO_METRICS = metricsOf({ usage_to_metrics: {} });

async function shown(deps: Deps, { conversation: row, share }: Shared): Promise<Record<string, unknown>> {
  const sandbox = deps.directory.get(row.sandboxId);
  return {
    id: row.id,
    created_by_user_id: null,
    sandbox_id: row.sandboxId,
    selected_repository: row.selectedRepository,
    selected_branch: row.selectedBranch,
    git_provider: row.gitProvider,
    title: row.title,
    pr_number: row.prNumber,
    llm_model: row.llmModel,
    metrics: row.metrics ?? NO_METRICS,
    parent_conversation_id: row.parentId,
    sub_conversation_ids: await childrenOf(deps, row),
    created_at: isoZ(row.createdAt),
    updated_at: isoZ(row.updatedAt),
    sandbox_status: statusOf(sandbox),
    execution_status: statusOf(sandbox) === 'RUNNING' ? row.executionStatus : null,
    share: share === undefined ? null : { expires_at: isoZ(share.expiresAt), ports: share.ports.map(portRef) },
  };
}

async function childrenOf({ db }: Deps, { id, ownerId }: Conversation): Promise<string[]> {
  const rows = await ownedBy(db.prisma, ownerId).conversation.findMany({
    where: { parentId: id, public: true },
    select: { id: true },
    orderBy: { createdAt: 'asc' },
    take: MAX_IDS,
  });
  return rows.map(({ id: child }) => child);
}
