import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { conversationDashed } from '../../contracts/names.js';
import { AgentError } from '../agent/http.js';
import { findConversation, runningAgent } from '../conversations/find.js';
import type { Prisma } from '../db/generated/client.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { hexId, idPath, parse } from '../http/validate.js';
import { llmPayload } from '../start/payload.js';
import { contentSchema } from '../start/request.js';
import { emptySettings } from '../settings/model.js';
import { settingsStore } from '../settings/store.js';

const message = z.object({
  role: z.literal('user').default('user'),
  content: z.array(contentSchema).min(1).max(100),
  run: z.boolean().default(true),
});
const pending = z.object({ role: z.string().max(20).nullish(), content: z.unknown() });
const pendingContent = z.array(contentSchema).max(100);
const profileBody = z.object({ profile_name: z.string().max(64) });
const acpBody = z.object({ model: z.string().max(500) });
const MAX_PENDING = 10;

export function messageRoutes(app: Api, deps: Deps): void {
  app.post(
    '/app-conversations/:id/send-message',
    { schema: { params: idPath, body: message } },
    async ({ params, body: wanted, owned }) => {
      const conversation = await findConversation(owned, params.id);
      const agent = runningAgent(deps, conversation);
      await toAgent(() =>
        deps.agents.json(agent, {
          method: 'POST',
          path: `/api/conversations/${conversationDashed(conversation.id)}/events`,
          body: wanted,
        }),
      );
      return { success: true, sandbox_status: 'RUNNING', message: null };
    },
  );

  app.post(
    '/conversations/:id/pending-messages',
    { schema: { params: idPath, body: pending } },
    async ({ params, body, owned, user }, reply) => {
      const { content: given } = body;
      if (!Array.isArray(given) || given.length === 0) throw new ApiError('empty_content');
      const content = parse(pendingContent, given, 'body');
      const target = targetOf(params.id);
      const queued = await owned.pendingMessage.count({ where: { target } });
      if (queued >= MAX_PENDING) throw new ApiError('too_many_pending');
      const id = randomUUID();
      await owned.pendingMessage.create({
        data: { id, ownerId: user.id, target, role: 'user', content: content as unknown as Prisma.InputJsonValue },
      });
      if (!target.startsWith('task-')) void deps.pending.deliver(target);
      return reply.status(201).send({ id, queued: true, position: queued + 1 });
    },
  );

  app.post(
    '/app-conversations/:id/switch_profile',
    { schema: { params: idPath, body: profileBody } },
    async ({ params, body, owned, user }) => {
      const { profile_name } = body;
      const conversation = await findConversation(owned, params.id);
      const settings = (await settingsStore(owned, deps.box, user.id).read()) ?? emptySettings();
      if (!Object.hasOwn(settings.profiles, profile_name))
        throw new ApiError('profile_not_found', { text: `Profile '${profile_name}' not found` });
      const agent = runningAgent(deps, conversation);
      const llm = llmPayload(settings, profile_name);
      const path = `/api/conversations/${conversationDashed(conversation.id)}/switch_llm`;
      await toAgent(() =>
        deps.agents.json(agent, {
          method: 'POST',
          path,
          body: { llm: { ...llm, usage_id: `profile:${profile_name}` } },
        }),
      );
      await owned.conversation.updateMany({ where: { id: conversation.id }, data: { llmModel: String(llm.model) } });
      return { success: true };
    },
  );

  // Sandlot runs no ACP agents, so there is never one whose model could change.
  app.post(
    '/app-conversations/:id/switch_acp_model',
    { schema: { params: idPath, body: acpBody } },
    async ({ params, owned }) => {
      await findConversation(owned, params.id);
      throw new ApiError('not_acp');
    },
  );
}

async function toAgent(call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (cause) {
    if (!(cause instanceof AgentError)) throw cause;
    throw new ApiError('agent_failed', { text: `The sandbox runs, but ${cause.message}.`, cause });
  }
}

/** `task-<hex>` or a conversation id, in its one spelling. Throws ApiError 400. */
function targetOf(id: string): string {
  const task = id.startsWith('task-');
  const hex = hexId(task ? id.slice('task-'.length) : id);
  if (hex === undefined) throw new ApiError('bad_conversation_id');
  return task ? `task-${hex}` : hex;
}
