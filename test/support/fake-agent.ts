/**
 * A stand-in for an agent server at the edge of API server suites: it keeps conversations and events in memory and does as
 * it is told. It runs no agent. The real one is in the end-to-end suites.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomUUID } from 'node:crypto';

export interface FakeEvent {
  id: string;
  kind: string;
  timestamp: string;
  source: string;
  [field: string]: unknown;
}

export interface FakeAgent {
  port: number;
  /** Key that it wants; calls with another are refused with 401. */
  key: string;
  /** Every call, in order: `METHOD /path`. */
  calls: { line: string; body: unknown }[];
  /** Bodies of POST /api/conversations by dashed id. */
  conversations: Map<string, Record<string, unknown>>;
  /** The log of each conversation, oldest first. */
  events: Map<string, FakeEvent[]>;
  status: string;
  /** What it finds in a repository's `.openhands/hooks.json`. */
  hooks: unknown;
  skills: unknown[];
  /** What a shell command answers; the default succeeds with no output. */
  bash: (command: string) => { exit_code: number; stdout: string };
  /** Called when a message is in the log, before its sender is told so. */
  onMessage?: ((text: string) => Promise<void>) | undefined;
  /** Answers this status to the next n calls whose line contains the text. */
  failNext(text: string, status: number, times?: number): void;
  close(): Promise<void>;
}

export async function startFakeAgent(key: string): Promise<FakeAgent> {
  const failures: { text: string; status: number; times: number }[] = [];
  const server = createServer((request, response) => {
    readBody(request)
      .then((body) => answer(agent, failures, { request, response, body }))
      .catch((error: unknown) => send(response, 500, { detail: String(error) }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const agent: FakeAgent = {
    port: (server.address() as AddressInfo).port,
    key,
    calls: [],
    conversations: new Map(),
    events: new Map(),
    status: 'idle',
    hooks: null,
    skills: [],
    bash: () => ({ exit_code: 0, stdout: '' }),
    failNext: (text, status, times = 1) => void failures.push({ text, status, times }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return agent;
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  if (text === '') return undefined;
  return request.headers['content-type']?.includes('json') === true ? JSON.parse(text) : text;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

type Failures = { text: string; status: number; times: number }[];
interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  body: unknown;
}

function answer(agent: FakeAgent, failures: Failures, { request, response, body }: Exchange): void {
  const url = new URL(request.url ?? '/', 'http://agent');
  const line = `${request.method ?? ''} ${url.pathname}`;
  agent.calls.push({ line, body });
  if (request.headers['x-session-api-key'] !== agent.key) return send(response, 401, { detail: 'Unauthorized' });
  const failure = failures.find((one) => one.times > 0 && line.includes(one.text));
  if (failure !== undefined) {
    failure.times -= 1;
    return send(response, failure.status, { detail: 'told to fail' });
  }
  if (line === 'POST /api/bash/execute_bash_command') {
    return send(response, 200, { stderr: null, ...agent.bash((body as { command: string }).command) });
  }
  if (line === 'POST /api/conversations') return create(agent, response, body as Record<string, unknown>);
  if (line === 'GET /api/conversations') {
    return send(
      response,
      200,
      url.searchParams.getAll('ids').map((id) => infoOf(agent, id)),
    );
  }
  if (line === 'GET /api/conversations/search') {
    const items = [...agent.conversations.keys()].map((id) => infoOf(agent, id));
    return send(response, 200, { items, next_page_id: null });
  }
  const fixed = fixedAnswers(agent)[line];
  if (fixed !== undefined) return send(response, 200, fixed);
  if (line === 'GET /api/file/download') {
    return void response.writeHead(200, { 'content-type': 'application/octet-stream' }).end('content of the file');
  }
  const inside = /^\/api\/conversations\/([0-9a-f-]+)(\/.*)?$/.exec(url.pathname);
  if (inside === null) return send(response, 404, { detail: 'Not Found' });
  const [, id = '', below = ''] = inside;
  const within = `${request.method ?? ''} ${below}`;
  if (within === 'GET ') return send(response, infoOf(agent, id) === null ? 404 : 200, infoOf(agent, id));
  if (within === 'GET /events/search') return search(agent, response, { id, query: url.searchParams });
  if (within === 'POST /events') return addMessage(agent, response, { id, body });
  send(response, 404, { detail: 'Not Found' });
}

const fixedAnswers = (agent: FakeAgent): Record<string, unknown> => ({
  'POST /api/file/upload': { success: true },
  'POST /api/skills': { skills: agent.skills },
  'POST /api/hooks': { hook_config: agent.hooks },
  'GET /api/git/changes': [{ status: 'ADDED', path: 'a.txt' }],
});

function create(agent: FakeAgent, response: ServerResponse, body: Record<string, unknown>): void {
  const id = String(body.conversation_id);
  const known = agent.conversations.has(id);
  if (!known) agent.conversations.set(id, body);
  send(response, known ? 200 : 201, infoOf(agent, id));
}

function addMessage(agent: FakeAgent, response: ServerResponse, { id, body }: { id: string; body: unknown }): void {
  const log = agent.events.get(id) ?? [];
  const timestamp = new Date().toISOString().replace('Z', `${String(log.length % 1000).padStart(3, '0')}`);
  const event = { id: randomUUID(), kind: 'MessageEvent', source: 'user', timestamp, llm_message: body };
  agent.events.set(id, [...log, event]);
  const [part] = (body as { content: { text?: string }[] }).content;
  Promise.resolve(agent.onMessage?.(part?.text ?? '')).then(
    () => send(response, 200, { success: true }),
    () => response.destroy(),
  );
}

function infoOf(agent: FakeAgent, id: string): Record<string, unknown> | null {
  if (!agent.conversations.has(id)) return null;
  const usage = {
    prompt_tokens: 3,
    completion_tokens: 2,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    context_window: 9,
    per_turn_token: 5,
  };
  return {
    id,
    title: null,
    execution_status: agent.status,
    stats: { usage_to_metrics: { agent: { accumulated_cost: 0.5, accumulated_token_usage: usage } } },
  };
}

function search(
  agent: FakeAgent,
  response: ServerResponse,
  { id, query }: { id: string; query: URLSearchParams },
): void {
  const from = query.get('timestamp__gte') ?? '';
  const wanted = (event: FakeEvent) =>
    event.timestamp >= from &&
    ['kind', 'source'].every((field) => !query.has(field) || query.get(field) === event[field]);
  const all = (agent.events.get(id) ?? []).filter(wanted);
  const sorted = query.get('sort_order') === 'TIMESTAMP_DESC' ? [...all].reverse() : all;
  const start = Number(query.get('page_id') ?? 0);
  const limit = Number(query.get('limit') ?? 100);
  const end = start + limit;
  send(response, 200, { items: sorted.slice(start, end), next_page_id: end < sorted.length ? String(end) : null });
}
