/** Answers about conversations, their starts, events and sandboxes. */
import { z } from 'zod';
import { batch, count, doc, int, items, link, maybe, names, page, success, text, time } from './shapes.js';

const sandboxStatus = z.enum(['STARTING', 'RUNNING', 'PAUSED', 'ERROR', 'MISSING']);

const metrics = z.object({
  model_name: text,
  accumulated_cost: z.number(),
  max_budget_per_task: z.number().nullable(),
  accumulated_token_usage: doc.nullable(),
});

const conversation = z.object({
  id: text,
  created_by_user_id: maybe,
  sandbox_id: text,
  selected_repository: maybe,
  selected_branch: maybe,
  git_provider: maybe,
  title: text,
  trigger: maybe,
  pr_number: z.array(int),
  llm_model: maybe,
  agent_kind: text,
  metrics,
  parent_conversation_id: maybe,
  sub_conversation_ids: names,
  public: z.boolean().nullable(),
  tags: z.record(z.string(), z.unknown()),
  created_at: time,
  updated_at: time,
  sandbox_status: sandboxStatus,
  execution_status: maybe,
  conversation_url: maybe,
  session_api_key: maybe,
  acp_server: maybe,
  launched_agent_profile: z.object({ agent_profile_id: text, revision: int }).nullable(),
});

const startTask = z.object({
  id: text,
  created_by_user_id: maybe,
  status: text,
  detail: maybe,
  app_conversation_id: maybe,
  sandbox_id: maybe,
  agent_server_url: maybe,
  request: doc,
  created_at: time,
  updated_at: time,
});

/** As the agent server made it: `kind` says what else is in it. */
const event = doc;

const sandbox = z.object({
  id: text,
  created_by_user_id: maybe,
  sandbox_spec_id: text,
  status: sandboxStatus,
  session_api_key: maybe,
  exposed_urls: z.array(doc).nullable(),
  created_at: time,
});

const spec = z.object({ id: text, command: names.nullable(), created_at: time, initial_env: doc, working_dir: text });
const share = z.object({
  id: text,
  conversation_id: text,
  name: maybe,
  ports: z.array(z.unknown()),
  created_at: time,
  expires_at: time,
  last_used_at: maybe,
});
const skill = z.object({ name: text, type: text, content: text, triggers: names });
const shared = conversation
  .pick({ id: true, title: true, sandbox_id: true, sandbox_status: true, execution_status: true })
  .extend({ created_at: time, updated_at: time });

const V1 = '/api/v1';
const CONVERSATIONS = `${V1}/app-conversations`;
const TASKS = `${CONVERSATIONS}/start-tasks`;
const EVENTS = `${V1}/conversation/:id/events`;

export const conversationAnswers: Record<string, z.ZodType> = {
  [`GET ${CONVERSATIONS}`]: batch(conversation),
  [`GET ${CONVERSATIONS}/search`]: page(conversation),
  [`GET ${CONVERSATIONS}/count`]: count,
  [`PATCH ${CONVERSATIONS}/:id`]: conversation,
  [`DELETE ${CONVERSATIONS}/:id`]: success,
  [`POST ${CONVERSATIONS}`]: startTask,
  [`POST ${CONVERSATIONS}/stream-start`]: z.array(startTask),
  [`GET ${TASKS}`]: batch(startTask),
  [`GET ${TASKS}/search`]: page(startTask),
  [`GET ${TASKS}/count`]: count,
  [`GET ${CONVERSATIONS}/:id/file`]: text,
  [`GET ${CONVERSATIONS}/:id/skills`]: z.object({ skills: z.array(skill) }),
  [`GET ${CONVERSATIONS}/:id/hooks`]: z.object({
    hooks: z.array(z.object({ event_type: text, matchers: z.array(doc) })),
  }),
  [`GET ${CONVERSATIONS}/:id/shares`]: items(share),
  [`POST ${CONVERSATIONS}/:id/shares`]: share.extend({ secret: text, link: text }),
  [`DELETE ${CONVERSATIONS}/:id/shares/:share_id`]: success,
  [`POST ${V1}/conversations/:id/pending-messages`]: z.object({ id: text, queued: z.boolean(), position: int }),
  [`GET ${EVENTS}`]: batch(event),
  [`GET ${EVENTS}/search`]: page(event),
  [`GET ${EVENTS}/count`]: count,
  [`GET ${V1}/sandboxes`]: batch(sandbox),
  [`GET ${V1}/sandboxes/search`]: page(sandbox),
  [`POST ${V1}/sandboxes`]: sandbox,
  [`POST ${V1}/sandboxes/:id/pause`]: success,
  [`POST ${V1}/sandboxes/:id/resume`]: success,
  [`POST ${V1}/sandboxes/:id/entry`]: link,
  [`GET ${V1}/sandboxes/:id/progress`]: z.object({
    phase: text,
    conditions: z.array(z.object({ type: text, status: text, reason: text, message: text, lastTransitionTime: time })),
    pool: maybe,
  }),
  [`GET ${V1}/sandbox-specs`]: batch(spec),
  [`GET ${V1}/sandbox-specs/search`]: page(spec),
  [`GET ${V1}/skills/search`]: page(doc),
  [`POST ${V1}/skills/marketplace-skills`]: z.object({ skills: z.array(doc), plugins: z.array(doc), errors: names }),
  [`POST ${V1}/webhooks/conversations`]: success,
  [`POST ${V1}/webhooks/events/:id`]: success,
  'GET /api/shared-conversations': batch(shared),
  'POST /api/shared-conversations/:id/entry': link,
  'GET /api/shared-events': batch(event),
  'GET /api/shared-events/:conversation_id/:event_id': event.nullable(),
  'GET /api/shared-events/count': count,
  'GET /api/shared-events/search': page(event),
};
