/**
 * Events of a conversation as the agent server writes, sends and stores them (OpenHands agent server 1.58).
 * Null and missing mean the same; sockets and searches leave nulls out. Times are ISO 8601 without zone, server time.
 */
export type EventSource = 'agent' | 'user' | 'environment' | 'hook';

export interface TextContent {
  type: 'text';
  text: string;
  cache_prompt?: boolean;
}
export interface ImageContent {
  type: 'image';
  /** http(s) or data: URLs. */
  image_urls: string[];
  cache_prompt?: boolean;
}
export type Content = TextContent | ImageContent;

export interface ToolCall {
  id: string;
  responses_item_id?: string | null;
  name: string;
  /** JSON text; see `serializeArguments` of the agent loop for its exact spacing. */
  arguments: string;
  origin: 'completion' | 'responses';
}

export interface Message {
  role: 'user' | 'system' | 'assistant' | 'tool';
  content: Content[];
  tool_calls?: ToolCall[] | null;
  tool_call_id?: string | null;
  name?: string | null;
  reasoning_content?: string | null;
  thinking_blocks?: Record<string, unknown>[];
  responses_reasoning_item?: Record<string, unknown> | null;
}

export type SecurityRisk = 'UNKNOWN' | 'LOW' | 'MEDIUM' | 'HIGH';
export const EXECUTION_STATUSES = [
  'idle',
  'running',
  'paused',
  'waiting_for_confirmation',
  'finished',
  'error',
  'stuck',
  'deleting',
] as const;
export type ExecutionStatus = (typeof EXECUTION_STATUSES)[number];

/** An action or observation: `kind` names its class (`TerminalAction`, `FileEditorObservation`, …), the rest is the tool's. */
export interface ToolPayload {
  kind: string;
  [field: string]: unknown;
}
export interface Observation extends ToolPayload {
  content: Content[];
  is_error: boolean;
}

export interface ErrorClassification {
  kind: 'auth' | 'quota' | 'rate_limit' | 'config' | 'transient' | 'agent_action' | 'internal' | 'unknown';
  retryable: boolean;
  user_action: 'none' | 'retry' | 'settings';
  error_id?: string | null;
}

/** What each kind adds to the fields that every event has. */
export interface EventBodies {
  SystemPromptEvent: { system_prompt: TextContent; tools: ToolPayload[]; dynamic_context?: TextContent | null };
  MessageEvent: {
    llm_message: Message;
    llm_response_id?: string | null;
    activated_skills: string[];
    extended_content: TextContent[];
    sender?: string | null;
    critic_result?: Record<string, unknown> | null;
  };
  ActionEvent: {
    thought: TextContent[];
    reasoning_content?: string | null;
    thinking_blocks: Record<string, unknown>[];
    responses_reasoning_item?: Record<string, unknown> | null;
    /** Null when the call did not validate. */
    action?: ToolPayload | null;
    tool_name: string;
    tool_call_id: string;
    tool_call: ToolCall;
    llm_response_id: string;
    security_risk: SecurityRisk;
    summary?: string | null;
    critic_result?: Record<string, unknown> | null;
  };
  ObservationEvent: {
    tool_name: string;
    tool_call_id: string;
    observation: Observation;
    action_id: string;
    extended_content: TextContent[];
  };
  UserRejectObservation: {
    tool_name: string;
    tool_call_id: string;
    action_id: string;
    rejection_reason: string;
    rejection_source: 'user' | 'hook';
  };
  AgentErrorEvent: {
    tool_name: string;
    tool_call_id: string;
    error: string;
    classification?: ErrorClassification | null;
  };
  ConversationErrorEvent: { code: string; detail: string; classification?: ErrorClassification | null };
  ServerErrorEvent: { code: string; detail: string };
  PauseEvent: Record<never, never>;
  InterruptEvent: Record<never, never>;
  CondensationRequest: Record<never, never>;
  Condensation: {
    forgotten_event_ids: string[];
    summary?: string | null;
    summary_offset?: number | null;
    llm_response_id: string;
  };
  CondensationSummaryEvent: { summary: string };
  ConversationStateUpdateEvent: { key: string; value: unknown };
  SecurityAnalysisEvent: {
    analyzer: string;
    policy: string;
    /** Action event id → risk. */
    risks: Record<string, SecurityRisk>;
    details: Record<string, unknown>;
  };
  HookExecutionEvent: {
    hook_event_type: 'PreToolUse' | 'PostToolUse' | 'UserPromptSubmit' | 'SessionStart' | 'SessionEnd' | 'Stop';
    hook_command: string;
    tool_name?: string | null;
    success: boolean;
    blocked: boolean;
    exit_code: number;
    stdout: string;
    stderr: string;
    reason?: string | null;
    additional_context?: string | null;
    error?: string | null;
    action_id?: string | null;
    message_id?: string | null;
    hook_input?: Record<string, unknown> | null;
  };
  /** Sockets only: neither stored nor sent to webhooks. */
  StreamingDeltaEvent: { content?: string | null; reasoning_content?: string | null };
  TokenEvent: { prompt_token_ids: number[]; response_token_ids: number[] };
  LLMCompletionLogEvent: { filename: string; log_data: string; model_name: string; usage_id: string };
}
export type EventKind = keyof EventBodies;

export interface EventBase {
  id: string;
  timestamp: string;
  source: EventSource;
  /** The event before this one in its branch; `"__root__"` for a first event after a branch point. */
  parent_id?: string | null;
}
/** An event of one kind, complete. `AgentEvent` alone is the union of all, discriminated by `kind`. */
export type AgentEventOf<Kind extends EventKind> = EventBase & { kind: Kind } & EventBodies[Kind];
export type AgentEvent = { [Kind in EventKind]: AgentEventOf<Kind> }[EventKind];
/** What its author says of a new event: id, time and parent are given to it when it is written. */
export type NewEvent = {
  [Kind in EventKind]: { kind: Kind; source?: EventSource; id?: string } & EventBodies[Kind];
}[EventKind];

/** Whose word an event is where its author does not say. */
export const DEFAULT_SOURCE: Record<EventKind, EventSource> = {
  SystemPromptEvent: 'agent',
  MessageEvent: 'user',
  ActionEvent: 'agent',
  ObservationEvent: 'environment',
  UserRejectObservation: 'environment',
  AgentErrorEvent: 'agent',
  ConversationErrorEvent: 'environment',
  ServerErrorEvent: 'environment',
  PauseEvent: 'user',
  InterruptEvent: 'user',
  CondensationRequest: 'environment',
  Condensation: 'environment',
  CondensationSummaryEvent: 'environment',
  ConversationStateUpdateEvent: 'environment',
  SecurityAnalysisEvent: 'environment',
  HookExecutionEvent: 'hook',
  StreamingDeltaEvent: 'agent',
  TokenEvent: 'agent',
  LLMCompletionLogEvent: 'environment',
};
