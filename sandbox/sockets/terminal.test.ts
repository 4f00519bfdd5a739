/** The terminal socket with a real server, a real pseudo-terminal and a real shell. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import { systemClock } from '../../process/clock.js';
import { createLog } from '../../process/log.js';
import { readServerConfig } from '../config.js';
import { startServer } from '../server.js';

const KEY = 'terminal-test-key';
const root = realpathSync(mkdtempSync(join(tmpdir(), 'terminal-socket-')));
const config = readServerConfig({
  PATH: process.env['PATH'],
  HOME: root,
  HOST: '127.0.0.1',
  PORT: '0',
  OH_SESSION_API_KEYS_0: KEY,
  OH_SECRET_KEY: 'nobody may see this',
  OH_ENABLE_VSCODE: 'false',
  OH_CONVERSATIONS_PATH: join(root, 'conversations'),
  OH_BASH_EVENTS_DIR: join(root, 'bash_events'),
  SANDLOT_WORKSPACE_ROOT: root,
});
const server = await startServer({ config, log: createLog({ name: 'test', level: 'silent' }), clock: systemClock });
t.teardown(async () => {
  await server.close();
  rmSync(root, { recursive: true, force: true });
});

const response = await fetch(`${server.url}/api/conversations`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', 'x-session-api-key': KEY },
  body: JSON.stringify({
    agent: { kind: 'Agent', llm: { model: 'builtin/line-runner' } },
    workspace: { working_dir: '/workspace/project/one' },
  }),
});
const { id } = (await response.json()) as { id: string };

interface Client {
  socket: WebSocket;
  type(text: string): void;
  control(frame: object): void;
  /** Resolves with all output so far as soon as it matches. */
  until(pattern: RegExp): Promise<string>;
  received(): number;
  closed: Promise<{ code: number; reason: string }>;
}

function connect(
  options: { id?: string; query?: string; headers?: Record<string, string>; first?: object } = {},
): Client {
  const address = `${server.url.replace('http', 'ws')}/sockets/terminal/${options.id ?? id}${options.query ?? ''}`;
  const socket = new WebSocket(address, { headers: options.headers ?? {} });
  const waiting = new Set<() => void>();
  let output = '';
  let bytes = 0;
  socket.on('open', () => {
    if (options.first !== undefined) socket.send(JSON.stringify(options.first));
  });
  socket.on('message', (data: Buffer, binary) => {
    if (!binary) return;
    bytes += data.length;
    output = (output + data.toString('latin1')).slice(-20_000);
    waiting.forEach((look) => look());
  });
  const ready = new Promise((resolve) => socket.once('open', resolve));
  return {
    socket,
    type: (text) => void ready.then(() => socket.send(Buffer.from(text))),
    control: (frame) => void ready.then(() => socket.send(JSON.stringify(frame))),
    received: () => bytes,
    until: (pattern) =>
      new Promise((resolve) => {
        const look = () => {
          if (!pattern.test(output)) return;
          waiting.delete(look);
          resolve(output);
        };
        waiting.add(look);
        look();
      }),
    closed: new Promise((resolve, reject) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
      socket.on('error', reject);
    }),
  };
}

const byKey = () => connect({ headers: { 'x-session-api-key': KEY } });
const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const gone = async (pid: number): Promise<boolean> => {
  for (let turn = 0; turn < 200 && alive(pid); turn += 1) await new Promise((resolve) => setTimeout(resolve, 20));
  return !alive(pid);
};

t.test('every way to authenticate, and none', async (t) => {
  const ways = [
    { query: `?session_api_key=${KEY}` },
    { headers: { 'x-session-api-key': KEY } },
    { first: { type: 'auth', session_api_key: KEY } },
  ];
  for (const way of ways) {
    const client = connect(way);
    client.type('echo in-$((1+1))\n');
    t.match(await client.until(/in-2/), /in-2/, Object.keys(way)[0] ?? '');
    client.socket.close();
    await client.closed;
  }
  t.equal((await connect({ first: { type: 'auth', session_api_key: 'wrong' } }).closed).code, 4001);
  await t.rejects(connect({ headers: { 'x-session-api-key': 'wrong' } }).closed, /403/);
  const nowhere = connect({ id: '0'.repeat(32), headers: { 'x-session-api-key': KEY } });
  t.same(await nowhere.closed, { code: 4004, reason: 'Conversation not found' });
});

t.test('a shell in the workspace: terminal, size, folder, no keys', async (t) => {
  const client = byKey();
  client.control({ type: 'resize', cols: 133, rows: 41 });
  client.control({ type: 'resize', cols: -1, rows: 100_000 });
  client.control({ nonsense: true });
  client.type('stty size; pwd; echo "$TERM:"; tty -s && echo is-a-tty; env | grep -c nobody; echo done-$((2+3))\n');
  const output = await client.until(/done-5/);
  t.match(output, /41 133/, 'the first size, not the impossible one');
  t.match(output, new RegExp(join(root, 'project/one')));
  t.match(output, /xterm-256color:/);
  t.match(output, /is-a-tty\r\n0\r\n/, 'none of the server’s secrets in its environment');
  t.ok(server.context.clock.monotonic() - server.context.lastActivity < 5000, 'counts as activity');
  client.type('exit 7\n');
  t.same(await client.closed, { code: 1000, reason: 'The shell ended with 7' });
});

t.test('closing ends the shell and what runs in it', async (t) => {
  const client = byKey();
  client.type('sleep 1000 & echo "shell=$$ job=$!."; sleep 1001\n');
  const [, shell, job] = /shell=(\d+) job=(\d+)\./.exec(await client.until(/shell=\d+ job=\d+\./)) ?? [];
  t.ok(alive(Number(shell)) && alive(Number(job)), 'both run');
  client.socket.close();
  t.ok(await gone(Number(shell)), 'the shell is gone');
  t.ok(await gone(Number(job)), 'its job is gone');
});

t.test('a flood waits for a reader that acknowledges', async (t) => {
  const client = byKey();
  client.control({ type: 'ack', bytes: 0 });
  client.type('head -c 8000000 /dev/zero | tr "\\0" x; echo; echo end-$((3+4))\n');
  await client.until(/x{1000}/);
  let before = -1;
  while (client.received() !== before) {
    before = client.received();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  t.ok(before < 4_000_000, `${before} bytes came without acknowledgement`);
  const show = setInterval(() => client.control({ type: 'ack', bytes: client.received() }), 5);
  t.match(await client.until(/end-7/), /end-7/, 'and all of it with');
  clearInterval(show);
  t.ok(client.received() > 8_000_000);
  client.socket.close();
});

t.test('input that nobody reads is bounded, and arrives', async (t) => {
  const client = byKey();
  client.type('stty raw -echo; echo ready-$((4+4)); sleep 0.5; head -c $((6*1000*1000)) | wc -c; stty sane\n');
  await client.until(/ready-8/);
  for (let part = 0; part < 60; part += 1) client.type('y'.repeat(100_000));
  t.match(await client.until(/6000000/), /6000000/);
  client.type('exit\n');
  await client.closed;
});

t.test('eight at most', async (t) => {
  const eight = Array.from({ length: 8 }, byKey);
  for (const [index, client] of eight.entries()) {
    client.type(`echo at-$((${index}+100))\n`);
    await client.until(new RegExp(`at-${index + 100}`));
  }
  const ninth = await byKey().closed;
  t.equal(ninth.code, 1013);
  t.match(ninth.reason, /8 terminals/);
  for (const client of eight) client.socket.close();
  await Promise.all(eight.map((client) => client.closed));
  const again = byKey();
  again.type('echo again-$((5+5))\n');
  t.match(await again.until(/again-10/), /again-10/, 'a closed one makes room');
  again.socket.close();
  await again.closed;
});
