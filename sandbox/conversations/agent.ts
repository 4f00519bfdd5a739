/** The agent part of a conversation: defaults of the OpenHands agent server 1.58, and the forms in which it leaves this process. */
import { z } from 'zod';
import type { AgentConfig, LlmConfig } from '../../contracts/agent/requests.js';
import { valueError } from '../http/validate.js';
import { longEnough, secretValues } from '../masking.js';

const LLM_DEFAULTS = {
  model: 'gpt-5.6',
  api_key: null,
  provider_connection_id: null,
  auth_type: 'api_key',
  subscription_vendor: null,
  base_url: null,
  api_version: null,
  aws_access_key_id: null,
  aws_secret_access_key: null,
  aws_session_token: null,
  aws_region_name: null,
  aws_profile_name: null,
  aws_role_name: null,
  aws_session_name: null,
  aws_bedrock_runtime_endpoint: null,
  openrouter_site_url: 'https://docs.all-hands.dev/',
  openrouter_app_name: 'OpenHands',
  num_retries: 5,
  retry_multiplier: 8,
  retry_min_wait: 8,
  retry_max_wait: 64,
  timeout: 300,
  stream_idle_timeout: 300,
  max_message_chars: 30000,
  temperature: null,
  top_p: null,
  top_k: null,
  max_input_tokens: null,
  max_output_tokens: null,
  model_canonical_name: null,
  api_mode: 'auto',
  capability_overrides: {},
  extra_headers: null,
  input_cost_per_token: null,
  output_cost_per_token: null,
  ollama_base_url: null,
  stream: false,
  drop_params: true,
  disable_vision: null,
  disable_stop_word: false,
  caching_prompt: true,
  log_completions: false,
  log_completions_folder: 'logs/completions',
  custom_tokenizer: null,
  native_tool_calling: true,
  force_string_serializer: null,
  inline_image_urls: null,
  reasoning_effort: 'high',
  reasoning_summary: null,
  enable_encrypted_reasoning: true,
  prompt_cache_retention: '24h',
  extended_thinking_budget: 200000,
  seed: null,
  usage_id: 'default',
  litellm_extra_body: {},
} satisfies Record<string, unknown>;

const AGENT_DEFAULTS = {
  tools: [] as unknown[],
  mcp_config: {},
  filter_tools_regex: null,
  include_default_tools: ['FinishTool', 'ThinkTool'],
  agent_context: null,
  system_prompt: null,
  system_prompt_filename: 'system_prompt.j2',
  security_policy_filename: 'security_policy.j2',
  system_prompt_kwargs: { llm_security_analyzer: true },
  condenser: null,
  critic: null,
  tool_concurrency_limit: 1,
  persona: null,
} satisfies Record<string, unknown>;

/** Fields of an LLM that no answer shows. */
const LLM_SECRETS = ['api_key', 'aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'] as const;

const text = z.string().nullish();
const number = z.number().nullish();

/** The LLM object of a client: what the agent acts on is typed, everything known is kept. */
export const llmSchema = z
  .looseObject({
    model: z.string().optional(),
    api_key: text,
    base_url: text,
    usage_id: z.string().optional(),
    num_retries: z.number().int().optional(),
    retry_multiplier: z.number().optional(),
    retry_min_wait: z.number().optional(),
    retry_max_wait: z.number().optional(),
    timeout: number,
    temperature: number,
    top_p: number,
    top_k: number,
    max_input_tokens: number,
    max_output_tokens: number,
    stream: z.boolean().optional(),
    extra_headers: z.record(z.string(), z.string()).nullish(),
    log_completions: z.boolean().optional(),
  })
  .transform((given) => completeLlm(given));

const AGENT_KINDS = ['ACPAgent', 'Agent'];

/** The agent object of a client, completed. */
export const agentSchema = z
  .looseObject({
    kind: z.string().optional(),
    llm: llmSchema,
    tools: z.array(z.looseObject({ name: z.string(), params: z.record(z.string(), z.unknown()).nullish() })).nullish(),
    mcp_config: z.record(z.string(), z.unknown()).nullish(),
    include_default_tools: z.array(z.string()).optional(),
    agent_context: z.looseObject({}).nullish(),
    condenser: z.looseObject({ kind: z.string(), llm: llmSchema.optional() }).nullish(),
  })
  .superRefine((given, context) => {
    if (given.kind === undefined || AGENT_KINDS.includes(given.kind)) return;
    const message = `Unknown kind '${given.kind}' for openhands.sdk.agent.base.AgentBase; Expected one of: ${pythonList(AGENT_KINDS)}`;
    context.addIssue({ code: 'custom', ...valueError(message) });
  })
  .transform((given) => completeAgent(given));

/** `['a', 'b']`, as Python prints a list. */
export const pythonList = (words: readonly string[]): string => `[${words.map((word) => `'${word}'`).join(', ')}]`;

export function completeLlm(given: Record<string, unknown>): LlmConfig {
  const llm: Record<string, unknown> = {};
  for (const [name, fallback] of Object.entries(LLM_DEFAULTS))
    llm[name] = given[name] ?? fallbackOf(name, given, fallback);
  llm['is_subscription'] = given['auth_type'] === 'subscription';
  return llm as LlmConfig;
}

/** An explicit null wins over a default, as in the original. */
const fallbackOf = (name: string, given: Record<string, unknown>, fallback: unknown): unknown =>
  given[name] === null ? null : structuredClone(fallback);

export function completeAgent(given: Record<string, unknown> & { llm: LlmConfig }): AgentConfig {
  const agent: Record<string, unknown> = { llm: given.llm };
  for (const [name, fallback] of Object.entries(AGENT_DEFAULTS)) agent[name] = given[name] ?? structuredClone(fallback);
  agent['tools'] = (agent['tools'] as { name: string; params?: unknown }[]).map((tool) => ({
    name: tool.name,
    params: tool.params ?? {},
  }));
  agent['kind'] = given['kind'] ?? 'Agent';
  return agent as AgentConfig;
}

/** Applies `change` to every LLM inside an agent (its own, the condenser's). */
function withLlms(agent: AgentConfig, change: (llm: LlmConfig) => LlmConfig): AgentConfig {
  const condenser = agent.condenser;
  return {
    ...agent,
    llm: change(agent.llm),
    condenser:
      condenser?.llm === undefined || condenser.llm === null ? condenser : { ...condenser, llm: change(condenser.llm) },
  };
}

/** How secrets are written where they may not be seen: null in REST answers, stars on sockets. */
export function redactAgent(agent: AgentConfig, mask: string | null): AgentConfig {
  const redacted = withLlms(agent, (llm) => redactLlm(llm, mask));
  return { ...redacted, mcp_config: redactMcp(redacted.mcp_config) };
}

export function redactLlm(llm: LlmConfig, mask: string | null): LlmConfig {
  const copy = { ...llm };
  for (const name of LLM_SECRETS) if (copy[name] != null) copy[name] = mask;
  if (copy.extra_headers !== null)
    copy.extra_headers = Object.fromEntries(Object.keys(copy.extra_headers).map((name) => [name, '**********']));
  return copy;
}

/** The credentials inside an agent: keys and headers of its models, headers and variables of its MCP servers. Pure. */
export function agentCredentials(agent: AgentConfig): string[] {
  const models = [agent.llm, agent.condenser?.llm].filter((llm) => llm != null);
  const visit = (value: unknown): string[] => {
    if (typeof value !== 'object' || value === null) return [];
    return [...secretValues(value as Record<string, unknown>), ...Object.values(value).flatMap(visit)];
  };
  return [
    ...models.flatMap((llm) => longEnough(LLM_SECRETS.map((name) => llm[name] as string | null | undefined))),
    ...models.flatMap((llm) => secretValues(llm.extra_headers ?? {})),
    ...visit(agent.mcp_config),
  ];
}

/** Environments and headers of MCP servers hold credentials as a rule. */
export function redactMcp(config: Record<string, unknown>): Record<string, unknown> {
  const visit = (value: unknown, hide: boolean): unknown => {
    if (Array.isArray(value)) return value.map((entry) => visit(entry, hide));
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(
        Object.entries(value).map(([name, entry]) => [name, visit(entry, hide || /^(env|headers|auth)$/i.test(name))]),
      );
    return hide && typeof value === 'string' ? '**********' : value;
  };
  return visit(config, false) as Record<string, unknown>;
}

const MODULES: Record<string, string> = { browser_tool_set: 'browser_use' };
const BUILT_IN = new Set([
  'terminal',
  'file_editor',
  'task_tracker',
  'browser_tool_set',
  'planning_file_editor',
  'glob',
  'grep',
  'apply_patch',
  'delegate',
  'task_tool_set',
]);

/** Which Python module a tool of the original comes from; clients hand these names back. */
export function toolModules(agent: AgentConfig, given: Record<string, string>): Record<string, string> {
  const modules = Object.fromEntries(
    agent.tools
      .filter((tool) => BUILT_IN.has(tool.name))
      .map((tool) => [tool.name, `openhands.tools.${MODULES[tool.name] ?? tool.name}.definition`]),
  );
  return { ...modules, ...given };
}

/** An agent of a client that sends settings instead: its model, and the usual tools when it names none. */
export function agentFromSettings(settings: Record<string, unknown>): AgentConfig {
  const llm = completeLlm({ usage_id: 'agent', ...(settings['llm'] as Record<string, unknown> | undefined) });
  const condenser = settings['condenser'] as { enabled?: boolean; max_size?: number; keep_first?: number } | undefined;
  const tools = settings['tools'] as { name: string }[] | null | undefined;
  return completeAgent({
    llm,
    tools: tools ?? usualTools(settings).map((name) => ({ name, params: {} })),
    mcp_config: settings['mcp_config'] ?? {},
    agent_context: settings['agent_context'] ?? null,
    tool_concurrency_limit: settings['tool_concurrency_limit'] ?? 1,
    condenser:
      condenser === undefined || condenser.enabled === false
        ? null
        : {
            kind: 'LLMSummarizingCondenser',
            llm: { ...llm, usage_id: 'condenser' },
            max_size: condenser.max_size ?? 240,
            keep_first: condenser.keep_first ?? 2,
          },
  });
}

const usualTools = (settings: Record<string, unknown>): string[] => [
  'terminal',
  'file_editor',
  'task_tracker',
  ...(settings['enable_sub_agents'] === true ? ['task_tool_set'] : []),
];
