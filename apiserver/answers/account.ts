/** Answers about a user's settings, profiles, secrets, keys and git providers, and an administrator's about users. */
import { z } from 'zod';
import { doc, int, items, maybe, message, named, names, page, success, text, time } from './shapes.js';

const V1 = '/api/v1';
const PROFILES = `${V1}/settings/profiles`;
const AGENTS = '/api/agent-profiles';
const ADMIN = `${V1}/admin/users`;

/** Secrets in it are null; whether there is one, `…_set` says. */
const settings = z.object({
  language: maybe,
  agent_settings: z.object({ schema_version: int, agent_kind: text, llm: doc }),
  conversation_settings: doc,
  llm_profiles: z.object({ profiles: z.record(z.string(), doc), active: maybe }),
  provider_tokens_set: z.record(z.string(), maybe),
  active_agent_profile_id: maybe,
  active_agent_profile_revision: int.nullable(),
  sandbox_grouping_strategy: text,
});
const form = z.object({
  model_name: text,
  sections: z.array(z.object({ key: text, label: text, variant: maybe, fields: z.array(doc) })),
});
const agentProfile = z.object({
  id: text,
  name: text,
  agent_kind: text,
  revision: int,
  llm_profile_ref: text,
  mcp_server_refs: names.nullable(),
});
const key = z.object({
  id: text,
  name: maybe,
  hint: text,
  scopes: names,
  created_at: time,
  last_used_at: maybe,
  not_before: maybe,
  expires_at: maybe,
  org_id: z.null(),
});
const user = z.object({
  id: text,
  email: maybe,
  name: maybe,
  roles: names,
  created_at: time,
  last_login_at: maybe,
  disabled_at: maybe,
  sandboxes: z.object({ total: int, running: int }),
  api_keys: int,
});
const usersSandbox = z.object({ id: text, status: text, created_at: time });

export const accountAnswers: Record<string, z.ZodType> = {
  [`GET ${V1}/settings`]: settings.extend({ llm_api_key_set: z.boolean(), search_api_key_set: z.boolean() }),
  [`POST ${V1}/settings`]: message,
  [`GET ${V1}/settings/agent-schema`]: form,
  [`GET ${V1}/settings/conversation-schema`]: form,
  [`GET ${V1}/users/me`]: settings.omit({ provider_tokens_set: true }).extend({ id: maybe }),
  [`GET ${PROFILES}`]: z.object({
    profiles: z.array(z.object({ name: text, model: text, base_url: maybe, api_key_set: z.boolean() })),
    active_profile: maybe,
  }),
  [`GET ${PROFILES}/:name`]: z.object({ name: text, config: doc, api_key_set: z.boolean() }),
  [`POST ${PROFILES}/:name`]: named,
  [`DELETE ${PROFILES}/:name`]: named,
  [`POST ${PROFILES}/:name/activate`]: named.extend({ model: text }),
  [`POST ${PROFILES}/:name/rename`]: named,
  [`GET ${AGENTS}`]: z.object({ profiles: z.array(agentProfile), active_agent_profile_id: maybe }),
  [`GET ${AGENTS}/:name`]: z.object({ name: text, profile: agentProfile }),
  [`POST ${AGENTS}/:name`]: named,
  [`DELETE ${AGENTS}/:name`]: named,
  [`POST ${AGENTS}/:name/rename`]: named,
  [`POST ${AGENTS}/:name/activate`]: message.extend({ id: text, agent_settings_applied: z.boolean() }),
  [`POST ${AGENTS}/:name/materialize`]: z.object({
    agent_kind: text,
    valid: z.boolean(),
    errors: names,
    llm_profile_ref: text,
    llm_profile_resolved: z.boolean(),
    llm_api_key_set: z.boolean(),
    mcp_server_refs: names.nullable(),
    resolved_mcp_servers: names,
    dangling_mcp_server_refs: names,
    resolved_settings: doc.nullable(),
  }),
  [`GET ${V1}/secrets/search`]: page(z.object({ name: text, description: maybe })),
  [`POST ${V1}/secrets`]: message,
  [`PUT ${V1}/secrets/:id`]: message,
  [`DELETE ${V1}/secrets/:id`]: message,
  [`POST ${V1}/secrets/git-providers`]: message,
  [`DELETE ${V1}/secrets/git-providers`]: message,
  [`GET ${V1}/users/git-info`]: z.object({
    id: text,
    login: text,
    avatar_url: text,
    company: maybe,
    name: maybe,
    email: maybe,
  }),
  [`GET ${V1}/git/installations/search`]: page(text),
  [`GET ${V1}/git/repositories/search`]: page(
    z.object({ id: text, full_name: text, git_provider: text, is_public: z.boolean(), main_branch: maybe }),
  ),
  [`GET ${V1}/git/branches/search`]: page(z.object({ name: text, commit_sha: text, protected: z.boolean() })),
  [`GET ${V1}/git/suggested-tasks/search`]: page(
    z.object({ git_provider: text, task_type: text, repo: text, issue_number: int, title: text }),
  ),
  [`GET ${V1}/config/models/search`]: page(z.object({ name: text, provider: maybe, verified: z.boolean() })),
  [`GET ${V1}/config/providers/search`]: page(z.object({ name: text, verified: z.boolean() })),
  [`POST ${V1}/device-logins/:code`]: z.object({ allowed: z.boolean() }),
  'GET /api/organizations': items(doc).extend({ current_org_id: z.null() }),
  'GET /api/keys': z.array(key),
  'GET /api/keys/current': key.extend({ user_id: maybe, auth_type: text }),
  'POST /api/keys': key.extend({ key: text.describe('The key itself, told this once.') }),
  'DELETE /api/keys/:id': message,
  'POST /api/logout': message.extend({ logout_url: maybe }),
  [`GET ${ADMIN}/search`]: page(user),
  [`POST ${ADMIN}/:user_id/disable`]: user,
  [`POST ${ADMIN}/:user_id/enable`]: user,
  [`GET ${ADMIN}/:user_id/keys`]: items(key),
  [`DELETE ${ADMIN}/:user_id/keys/:key_id`]: success,
  [`GET ${ADMIN}/:user_id/sandboxes`]: items(usersSandbox),
  [`POST ${ADMIN}/:user_id/sandboxes/pause`]: z.object({ paused: int }),
  [`POST ${ADMIN}/:user_id/sandboxes/:sandbox_id/pause`]: usersSandbox,
  [`DELETE ${ADMIN}/:user_id/sandboxes/:sandbox_id`]: success,
};
