/**
 * Two forms of an event: without nulls (log, sockets, searches) and with every field of its kind (single events, batches,
 * webhooks). The tables name the fields that may be null.
 */
import type { AgentEvent } from '../../contracts/agent/events.js';

/** A copy without null and undefined members; the `value` of a state update is left alone, for there null says something. */
export function withoutNulls<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((entry: unknown) => withoutNulls(entry)) as T;
  const state = (value as { kind?: unknown }).kind === 'ConversationStateUpdateEvent';
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== null && entry !== undefined)
      .map(([name, entry]) => [name, state && name === 'value' ? (entry as unknown) : withoutNulls<unknown>(entry)]),
  ) as T;
}

const NULLS: Record<string, readonly string[]> = {
  SystemPromptEvent: ['dynamic_context'],
  MessageEvent: ['llm_response_id', 'sender', 'critic_result'],
  ActionEvent: ['reasoning_content', 'responses_reasoning_item', 'action', 'summary', 'critic_result'],
  AgentErrorEvent: ['classification'],
  ConversationErrorEvent: ['classification'],
  Condensation: ['summary', 'summary_offset'],
  HookExecutionEvent: ['tool_name', 'reason', 'additional_context', 'error', 'action_id', 'message_id', 'hook_input'],
  StreamingDeltaEvent: ['content', 'reasoning_content'],
  TerminalAction: ['timeout'],
  FileEditorAction: ['file_text', 'old_str', 'new_str', 'insert_line', 'view_range'],
  PlanningFileEditorAction: ['file_text', 'old_str', 'new_str', 'insert_line', 'view_range'],
  TerminalObservation: ['command', 'exit_code', 'full_output_save_dir'],
  FileEditorObservation: ['path', 'old_content', 'new_content'],
  PlanningFileEditorObservation: ['path', 'old_content', 'new_content'],
  BrowserObservation: ['screenshot_data', 'full_output_save_dir'],
};
const MESSAGE = ['tool_calls', 'tool_call_id', 'name', 'reasoning_content', 'responses_reasoning_item'] as const;

type Fields = Record<string, unknown>;

/** The event with null for every field of its kind that has no value. */
export function withNulls(event: AgentEvent): Fields {
  const { kind, ...rest } = fill(event as unknown as Fields);
  if (rest['parent_id'] === undefined) rest['parent_id'] = null;
  if (event.kind === 'MessageEvent') rest['llm_message'] = { ...nulls(MESSAGE), ...(rest['llm_message'] as Fields) };
  if (event.kind === 'ActionEvent') {
    const call = rest['tool_call'] as Fields;
    rest['tool_call'] = { ...call, responses_item_id: call['responses_item_id'] ?? null };
  }
  for (const name of ['action', 'observation']) {
    const payload = rest[name];
    if (typeof payload === 'object' && payload !== null) rest[name] = fill(payload as Fields);
  }
  for (const name of ['classification'])
    if (typeof rest[name] === 'object' && rest[name] !== null)
      rest[name] = { error_id: null, ...(rest[name] as Fields) };
  return { ...rest, kind };
}

const nulls = (names: readonly string[]): Fields => Object.fromEntries(names.map((name) => [name, null]));
const fill = (fields: Fields): Fields => ({ ...nulls(NULLS[String(fields['kind'])] ?? []), ...fields });
