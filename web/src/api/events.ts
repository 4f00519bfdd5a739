/** Events of a conversation as they come off the wire, and what each says in a line. Unknown kinds are shown as they are. */

interface TextPart {
  type?: string;
  text?: string;
}

export interface AgentEvent {
  id: string;
  kind: string;
  timestamp: string;
  source: string;
  llm_message?: { role: string; content: TextPart[] };
  thought?: TextPart[];
  action?: Record<string, unknown> & { kind: string };
  action_id?: string;
  observation?: {
    kind: string;
    content?: TextPart[];
    is_error?: boolean;
    exit_code?: number | null;
    [key: string]: unknown;
  };
  tool_name?: string;
  summary?: string;
  security_risk?: string;
  error?: string;
  code?: string;
  detail?: string;
  key?: string;
  value?: unknown;
  content?: string;
  system_prompt?: TextPart;
  rejection_reason?: string;
}

export function isEvent(value: unknown): value is AgentEvent {
  if (typeof value !== 'object' || value === null) return false;
  const { id, kind } = value as { id?: unknown; kind?: unknown };
  return typeof kind === 'string' && typeof id === 'string';
}

export function textOf(parts: TextPart[] | undefined): string {
  return (parts ?? []).map((part) => part.text ?? '').join('');
}

/** Which row of the chat an event makes; undefined for events that only belong into the full list. */
export type Row = 'user' | 'agent' | 'action' | 'observation' | 'error' | 'notice';

const ROWS: Record<string, Row> = {
  ActionEvent: 'action',
  ObservationEvent: 'observation',
  UserRejectObservation: 'notice',
  AgentErrorEvent: 'error',
  ConversationErrorEvent: 'error',
  ServerErrorEvent: 'error',
  PauseEvent: 'notice',
  InterruptEvent: 'notice',
  Condensation: 'notice',
};

export function rowOf(event: AgentEvent): Row | undefined {
  if (event.kind === 'MessageEvent') return event.source === 'user' ? 'user' : 'agent';
  return ROWS[event.kind];
}

/** The command, path or message that an action is about. */
export function actionLine(event: AgentEvent): string {
  const action = event.action;
  if (action === undefined) return event.tool_name ?? 'invalid call';
  const { command, path, message, thought } = action as {
    command?: unknown;
    path?: unknown;
    message?: unknown;
    thought?: unknown;
  };
  if (action.kind === 'FileEditorAction') return `${String(command)} ${String(path)}`;
  return (
    [command, path, message, thought]
      .map((value) => (typeof value === 'string' ? value : ''))
      .find((value) => value !== '') ?? action.kind
  );
}

export function noticeLine(event: AgentEvent): string {
  switch (event.kind) {
    case 'PauseEvent':
      return 'Paused';
    case 'InterruptEvent':
      return 'Stopped';
    case 'Condensation':
      return 'Earlier history was summarised for the model';
    case 'UserRejectObservation':
      return event.rejection_reason ?? 'Rejected';
    default:
      return event.kind;
  }
}

export function errorLine(event: AgentEvent): string {
  return event.error ?? event.detail ?? event.code ?? event.kind;
}

/** The run's status when the event tells it. */
export function statusIn(event: AgentEvent): string | undefined {
  if (event.kind !== 'ConversationStateUpdateEvent') return undefined;
  if (event.key === 'execution_status') return String(event.value);
  if (event.key !== 'full_state') return undefined;
  const state = event.value as { execution_status?: unknown } | null;
  return typeof state?.execution_status === 'string' ? state.execution_status : undefined;
}
