/** What is stored of a user's settings, how a change is applied, and what is shown. Pure. */
import { z } from 'zod';
import { ApiError } from '../http/errors.js';
import { AGENT_FIELDS, CONVERSATION_FIELDS, type Field } from './fields.js';
import type { AgentProfile } from './profile-schema.js';

export type Doc = Record<string, unknown>;

/** Only what differs from the defaults, so that a later version's better defaults reach everyone. Sealed as a whole in the database. */
export interface StoredSettings {
  scalars: Doc;
  agent: Doc;
  conversation: Doc;
  /** LLM settings by profile name, keys included. */
  profiles: Record<string, Doc>;
  activeProfile: string | null;
  agentProfiles: AgentProfile[];
}

export const emptySettings = (): StoredSettings => ({
  scalars: {},
  agent: {},
  conversation: {},
  profiles: {},
  activeProfile: null,
  agentProfiles: [],
});

/** What a client sends back for a secret that it was shown masked. It means "unchanged". */
export const MASK = '**********';

const STRATEGIES = [
  'NO_GROUPING',
  'GROUP_BY_NEWEST',
  'LEAST_RECENTLY_USED',
  'FEWEST_CONVERSATIONS',
  'ADD_TO_ANY',
] as const;
const text = z.string().max(10_000).nullable();
const list = z.array(z.unknown()).max(1000);

/** Top-level fields: default and what is taken. `search_api_key` and `sandbox_api_key` are secrets. */
const SCALARS: Record<string, { schema: z.ZodType; default: unknown }> = {
  language: { schema: text, default: null },
  user_version: { schema: z.number().int().nullable(), default: null },
  remote_runtime_resource_factor: { schema: z.number().int().nullable(), default: null },
  enable_sound_notifications: { schema: z.boolean(), default: false },
  enable_proactive_conversation_starters: { schema: z.boolean(), default: true },
  user_consents_to_analytics: { schema: z.boolean().nullable(), default: null },
  sandbox_base_container_image: { schema: text, default: null },
  sandbox_runtime_container_image: { schema: text, default: null },
  disabled_skills: { schema: z.array(z.string().max(500)).max(1000).nullable(), default: null },
  search_api_key: { schema: text, default: null },
  sandbox_api_key: { schema: text, default: null },
  max_budget_per_task: { schema: z.number().nullable(), default: null },
  email: { schema: text, default: null },
  email_verified: { schema: z.boolean().nullable(), default: null },
  git_user_name: { schema: text, default: null },
  git_user_email: { schema: text, default: null },
  title_llm_profile: { schema: text, default: null },
  git_full_clone: { schema: z.boolean(), default: false },
  v1_enabled: { schema: z.boolean(), default: true },
  sandbox_grouping_strategy: { schema: z.enum(STRATEGIES), default: 'NO_GROUPING' },
  default_sandbox_spec_id: { schema: text, default: null },
  active_agent_profile_id: { schema: text, default: null },
  active_agent_profile_revision: { schema: z.number().int().nullable(), default: null },
  registered_marketplaces: { schema: list, default: [] },
};
const SECRET_SCALARS = new Set(['search_api_key', 'sandbox_api_key']);

/** Applies the body of POST /settings. Unknown fields are ignored; null resets. Throws ApiError. */
export function applyChange(stored: StoredSettings, body: Doc): StoredSettings {
  const legacy = ['agent_settings', 'conversation_settings'].filter((key) => key in body);
  if (legacy.length > 0) throw new ApiError('legacy_settings', { extra: { keys: legacy } });
  return {
    ...stored,
    scalars: changeScalars(stored.scalars, body),
    agent: mergeDiff(stored.agent, diffOf(body, 'agent_settings_diff', AGENT_FIELDS), AGENT_FIELDS),
    conversation: mergeDiff(
      stored.conversation,
      diffOf(body, 'conversation_settings_diff', CONVERSATION_FIELDS),
      CONVERSATION_FIELDS,
    ),
  };
}

function changeScalars(scalars: Doc, body: Doc): Doc {
  const next = { ...scalars };
  for (const [key, { schema }] of Object.entries(SCALARS)) {
    if (!(key in body)) continue;
    const value = body[key];
    if (SECRET_SCALARS.has(key) && value === MASK) continue;
    if (value === null) {
      delete next[key];
      continue;
    }
    const parsed = schema.safeParse(value);
    if (!parsed.success) throw invalid(key, parsed.error.issues[0]?.message);
    next[key] = parsed.data;
  }
  return next;
}

function invalid(key: string, why = 'is not valid'): ApiError {
  return new ApiError('bad_settings', { text: `1 validation error\n${key}\n  ${why}` });
}

/** A diff as flat entries `dotted key → value`, checked; unknown keys are left out. */
function diffOf(body: Doc, name: string, fields: Field[]): Doc {
  const diff = body[name] ?? {};
  if (!isDoc(diff)) throw invalid(name, 'Input should be an object');
  const known = new Map(fields.map((field) => [field.key, field]));
  const flat: Doc = {};
  for (const [key, value] of flatten(diff, known)) {
    const field = known.get(key);
    if (field === undefined) continue;
    if (field.secret && value === MASK) continue;
    flat[key] = value === null ? null : checked(field, value);
  }
  return flat;
}

/** One level of sections (`llm`, `condenser`, `verification`); null for a section resets all of it. */
function flatten(diff: Doc, known: Map<string, Field>): [string, unknown][] {
  return Object.entries(diff).flatMap(([key, value]): [string, unknown][] => {
    if (known.has(key)) return [[key, value]];
    if (value === null)
      return [...known.keys()].filter((name) => name.startsWith(`${key}.`)).map((name) => [name, null]);
    return isDoc(value) ? Object.entries(value).map(([inner, one]) => [`${key}.${inner}`, one]) : [];
  });
}

function checked(field: Field, value: unknown): unknown {
  if (field.key === 'mcp_config') return mcpServers(value);
  if (!TYPES[field.type](value)) throw invalid(field.key, `Input should be a valid ${field.type}`);
  if (field.choices.length > 0 && !field.choices.includes(String(value)))
    throw invalid(field.key, `Input should be one of ${field.choices.join(', ')}`);
  if (field.key === 'max_iterations' && Number(value) < 1) throw invalid(field.key, 'Input should be greater than 0');
  return value;
}

const TYPES: Record<Field['type'], (value: unknown) => boolean> = {
  string: (value) => typeof value === 'string' && value.length <= 10_000,
  integer: (value) => Number.isInteger(value),
  number: (value) => typeof value === 'number' && Number.isFinite(value),
  boolean: (value) => typeof value === 'boolean',
  array: (value) => Array.isArray(value),
  object: (value) => isDoc(value),
};

/** `{mcpServers:{name: …}}` and the plain map are the same. */
function mcpServers(value: unknown): Doc {
  const inner = isDoc(value) && isDoc(value.mcpServers) ? value.mcpServers : value;
  if (!isDoc(inner) || !Object.values(inner).every(isDoc))
    throw invalid('mcp_config', 'Input should be a map of servers by name');
  return inner;
}

function mergeDiff(stored: Doc, flat: Doc, fields: Field[]): Doc {
  const next = { ...stored };
  for (const { key } of fields) {
    if (!(key in flat)) continue;
    if (flat[key] === null) delete next[key];
    else next[key] = flat[key];
  }
  return next;
}

export function isDoc(value: unknown): value is Doc {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Current values of the LLM, without `llm.` before the names. With secrets: for the agent only. */
export function llmOf(agent: Doc, options: { secrets: boolean }): Doc {
  const entries = AGENT_FIELDS.filter((field) => field.key.startsWith('llm.')).map((field) => [
    field.key.slice('llm.'.length),
    field.secret && !options.secrets ? null : (agent[field.key] ?? field.default),
  ]);
  return { ...(Object.fromEntries(entries) as Doc), is_subscription: false };
}

/** A value of one section or of the top: the stored one or the default. */
export function settingOf(stored: Doc, key: string): unknown {
  return key in stored
    ? stored[key]
    : [...AGENT_FIELDS, ...CONVERSATION_FIELDS].find((field) => field.key === key)?.default;
}

function sectionOf(agent: Doc, name: string): Doc {
  const fields = AGENT_FIELDS.filter((field) => field.key.startsWith(`${name}.`));
  return Object.fromEntries(
    fields.map((field) => [field.key.slice(name.length + 1), field.secret ? null : settingOf(agent, field.key)]),
  );
}

/** What GET /settings and /users/me answer, without their own last fields. No secret is in it. */
export function shownSettings(stored: StoredSettings, context: { now: Date; providers: string[] }): Doc {
  const { scalars, agent, conversation } = stored;
  const scalar = (key: string) => (SECRET_SCALARS.has(key) ? null : (scalars[key] ?? SCALARS[key]?.default ?? null));
  const { registered_marketplaces, ...rest } = Object.fromEntries(
    Object.keys(SCALARS).map((key) => [key, scalar(key)]),
  );
  delete rest.title_llm_profile;
  return {
    ...rest,
    secrets_store: { provider_tokens: Object.fromEntries(context.providers.map((name) => [name, null])) },
    agent_settings: shownAgent(agent, context.now),
    conversation_settings: {
      schema_version: 1,
      ...Object.fromEntries(CONVERSATION_FIELDS.map(({ key }) => [key, settingOf(conversation, key)])),
    },
    llm_profiles: {
      profiles: Object.fromEntries(
        Object.entries(stored.profiles).map(([name, profile]) => [name, llmOf(profile, { secrets: false })]),
      ),
      active: stored.activeProfile,
    },
    registered_marketplaces,
    inherited_marketplaces: [],
  };
}

function shownAgent(agent: Doc, now: Date): Doc {
  return {
    schema_version: 4,
    agent_kind: 'openhands',
    agent: settingOf(agent, 'agent'),
    llm: llmOf(agent, { secrets: false }),
    tools: settingOf(agent, 'tools'),
    enable_sub_agents: settingOf(agent, 'enable_sub_agents'),
    enable_switch_llm_tool: settingOf(agent, 'enable_switch_llm_tool'),
    tool_concurrency_limit: settingOf(agent, 'tool_concurrency_limit'),
    mcp_config: settingOf(agent, 'mcp_config'),
    agent_context: {
      skills: [],
      system_message_suffix: null,
      user_message_suffix: null,
      load_user_skills: false,
      load_public_skills: false,
      marketplace_path: 'marketplaces/default.json',
      registered_marketplaces: [],
      load_project_skills: false,
      disabled_skills: [],
      secrets: null,
      current_datetime: now.toISOString(),
    },
    condenser: sectionOf(agent, 'condenser'),
    verification: sectionOf(agent, 'verification'),
  };
}
