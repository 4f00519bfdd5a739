/** The API server as this UI uses it. Shapes: V1 REST of OpenHands, plus Sandlot's entry and progress routes. */
import { call } from './http';

export type SandboxStatus = 'STARTING' | 'RUNNING' | 'PAUSED' | 'ERROR' | 'MISSING';
export type ExecutionStatus =
  'idle' | 'running' | 'paused' | 'waiting_for_confirmation' | 'finished' | 'error' | 'stuck' | 'deleting';

export interface Conversation {
  id: string;
  sandbox_id: string;
  title: string | null;
  llm_model: string | null;
  selected_repository: string | null;
  created_at: string;
  updated_at: string;
  sandbox_status: SandboxStatus;
  execution_status: ExecutionStatus | null;
  conversation_url: string | null;
  session_api_key: string | null;
  public?: boolean | null;
  /** Planners. */
  sub_conversation_ids?: string[];
  /** `archiveworkspacepath`: the folder in which the agent works. */
  tags?: Record<string, string>;
}

export interface StartTask {
  id: string;
  status: string;
  detail: string | null;
  app_conversation_id: string | null;
  sandbox_id: string | null;
  created_at: string;
}

export interface Page<T> {
  items: T[];
  next_page_id: string | null;
}

export interface LlmSettings {
  model: string | null;
  base_url: string | null;
}

export interface Settings {
  agent_settings: { llm: LlmSettings };
  llm_api_key_set: boolean;
  conversation_settings?: { confirmation_mode?: boolean | null };
}

/** What the operator says of a sandbox: its phase and conditions, as `kubectl describe` shows them. */
export interface SandboxProgress {
  phase: string;
  conditions: { type: string; status: string; reason: string; message: string; lastTransitionTime: string }[];
  pool: string | null;
}

const V1 = '/api/v1';
const enc = encodeURIComponent;

export const searchConversations = (pageId?: string) =>
  call<Page<Conversation>>(
    `${V1}/app-conversations/search?limit=20${pageId === undefined ? '' : `&page_id=${enc(pageId)}`}`,
  );

export async function getConversation(id: string): Promise<Conversation | null> {
  const [conversation] = await call<(Conversation | null)[]>(`${V1}/app-conversations?ids=${enc(id)}`);
  return conversation ?? null;
}

export async function getStartTask(id: string): Promise<StartTask | null> {
  const [task] = await call<(StartTask | null)[]>(`${V1}/app-conversations/start-tasks?ids=${enc(id)}`);
  return task ?? null;
}

export const startConversation = (task: { text: string; repository?: string }) =>
  call<StartTask>(`${V1}/app-conversations`, {
    method: 'POST',
    body: {
      initial_message: { role: 'user', content: [{ type: 'text', text: task.text }], run: true },
      ...(task.repository === undefined ? {} : { selected_repository: task.repository }),
      trigger: 'gui',
    },
  });

/** A sub-conversation whose agent only plans. */
export const startPlanner = (parentId: string, text: string) =>
  call<StartTask>(`${V1}/app-conversations`, {
    method: 'POST',
    body: {
      parent_conversation_id: parentId,
      agent_type: 'plan',
      initial_message: { role: 'user', content: [{ type: 'text', text }], run: true },
      trigger: 'gui',
    },
  });
/** Empty while there is none. */
export const readPlan = (id: string) => call<string>(`${V1}/app-conversations/${enc(id)}/file`);

export const renameConversation = (id: string, title: string) =>
  call<Conversation>(`${V1}/app-conversations/${enc(id)}`, { method: 'PATCH', body: { title } });
export const deleteConversation = (id: string) =>
  call<unknown>(`${V1}/app-conversations/${enc(id)}`, { method: 'DELETE' });
export const pauseSandbox = (id: string) =>
  call<unknown>(`${V1}/sandboxes/${enc(id)}/pause`, { method: 'POST', body: {} });
export const resumeSandbox = (id: string) =>
  call<unknown>(`${V1}/sandboxes/${enc(id)}/resume`, { method: 'POST', body: {} });
export const getProgress = (sandboxId: string) => call<SandboxProgress>(`${V1}/sandboxes/${enc(sandboxId)}/progress`);

export const queueMessage = (id: string, text: string) =>
  call<unknown>(`${V1}/conversations/${enc(id)}/pending-messages`, {
    method: 'POST',
    body: { role: 'user', content: [{ type: 'text', text }] },
  });

/** A URL that lets this browser into one port of a sandbox, good for one minute. */
export const enterSandbox = (sandboxId: string, port: string | number, path = '/') =>
  call<{ url: string }>(`${V1}/sandboxes/${enc(sandboxId)}/entry`, { method: 'POST', body: { port, path } });

/** Stored history, oldest first. */
export async function readHistory(id: string, signal: AbortSignal): Promise<unknown[]> {
  const events: unknown[] = [];
  let pageId: string | null = null;
  // A bound on what one browser tab reads; the newest events come by the socket anyway.
  for (let pages = 0; pages < 100; pages += 1) {
    const page: Page<unknown> = await call(
      `${V1}/conversation/${enc(id)}/events/search?limit=100${pageId === null ? '' : `&page_id=${enc(pageId)}`}`,
      { signal },
    );
    events.push(...page.items);
    if (page.next_page_id === null) break;
    pageId = page.next_page_id;
  }
  return events;
}

export const getSettings = () => call<Settings>(`${V1}/settings`);
export const saveSettings = (changes: unknown) => call<unknown>(`${V1}/settings`, { method: 'POST', body: changes });
export const searchModels = () =>
  call<Page<{ name: string; provider?: string | null }>>(`${V1}/config/models/search?limit=100`);

export interface StartChange {
  task: StartTask;
  progress: SandboxProgress | null;
}

/** Follows a start by WebSocket; answers how to stop. `onClose` is not called after that. */
export function openStart(id: string, handlers: { onChange(change: StartChange): void; onClose(): void }): () => void {
  const socket = new WebSocket(
    `${location.origin.replace(/^http/, 'ws')}${V1}/app-conversations/start-tasks/${enc(id)}/live`,
  );
  socket.onmessage = ({ data }) => handlers.onChange(JSON.parse(String(data)) as StartChange);
  socket.onclose = () => handlers.onClose();
  return () => {
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
  };
}
