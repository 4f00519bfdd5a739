/** Records of new conversations: from a request, or as a fork. */
import { randomUUID } from 'node:crypto';
import type { Message } from '../../contracts/agent/events.js';
import type { AgentConfig, LlmConfig } from '../../contracts/agent/requests.js';
import { HttpError } from '../http/errors.js';
import type { ChildRequest } from '../seam.js';
import { allowedSecrets, type Launch } from '../services/agent-profiles/launch.js';
import { agentFromSettings, toolModules, unmaskedAgent } from './agent.js';
import type { ConversationRecord } from './record.js';
import type { ForkRequest, StartRequest } from './requests.js';

/** A client's message without what only says what to do with it. */
export function userMessage(given: NonNullable<StartRequest['initial_message']>): Message {
  return { role: 'user', content: given.content, thinking_blocks: [] };
}

/** Of a conversation in which nothing happened. A function: each record has lists of its own. */
const empty = () => ({
  agentState: {},
  activatedSkills: [],
  blockedActions: {},
  blockedMessages: {},
  forkedFrom: null,
  childIds: [],
  status: 'idle' as const,
  lastUserMessageId: null,
  leafId: null,
  stats: { usage_to_metrics: {} },
  logLength: 0,
});

/**
 * `now` in microseconds; `known` is the settings' model, whose keys masked ones stand for; `launch` the agent profile that
 * the request names. Throws HttpError 422 when there is no agent to be found.
 */
export function newRecord(
  request: StartRequest,
  { now, known, launch }: { now: number; known?: Partial<LlmConfig> | undefined; launch?: Launch | undefined },
): ConversationRecord {
  const agent = agentOf(request, launch);
  return {
    id: request.conversation_id ?? randomUUID(),
    createdAt: now,
    updatedAt: now,
    agent: unmaskedAgent(agent, known),
    secrets: allowedSecrets({ ...launch?.secrets, ...request.secrets }, launch?.launched),
    workspace: { working_dir: request.workspace.working_dir, kind: request.workspace.kind },
    maxIterations: request.max_iterations,
    stuckDetection: request.stuck_detection,
    confirmationPolicy: request.confirmation_policy ?? { kind: 'NeverConfirm' },
    securityAnalyzer: request.security_analyzer ?? null,
    hookConfig: request.hook_config ?? null,
    title: null,
    autotitle: request.autotitle,
    tags: request.tags ?? {},
    userId: request.user_id ?? null,
    clientTools: request.client_tools ?? [],
    toolModules: toolModules(agent, request.tool_module_qualnames ?? {}),
    ...empty(),
    parentId: request.parent_conversation_id ?? null,
    plugins: [],
    ...(request.max_budget_per_run == null ? {} : { maxBudget: request.max_budget_per_run }),
    ...(request.title_llm_profile == null ? {} : { titleProfile: request.title_llm_profile }),
    ...(launch === undefined ? {} : { launched: launch.launched }),
    ...(request.agent_definitions == null ? {} : { agentDefinitions: request.agent_definitions }),
  };
}

function agentOf(request: StartRequest, launch: Launch | undefined): AgentConfig {
  if (request.agent != null) return request.agent;
  const settings = launch?.agentSettings ?? request.agent_settings;
  if (settings == null) throw new HttpError(422, 'One of agent, agent_settings or agent_profile_id must be given');
  return agentFromSettings(settings);
}

/** A sub-agent's conversation: workspace, secrets and rules of its parent, and an agent of its own. */
export function childRecord(
  parent: ConversationRecord,
  request: ChildRequest & { name: string },
  now: number,
): ConversationRecord {
  const { maxBudget: _parents, goal: _goal, launched: _launched, ...inherited } = structuredClone(parent);
  return {
    ...inherited,
    ...empty(),
    navigatedToRoot: false,
    tags: {},
    id: randomUUID(),
    createdAt: now,
    updatedAt: now,
    agent: structuredClone(request.agent),
    maxIterations: request.maxIterations,
    ...(request.maxBudget === null ? {} : { maxBudget: request.maxBudget }),
    confirmationPolicy: request.confirmationPolicy,
    hookConfig: request.hookConfig,
    title: request.description ?? request.name,
    autotitle: false,
    parentId: parent.id,
    task: { name: request.name, type: request.type },
  };
}

/** A copy of a conversation that goes its own way from an event on (the last one when none is named). It keeps all keys. */
export function forkedRecord(source: ConversationRecord, request: ForkRequest, now: number): ConversationRecord {
  const eventId = request.from_event_id ?? null;
  const { task: _task, goal: _goal, ...copy } = structuredClone(source);
  return {
    ...copy,
    id: request.id ?? randomUUID(),
    createdAt: now,
    updatedAt: now,
    title: request.title ?? null,
    tags: request.tags ?? {},
    status: 'idle',
    lastUserMessageId: null,
    leafId: eventId ?? source.leafId,
    forkedFrom: { conversationId: source.id, eventId },
    childIds: [],
    ...(request.reset_metrics ? { stats: { usage_to_metrics: {} } } : {}),
  };
}
