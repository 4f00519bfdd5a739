/** The settings as clients see them: defaults of the OpenHands agent server 1.58 with what was stored, secrets hidden. */
import { redactMcp } from '../conversations/agent.js';
import { completeLlm, MASK, redactLlm } from '../conversations/llm.js';
import { utcTime } from '../conversations/times.js';
import type { StoredSettings } from './settings.js';

type Fields = Record<string, unknown>;

const AGENT: Fields = {
  schema_version: 9,
  agent_kind: 'openhands',
  agent: 'CodeActAgent',
  tools: null,
  enable_classify_and_switch_llm_tool: false,
  active_meta_profile: null,
  meta_profile: null,
  meta_profile_llms: {},
  tool_concurrency_limit: 1,
  mcp_config: {},
  persona: null,
  agent_context: {
    skills: [],
    system_message_suffix: null,
    user_message_suffix: null,
    load_user_skills: false,
    load_public_skills: false,
    marketplace_path: 'marketplaces/default.json',
    registered_marketplaces: [],
    load_project_skills: false,
    load_memory: false,
    disabled_skills: [],
    secrets: null,
  },
  condenser: {
    condenser_kind: 'llm_summarizing',
    enabled: true,
    max_size: 240,
    max_tokens: null,
    keep_first: 2,
    minimum_progress: 0.1,
    hard_context_reset_max_retries: 5,
    hard_context_reset_context_scaling: 0.8,
  },
  verification: {
    critic_enabled: false,
    critic_mode: 'finish_and_message',
    enable_iterative_refinement: false,
    critic_threshold: 0.6,
    max_refinement_iterations: 3,
    critic_server_url: null,
    critic_model_name: null,
    critic_api_key: null,
  },
};

const CONVERSATION: Fields = {
  schema_version: 1,
  max_iterations: 500,
  confirmation_mode: false,
  security_analyzer: 'llm',
  default_runtime: 'local',
  worktree_base: 'default_branch',
  worktree_base_ref: null,
  worktree_branch_prefix: 'openhands/',
  container_memory: null,
  container_cpus: null,
  container_browser: true,
};

/** `plain` shows secrets as they are. */
export function settingsForm(stored: StoredSettings, options: { plain: boolean; nowMicros: number }): Fields {
  const { llm: storedLlm, ...agent } = stored.agent;
  const llm = completeLlm((storedLlm ?? {}) as Fields);
  const merged = merge(AGENT, agent);
  merged['agent_context'] = { ...(merged['agent_context'] as Fields), current_datetime: utcTime(options.nowMicros) };
  if (!options.plain && isFields(merged['mcp_config'])) merged['mcp_config'] = redactMcp(merged['mcp_config']);
  return {
    agent_settings: { ...merged, llm: options.plain ? llm : redactLlm(llm, MASK) },
    conversation_settings: merge(CONVERSATION, stored.conversation),
    llm_api_key_is_set: llm.api_key != null,
    active_profile: stored.activeProfile,
    active_agent_profile_id: stored.activeAgentProfileId,
    active_meta_profile: null,
    misc_settings: stored.misc,
  };
}

/** A copy of `base` in which objects of `diff` are merged and its other values win. A mask that comes back changes nothing. */
export function merge(base: Fields, diff: Fields): Fields {
  const merged = structuredClone(base);
  for (const [name, value] of Object.entries(diff)) {
    if (value === MASK || name === '__proto__') continue;
    merged[name] = isFields(value) && isFields(merged[name]) ? merge(merged[name], value) : value;
  }
  return merged;
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
