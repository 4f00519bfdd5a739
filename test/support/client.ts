/** A user's programs for suites: the API server by HTTP, a sandbox through the gateway by HTTP and WebSocket. */
import { lookup } from 'node:dns';
import { Agent, request } from 'undici';
import { WebSocket } from 'ws';
import { until, type Stack } from './stack.js';

/** `*.localhost` is this machine (RFC 6761); not every resolver knows. */
const localhost: typeof lookup = ((
  _name: string,
  options: { all?: boolean },
  give: (error: null, address: unknown, family?: number) => void,
) => {
  if (options.all === true) give(null, [{ address: '127.0.0.1', family: 4 }]);
  else give(null, '127.0.0.1', 4);
}) as never;
const agents = new Map<string, Agent>();
function agentFor(ca: string): Agent {
  const known = agents.get(ca) ?? new Agent({ connect: { lookup: localhost, ...(ca === '' ? {} : { ca }) } });
  agents.set(ca, known);
  return known;
}

export interface Answer<T = unknown> {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  body: T;
}

export interface AskOptions {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT';
  body?: unknown;
  headers?: Record<string, string>;
  /** Certificate (PEM) that an https server is trusted by. */
  ca?: string;
}

export async function ask<T = unknown>(url: string, options: AskOptions = {}): Promise<Answer<T>> {
  const response = await request(url, {
    dispatcher: agentFor(options.ca ?? ''),
    method: options.method ?? 'GET',
    headers: { ...(options.body === undefined ? {} : { 'content-type': 'application/json' }), ...options.headers },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  const text = await response.body.text();
  let body: unknown = text;
  try {
    body = JSON.parse(text);
  } catch {
    // Not JSON: the text is the body.
  }
  return { status: response.statusCode, headers: response.headers, text, body: body as T };
}

export interface Conversation {
  id: string;
  sandbox_id: string;
  sandbox_status: string;
  execution_status: string | null;
  conversation_url: string | null;
  session_api_key: string | null;
}

interface StartTask {
  id: string;
  status: string;
  detail: string | null;
  app_conversation_id: string | null;
}

/** Starts a conversation and waits until its task is READY. */
export async function converse(stack: Stack, text: string): Promise<Conversation> {
  const started = await ask<StartTask>(`${stack.api}/api/v1/app-conversations`, {
    method: 'POST',
    body: { initial_message: { role: 'user', content: [{ type: 'text', text }], run: true } },
  });
  if (started.status !== 200) throw new Error(`start: ${started.status} ${started.text}`);
  const id = await finishStart(stack, started.body.id);
  return await running(stack, id);
}

export async function finishStart(stack: Stack, taskId: string): Promise<string> {
  return await until('the start task', async () => {
    const { body } = await ask<(StartTask | null)[]>(`${stack.api}/api/v1/app-conversations/start-tasks?ids=${taskId}`);
    const task = body[0];
    if (task?.status === 'ERROR') throw new Error(`start failed: ${task.detail ?? ''}`);
    return task?.status === 'READY' ? (task.app_conversation_id ?? undefined) : undefined;
  });
}

export async function conversationOf(stack: Stack, id: string): Promise<Conversation | null> {
  const { body } = await ask<(Conversation | null)[]>(`${stack.api}/api/v1/app-conversations?ids=${id}`);
  return body[0] ?? null;
}

/** The conversation once its sandbox runs and may be called. */
export async function running(stack: Stack, id: string): Promise<Conversation> {
  return await until('a running sandbox', async () => {
    const conversation = await conversationOf(stack, id);
    return conversation?.conversation_url != null && conversation.session_api_key !== null ? conversation : undefined;
  });
}

export async function finished(stack: Stack, id: string): Promise<Conversation> {
  return await until('the run to finish', async () => {
    const conversation = await conversationOf(stack, id);
    return conversation?.execution_status === 'finished' ? conversation : undefined;
  });
}

export interface WireEvent {
  id: string;
  kind: string;
  source: string;
  timestamp: string;
  key?: string;
  value?: unknown;
  observation?: { content?: { text?: string }[]; exit_code?: number };
  [key: string]: unknown;
}

export interface Following {
  events: WireEvent[];
  /** Resolves with the first event, past or coming, that matches. */
  first(what: string, match: (event: WireEvent) => boolean): Promise<WireEvent>;
  send(text: string): void;
  close(): void;
}

/** Follows a conversation's events through the gateway, letting itself in with the first frame. */
export async function follow(conversation: Conversation): Promise<Following> {
  const url = (conversation.conversation_url ?? '')
    .replace(/^http/, 'ws')
    .replace('/api/conversations/', '/sockets/events/');
  const socket = new WebSocket(`${url}?resend_mode=all`, { lookup: localhost } as never);
  const events: WireEvent[] = [];
  socket.on('message', (data) => events.push(JSON.parse(String(data)) as WireEvent));
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  socket.send(JSON.stringify({ type: 'auth', session_api_key: conversation.session_api_key }));
  return {
    events,
    first: (what, match) => until(what, () => Promise.resolve(events.find(match))),
    send: (text) => socket.send(JSON.stringify({ role: 'user', content: [{ type: 'text', text }] })),
    close: () => socket.close(),
  };
}

/** All stored events of a conversation, as the API server has them. */
export async function history(stack: Stack, id: string): Promise<WireEvent[]> {
  const events: WireEvent[] = [];
  let page: string | null = '';
  while (page !== null) {
    const answer: Answer<{ items: WireEvent[]; next_page_id: string | null }> = await ask(
      `${stack.api}/api/v1/conversation/${id}/events/search?limit=100${page === '' ? '' : `&page_id=${page}`}`,
    );
    events.push(...answer.body.items);
    page = answer.body.next_page_id;
  }
  return events;
}

/** A call to the sandbox's agent server through the gateway. */
export async function askAgent<T = unknown>(
  conversation: Conversation,
  path: string,
  options: AskOptions = {},
): Promise<Answer<T>> {
  const base = (conversation.conversation_url ?? '').replace(/\/api\/conversations\/.*$/, '');
  return await ask<T>(`${base}${path}`, {
    ...options,
    headers: { 'x-session-api-key': conversation.session_api_key ?? '', ...options.headers },
  });
}

/** Address that lets a browser into a port of the sandbox, in host form. */
export async function entry(stack: Stack, sandbox: string, port: string | number, path: string): Promise<string> {
  const { body, status, text } = await ask<{ url: string }>(`${stack.api}/api/v1/sandboxes/${sandbox}/entry`, {
    method: 'POST',
    body: { port, path },
  });
  if (status !== 200) throw new Error(`entry: ${status} ${text}`);
  return body.url;
}

/** The same way in below the path of the single host. */
export function pathForm(hostForm: string): string {
  const url = new URL(hostForm);
  const [port = '', slot = ''] = (url.hostname.split('.')[0] ?? '').split('-');
  const domain = url.host.slice(url.host.indexOf('.') + 1);
  return `${url.protocol}//${domain}/${slot}/${port}${url.pathname}${url.search}`;
}

/** Opens a port of the sandbox as a browser does: entry pass, cookie, page. */
export async function browse(stack: Stack, sandboxId: string, port: string | number, path: string): Promise<Answer> {
  const url = await entry(stack, sandboxId, port, path);
  const letIn = await ask(url);
  const location = letIn.headers.location;
  if (typeof location !== 'string')
    throw new Error(`the gateway did not let the browser in: ${letIn.status} ${letIn.text}`);
  const cookies = [letIn.headers['set-cookie'] ?? []].flat().map((cookie) => cookie.split(';')[0] ?? '');
  return await ask(new URL(location, url).href, {
    headers: { cookie: cookies.join('; '), accept: 'text/html' },
  });
}
