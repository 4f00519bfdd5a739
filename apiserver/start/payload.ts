/** What the agent server is told to start: settings, model, skills, secrets, first message. Pure. */
import { conversationDashed } from '../../contracts/names.js';
import { sandboxUrl, type GatewayAddress } from '../../contracts/urls.js';
import { planFileOf } from '../conversations/plan.js';
import { llmOf, settingOf, type StoredSettings } from '../settings/model.js';
import { DEFAULT_MODEL } from '../settings/fields.js';
import type { AgentProfile } from '../settings/profile-schema.js';
import { withPluginValues } from './first-message.js';
import type { PluginSpec, StartRequest } from './request.js';

type Doc = Record<string, unknown>;

export interface PayloadInput {
  conversationId: string;
  workingDir: string;
  ownerId: string;
  request: StartRequest;
  /** With what the profile makes of them. */
  settings: StoredSettings;
  profile?: AgentProfile | undefined;
  /** By name, in the clear. */
  secrets: Record<string, { value: string; description?: string | null }>;
  /** `hook_config` of the repository, as the agent server read it. */
  hooks: unknown;
  /** MCP servers of this installation, by name. */
  mcp: Doc;
  slot: string;
  gateway: GatewayAddress;
}

export function conversationPayload(input: PayloadInput): Doc {
  const { request, settings, conversationId } = input;
  const message = withPluginValues(request.initial_message, request.plugins);
  return {
    conversation_id: conversationDashed(conversationId),
    user_id: input.ownerId,
    agent: agentPayload(input),
    workspace: { kind: 'LocalWorkspace', working_dir: input.workingDir },
    ...(message === null ? {} : { initial_message: message }),
    confirmation_policy: {
      kind: settingOf(settings.conversation, 'confirmation_mode') === true ? 'AlwaysConfirm' : 'NeverConfirm',
    },
    security_analyzer:
      settingOf(settings.conversation, 'security_analyzer') === 'llm' ? { kind: 'LLMSecurityAnalyzer' } : null,
    max_iterations: settingOf(settings.conversation, 'max_iterations'),
    ...budgetOf(settings),
    stuck_detection: true,
    autotitle: request.title === null,
    ...(typeof settings.scalars.title_llm_profile === 'string'
      ? { title_llm_profile: settings.scalars.title_llm_profile }
      : {}),
    secrets: Object.fromEntries(
      Object.entries(input.secrets).map(([name, { value, description }]) => [
        name,
        { kind: 'StaticSecret', value, ...(description == null ? {} : { description }) },
      ]),
    ),
    ...(request.plugins === null || request.plugins.length === 0 ? {} : { plugins: request.plugins.map(pluginSource) }),
    ...(input.hooks === null ? {} : { hook_config: input.hooks }),
    tags: {},
  };
}

const pluginSource = ({ source, ref, repo_path }: PluginSpec): Doc => ({
  source,
  ref: ref ?? null,
  repo_path: repo_path ?? null,
});

function agentPayload({ request, settings, profile, mcp, slot, gateway, workingDir }: PayloadInput): Doc {
  const agent = settings.agent;
  const llm = llmPayload(settings, request.llm_model);
  return {
    kind: 'Agent',
    llm: { ...llm, usage_id: 'agent' },
    tools: toolsOf(agent),
    mcp_config: { ...(settingOf(agent, 'mcp_config') as Doc), ...mcp },
    include_default_tools: ['FinishTool', 'ThinkTool', ...switchTool(settings)],
    agent_context: {
      skills: [workHostsSkill(gateway, slot), ...(profile?.skills ?? [])],
      disabled_skills: [...textsOf(settings.scalars.disabled_skills), ...(profile?.disabled_skills ?? [])],
      system_message_suffix: suffixOf(profile?.system_message_suffix, request.system_message_suffix),
      // AGENTS.md and .openhands/skills of the repository.
      load_project_skills: true,
    },
    condenser: condenserOf(settings, llm),
    ...(request.agent_type === 'plan' ? plannerOf(workingDir, condenserOf(settings, llm)) : {}),
    tool_concurrency_limit: settingOf(agent, 'tool_concurrency_limit'),
  };
}

/** What is different in an agent that only plans. */
const plannerOf = (workingDir: string, condenser: Doc | null): Doc => ({
  tools: [
    { name: 'glob', params: {} },
    { name: 'grep', params: {} },
    { name: 'planning_file_editor', params: { plan_path: planFileOf(workingDir) } },
  ],
  system_prompt_filename: 'system_prompt_planning.j2',
  mcp_config: {},
  condenser: condenser === null ? null : { ...condenser, max_size: 100, keep_first: 6 },
});

function budgetOf({ scalars }: StoredSettings): Doc {
  const budget = scalars.max_budget_per_task;
  return typeof budget === 'number' && budget > 0 ? { max_budget_per_run: budget } : {};
}

/** Only where there is something to change to. */
const switchTool = ({ agent, profiles }: StoredSettings): string[] =>
  settingOf(agent, 'enable_switch_llm_tool') === true && Object.keys(profiles).length > 0 ? ['SwitchLLMTool'] : [];

/** The model's settings with its key, nulls left out; of an active profile when the request names that model. */
export function llmPayload(settings: StoredSettings, override: string | null): Doc {
  const profile =
    override !== null && Object.hasOwn(settings.profiles, override) ? settings.profiles[override] : undefined;
  const { is_subscription: _derived, ...llm } = llmOf(profile ?? settings.agent, { secrets: true });
  const named = override === null || profile !== undefined ? llm : { ...llm, model: override };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== null));
}

/** The model that a conversation is said to use. */
export function modelOf(settings: StoredSettings, override: string | null): string {
  return String(llmPayload(settings, override).model ?? DEFAULT_MODEL);
}

function toolsOf(agent: Doc): unknown {
  const chosen = settingOf(agent, 'tools');
  if (Array.isArray(chosen)) return chosen;
  const helpers = settingOf(agent, 'enable_sub_agents') === true ? ['task_tool_set'] : [];
  return ['terminal', 'file_editor', 'task_tracker', ...helpers].map((name) => ({ name, params: {} }));
}

const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];

/** What the profile says first, then what this start says. */
function suffixOf(...parts: (string | null | undefined)[]): string | null {
  const said = parts.filter((part) => part != null && part !== '');
  return said.length === 0 ? null : said.join('\n\n');
}

function condenserOf(settings: StoredSettings, llm: Doc): Doc | null {
  const of = (key: string) => settingOf(settings.agent, `condenser.${key}`);
  if (of('enabled') !== true || of('condenser_kind') !== 'llm_summarizing' || llm.model === DEFAULT_MODEL) return null;
  return {
    kind: 'LLMSummarizingCondenser',
    llm: { ...llm, usage_id: 'condenser' },
    max_size: of('max_size'),
    keep_first: of('keep_first'),
  };
}

/** Tells the agent on which ports users see the apps that it starts. */
export function workHostsSkill(gateway: GatewayAddress, slot: string): Doc {
  const line = (port: 'worker-1' | 'worker-2', variable: string) =>
    `* ${sandboxUrl(gateway, slot, port)} (port $${variable})`;
  return {
    name: 'work_hosts',
    content: `Web applications that you start can be opened by the user under these addresses. Bind 0.0.0.0 and the port in the named environment variable:\n${line('worker-1', 'WORKER_1')}\n${line('worker-2', 'WORKER_2')}`,
  };
}
