/** A conversation as REST answers and webhooks show it, and as the first frame of a socket does. */
import { hexOf } from '../http/uuid.js';
import { redactAgent } from './agent.js';
import { withoutNulls } from './forms.js';
import { MASK } from './llm.js';
import type { ConversationRecord } from './record.js';
import { shownSecret } from './secrets.js';
import { utcTime } from './times.js';

export interface RuntimeInfo {
  runtime_status: 'available';
  can_resume: boolean;
  runtime_error: string | null;
}
export const AVAILABLE: RuntimeInfo = { runtime_status: 'available', can_resume: true, runtime_error: null };

/** ConversationInfo. `runtime` is null in answers to POST, fork and navigate and in webhooks. */
export function conversationInfo(
  record: ConversationRecord,
  options: { persistenceDir: string; runtime: RuntimeInfo | null; includeSkills?: boolean },
): Record<string, unknown> {
  const agent = redactAgent(record.agent, null);
  const context = agent.agent_context;
  return {
    id: record.id,
    workspace: record.workspace,
    persistence_dir: options.persistenceDir,
    ...common(record),
    security_analyzer: record.securityAnalyzer,
    hook_config: record.hookConfig,
    stats: record.stats,
    title: record.title,
    metrics: null,
    created_at: utcTime(record.createdAt),
    updated_at: utcTime(record.updatedAt),
    forked_from_conversation_id: record.forkedFrom?.conversationId ?? null,
    forked_from_event_id: record.forkedFrom?.eventId ?? null,
    parent_conversation_id: record.parentId,
    sub_conversation_ids: record.childIds,
    current_model_id: null,
    available_models: [],
    supports_runtime_model_switch: false,
    launched_agent_profile: record.launched ?? null,
    agent:
      options.includeSkills === false && context?.skills !== undefined
        ? { ...agent, agent_context: { ...context, skills: [] } }
        : agent,
    client_tools: record.clientTools,
    tool_module_qualnames: record.toolModules,
    runtime_info: options.runtime,
  };
}

/** Value of the `full_state` update. */
export function fullState(record: ConversationRecord, persistenceDir: string): Record<string, unknown> {
  return withoutNulls({
    id: record.id,
    agent: redactAgent(record.agent, MASK),
    workspace: record.workspace,
    persistence_dir: persistenceDir,
    ...common(record),
    security_analyzer: record.securityAnalyzer,
    hook_config: record.hookConfig,
    activated_path_rules: [],
    head_is_empty: record.leafId === null && record.navigatedToRoot === true,
    stats: record.stats,
  });
}

function common(record: ConversationRecord): Record<string, unknown> {
  return {
    max_iterations: record.maxIterations,
    stuck_detection: record.stuckDetection,
    execution_status: record.status,
    confirmation_policy: record.confirmationPolicy,
    activated_knowledge_skills: record.activatedSkills,
    invoked_skills: [],
    blocked_actions: record.blockedActions,
    blocked_messages: record.blockedMessages,
    last_user_message_id: record.lastUserMessageId,
    leaf_event_id: record.leafId,
    secret_registry: {
      secret_sources: Object.fromEntries(
        Object.entries(record.secrets).map(([name, source]) => [name, shownSecret(source)]),
      ),
    },
    agent_state: record.agentState,
    tags: record.tags,
  };
}

/** The folder of a conversation's data. */
export const folderName = (id: string): string => hexOf(id);
