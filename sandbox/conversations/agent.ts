/** The agent part of a conversation: defaults of the OpenHands agent server 1.58, and the forms in which it leaves this process. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { AgentConfig, LlmConfig } from '../../contracts/agent/requests.js';
import { valueError } from '../http/validate.js';
import { longEnough, secretValues } from '../masking.js';
import { completeLlm, LLM_SECRETS, llmSchema, MASK, redactLlm, unmasked } from './llm.js';

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

/** The agent with another model. A condenser that used the agent's model follows it. Pure. */
export function withLlm(agent: AgentConfig, llm: LlmConfig): AgentConfig {
  const next = unmasked(llm, agent.llm);
  const { condenser } = agent;
  const follows = condenser?.llm != null && sameModel(condenser.llm, agent.llm);
  return {
    ...agent,
    llm: next,
    condenser: follows
      ? { ...condenser, llm: { ...next, usage_id: condenser.llm?.usage_id ?? 'condenser' } }
      : condenser,
  };
}

const sameModel = (one: LlmConfig, other: LlmConfig): boolean =>
  isDeepStrictEqual({ ...one, usage_id: '' }, { ...other, usage_id: '' });

/** Keys that a client was shown masked are those of `known` (the settings' model). Pure. */
export const unmaskedAgent = (agent: AgentConfig, known: Partial<LlmConfig> | undefined): AgentConfig =>
  withLlms(agent, (llm) => unmasked(llm, known));

/** How secrets are written where they may not be seen: null in REST answers, stars on sockets. */
export function redactAgent(agent: AgentConfig, mask: string | null): AgentConfig {
  const redacted = withLlms(agent, (llm) => redactLlm(llm, mask));
  return { ...redacted, mcp_config: redactMcp(redacted.mcp_config) };
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
    return hide && typeof value === 'string' ? MASK : value;
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
    include_default_tools: [
      ...AGENT_DEFAULTS.include_default_tools,
      ...(settings['enable_switch_llm_tool'] === false ? [] : ['SwitchLLMTool']),
    ],
    agent_context: settings['agent_context'] ?? null,
    persona: settings['persona'] ?? null,
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
