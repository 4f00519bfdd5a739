/** A server of a test: in this process or in one of its own, with its folders below one folder. */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { WebSocket } from 'ws';
import { systemClock } from '../../process/clock.js';
import { createLog } from '../../process/log.js';
import { readServerConfig } from '../config.js';
import { startServer, type AgentServer } from '../server.js';

export const KEY = 'test-session-key';

/** A folder that goes after what was started in it: tap takes its own test folders away before that. */
export function folder(t: { teardown(work: () => void): unknown }): string {
  const dir = mkdtempSync(join(tmpdir(), 'sandlot-agent-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
  return dir;
}

/** Environment of a server that keeps everything below `dir`. */
export function environmentOf(dir: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(delimiter),
    HOME: dir,
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_LEVEL: 'fatal',
    OH_SESSION_API_KEYS_0: KEY,
    OH_SECRET_KEY: 'a stable secret',
    OH_CONVERSATIONS_PATH: join(dir, 'conversations'),
    OH_BASH_EVENTS_DIR: join(dir, 'bash'),
    OH_ENABLE_VSCODE: 'false',
    SANDLOT_WORKSPACE_ROOT: join(dir, 'workspace'),
    ...more,
  };
}

export function startHere(dir: string, more: Record<string, string> = {}): Promise<AgentServer> {
  const config = readServerConfig(environmentOf(dir, more));
  return startServer({ config, log: createLog({ name: 'test', level: config.logLevel }), clock: systemClock });
}

/** The real program in a process of its own. */
export async function startChild(
  dir: string,
  more: Record<string, string> = {},
  options: { output?: 'inherit' | 'pipe' } = {},
): Promise<{ child: ChildProcess; url: string }> {
  mkdirSync(dir, { recursive: true });
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const main = new URL(`../main.${extension}`, import.meta.url).href;
  const file = join(dir, 'program.mjs');
  writeFileSync(file, `const { main } = await import(${JSON.stringify(main)});\nawait main(process.env);\n`);
  const child = fork(pathToFileURL(file).pathname, {
    execArgv: extension === 'ts' ? ['--import', import.meta.resolve('tsx')] : [],
    env: environmentOf(dir, more),
    stdio: ['ignore', options.output ?? 'inherit', options.output ?? 'inherit', 'ipc'],
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { port: number }).port));
    child.once('exit', (code) => reject(new Error(`ended with ${String(code)}`)));
  });
  return { child, url: `http://127.0.0.1:${port}` };
}

export interface Answer {
  status: number;
  body: unknown;
  headers: Headers;
}

/** Calls with the session key; bodies are JSON. */
export function caller(
  url: string,
  key: string | null = KEY,
): (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer> {
  return async (method, path, body, headers) => {
    const response = await fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(key === null ? {} : { 'x-session-api-key': key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = response.headers.get('content-type')?.startsWith('application/json') === true;
    return { status: response.status, body: json ? (JSON.parse(text) as unknown) : text, headers: response.headers };
  };
}

export type Call = ReturnType<typeof caller>;

/** A conversation of the built-in model, which runs the lines of a message. */
export const lineRunner = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  agent: { llm: { model: 'builtin/line-runner' }, tools: [{ name: 'terminal' }] },
  workspace: { working_dir: '/workspace/project/test' },
  autotitle: false,
  ...more,
});

export const says = (text: string, run = true): Record<string, unknown> => ({
  role: 'user',
  content: [{ type: 'text', text }],
  run,
});

/** Asks again and again until the answer suits; the limit only ends a test that hangs. */
export async function until<T>(ask: () => Promise<T>, suits: (value: T) => boolean): Promise<T> {
  const end = Date.now() + 30_000;
  for (;;) {
    const value = await ask();
    if (suits(value)) return value;
    if (Date.now() > end) throw new Error(`waited in vain; last ${JSON.stringify(value)?.slice(0, 500)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const statusOf = async (call: Call, id: string): Promise<string> =>
  ((await call('GET', `/api/conversations/${id}`)).body as { execution_status: string }).execution_status;

export interface Frames {
  socket: WebSocket;
  frames: Record<string, unknown>[];
}

/** Opens a socket and collects its frames. */
export async function listen(url: string, path: string, key = KEY): Promise<Frames> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers: { 'x-session-api-key': key } });
  const frames: Record<string, unknown>[] = [];
  socket.on('message', (data) => frames.push(JSON.parse(String(data as Buffer)) as Record<string, unknown>));
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  return { socket, frames };
}
