/** From the definition of a sub-agent to its conversation. */
import type { AgentConfig, ConfirmationPolicy, LlmConfig } from '../../contracts/agent/requests.js';
import type { AgentConversation, ChildRequest, ConversationSettings } from '../seam.js';
import { definitionSchema, findAgents, type AgentDefinition } from '../services/sub-agents.js';
import { findChromium } from '../tools/browser/find.js';
import type { SubAgents } from '../tools/tool.js';
import { skillsOf, type KnownSkill } from './skills.js';

const POLICIES: Record<string, ConfirmationPolicy> = {
  always_confirm: { kind: 'AlwaysConfirm' },
  never_confirm: { kind: 'NeverConfirm' },
  confirm_risky: { kind: 'ConfirmRisky', threshold: 'HIGH', confirm_unknown: true },
};
const DEFAULT_CONDENSER = { kind: 'LLMSummarizingCondenser', max_size: 240, keep_first: 2 };

export interface SubAgentParts {
  parent: Readonly<ConversationSettings>;
  definition: AgentDefinition;
  /** All skills that the parent knows. */
  skills: readonly KnownSkill[];
  /** US dollars that the parent cost so far. */
  spent: number;
  /** The saved model that the definition names; absent where it names none, or there is none of that name. */
  model?: LlmConfig;
}

/** The sub-agents of a conversation; undefined where it can have no children. */
export function subAgentsOf(conversation: AgentConversation): SubAgents | undefined {
  const { children, workspaceDir } = conversation;
  if (children === undefined) return undefined;
  const home = (): string | null => conversation.commandEnvironment()['HOME'] ?? null;
  return {
    depth: children.depth,
    list: () => children.list(),
    definitions: () =>
      findAgents({
        given: children.definitions().flatMap((given) => definitionSchema.safeParse(given).data ?? []),
        projectDir: workspaceDir,
        home: home(),
        builtIn: true,
        browser: findChromium(conversation.commandEnvironment()) !== undefined,
      }),
    async create(definition, description) {
      const parent = conversation.settings();
      const skills = definition.skills.length === 0 ? [] : await skillsOf(parent.agent, { workspaceDir, home: home() });
      const model = inherits(definition) ? undefined : await conversation.profiles?.find(definition.model);
      return children.create({
        description,
        type: definition.name,
        ...childSettings({
          parent,
          definition,
          skills,
          spent: conversation.spent(),
          ...(model === undefined ? {} : { model }),
        }),
      });
    },
    work: (child, prompt, options) => children.work(child, prompt, options),
  };
}

/** Whether it works with its parent's model. */
const inherits = ({ model }: AgentDefinition): boolean => model === '' || model === 'inherit';

/** Pure. Throws an Error that says which skill of the definition, or profile, is not there. */
export function childSettings({
  parent,
  definition,
  skills,
  spent,
  model,
}: SubAgentParts): Pick<ChildRequest, 'agent' | 'maxIterations' | 'maxBudget' | 'confirmationPolicy' | 'hookConfig'> {
  if (!inherits(definition) && model === undefined)
    throw new Error(`Profile ${definition.model} of agent '${definition.name}' not found in profile store.`);
  const llm = { ...(model ?? parent.agent.llm), usage_id: parent.agent.llm.usage_id, stream: false };
  const chosen = definition.skills.map((name) => {
    const skill = skills.find((each) => each.name === name);
    if (skill === undefined) throw new Error(`Skill '${name}' not found but was given to agent '${definition.name}'.`);
    return { name, content: skill.content, source: skill.source, trigger: null };
  });
  const agent: AgentConfig = {
    ...parent.agent,
    llm,
    system_prompt: null,
    tools: definition.tools.map((name) => ({ name, params: {} })),
    agent_context: {
      ...parent.agent.agent_context,
      skills: chosen,
      load_project_skills: false,
      system_message_suffix: definition.system_prompt,
      user_message_suffix: null,
    },
    condenser: condenserOf(definition, llm),
  };
  return {
    agent,
    maxIterations: definition.max_iteration_per_run ?? parent.maxIterations,
    maxBudget: budgetOf(definition.max_budget_per_run, parent.maxBudget === null ? null : parent.maxBudget - spent),
    confirmationPolicy: POLICIES[definition.permission_mode ?? ''] ?? parent.confirmationPolicy,
    hookConfig: definition.hooks,
  };
}

/** Its own limit, and never more than what its parent has left. */
const budgetOf = (own: number | null, left: number | null): number | null =>
  own === null || left === null ? (own ?? left) : Math.min(own, left);

const OFF = ['none', 'off', 'false', 'no', 'disable', 'disabled'];

function condenserOf({ condenser: given }: AgentDefinition, llm: AgentConfig['llm']): AgentConfig['condenser'] {
  if (given === false || (typeof given === 'string' && OFF.includes(given.trim().toLowerCase()))) return null;
  const own = typeof given === 'object' && given !== null ? (given as Record<string, unknown>) : DEFAULT_CONDENSER;
  if (own['kind'] === 'NoOpCondenser') return null;
  return { ...DEFAULT_CONDENSER, ...own, llm: { ...llm, usage_id: 'condenser' } };
}
