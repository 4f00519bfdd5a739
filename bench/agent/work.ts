/** What a client does, and how long it takes; the same calls for both servers. */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import type { ScriptedModel, Turn } from '../../sandbox/agent/testing/model.js';
import { KEY, type Running } from './servers.js';

const LIMIT_MS = 300_000;

export async function call<T>(server: Running, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(server.url + path, {
    method,
    headers: { 'x-session-api-key': KEY, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok)
    throw new Error(`${method} ${path} answered ${answer.status}: ${(await answer.text()).slice(0, 300)}`);
  return (await answer.json()) as T;
}

const say = (words: string) => ({ role: 'user', content: [{ type: 'text', text: words }], run: true });

/** Makes a conversation whose model answers at once; returns its id. */
export async function create(
  server: Running,
  model: ScriptedModel,
  { words, iterations = 10 }: { words?: string; iterations?: number } = {},
): Promise<string> {
  const id = randomUUID();
  const folder = join(server.dir, id);
  mkdirSync(folder);
  await call(server, 'POST', '/api/conversations', {
    conversation_id: id,
    workspace: { kind: 'LocalWorkspace', working_dir: folder },
    agent: {
      kind: 'Agent',
      llm: { model: 'openai/scripted', base_url: model.url, api_key: 'sk', usage_id: 'agent', num_retries: 0 },
      tools: [{ name: 'terminal', params: {} }],
    },
    max_iterations: iterations,
    stuck_detection: false,
    autotitle: false,
    ...(words === undefined ? {} : { initial_message: say(words) }),
  });
  return id;
}

export interface Frame {
  kind?: string;
  key?: string;
  value?: unknown;
}

/** Frames of a conversation's socket until `until` says so; resolves with their number and the time that it took. */
export function follow(
  server: Running,
  id: string,
  options: { query?: string; until: (frame: Frame, count: number) => boolean },
): Promise<{ frames: number; ms: number }> {
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/sockets/events/${id}?${options.query ?? ''}`, {
      headers: { 'x-session-api-key': KEY },
    });
    const timer = setTimeout(() => reject(new Error('the events did not come in time')), LIMIT_MS);
    let frames = 0;
    socket.on('error', reject);
    socket.on('message', (data) => {
      frames += 1;
      if (!options.until(JSON.parse(String(data as Buffer)) as Frame, frames)) return;
      clearTimeout(timer);
      socket.close();
      resolve({ frames, ms: performance.now() - begin });
    });
  });
}

/** From POST with a first message to the first event on the socket. */
export async function firstEventMs(server: Running, model: ScriptedModel): Promise<number> {
  model.script({ calls: [{ tool: 'finish', args: { message: 'done' } }] });
  const begin = performance.now();
  const id = await create(server, model, { words: 'go' });
  await follow(server, id, {
    query: 'resend_mode=all',
    until: (frame) => frame.kind === 'MessageEvent',
  });
  return performance.now() - begin;
}

/** Actions and observations a second that a run of `calls` steps stores; the limit of steps ends it. */
export async function eventsPerSecond(
  server: Running,
  model: ScriptedModel,
  { calls, turn }: { calls: number; turn: Turn },
): Promise<number> {
  const id = await create(server, model, { iterations: calls });
  model.script(turn);
  const done = follow(server, id, { until: (frame) => frame.key === 'execution_status' && frame.value === 'error' });
  const begin = performance.now();
  await call(server, 'POST', `/api/conversations/${id}/events`, say('go'));
  await done;
  return (2 * calls) / ((performance.now() - begin) / 1000);
}
