import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { z } from 'zod';
import { ConfigError, flag, list, logLevel, port, readConfig, secret, url, whole } from './config.js';
import { startHealth } from './health.js';
import { createLog, describeError } from './log.js';
import { createMetrics } from './metrics.js';
import { packageRoot, version } from './root.js';
import { targetUrl } from './target.js';

const schema = z.object({
  PORT: port().default(3000),
  SECRET: secret(),
  BASE: url().optional(),
  ON: flag().default(false),
  NAMES: list().default([]),
  WORKERS: whole(1, 8).default(4),
  LOG_LEVEL: logLevel().default('info'),
});

function problemsOf(env: NodeJS.ProcessEnv): string[] {
  try {
    readConfig(schema, env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

t.test('configuration: defaults, conversions, and every mistake named at once', async (t) => {
  const good = readConfig(schema, {
    SECRET: 'x'.repeat(32),
    BASE: 'http://a:1/',
    ON: '1',
    NAMES: ' a, b,,',
    PORT: '',
    WORKERS: '8',
  });
  t.same(good, {
    PORT: 3000,
    SECRET: 'x'.repeat(32),
    BASE: 'http://a:1',
    ON: true,
    NAMES: ['a', 'b'],
    WORKERS: 8,
    LOG_LEVEL: 'info',
  });
  t.ok(Object.isFrozen(good));

  const wrong = { SECRET: 'hunter2', PORT: '70000', BASE: 'ftp://x', ON: 'yes', WORKERS: '9', LOG_LEVEL: 'loud' };
  const problems = problemsOf(wrong);
  t.same(problems.map((problem) => problem.split(':')[0]).sort(), Object.keys(wrong).sort());
  t.notMatch(problems.join(), 'hunter2', 'no value in a message');
  t.same(problemsOf({}), ['SECRET: must be set (a secret of at least 32 characters)']);
});

t.test('configuration: NAME_FILE is read where NAME is not set', async (t) => {
  const file = join(t.testdir({ secret: `${'s'.repeat(40)}\n` }), 'secret');
  t.equal(readConfig(schema, { SECRET_FILE: file }).SECRET, 's'.repeat(40));
  t.match(problemsOf({ SECRET_FILE: '/nonexistent' }), [/SECRET_FILE: cannot read .*ENOENT/, /SECRET/]);
});

t.test('log: credentials do not get out, causes do', async (t) => {
  const lines: string[] = [];
  const log = createLog({ name: 'test', destination: { write: (line: string) => void lines.push(line) } });
  const error = Object.assign(new Error('outer', { cause: new Error('inner') }), {
    headers: { authorization: 'Bearer abc' },
  });
  log.error({ err: error, headers: { 'x-session-api-key': 'key-1', cookie: 'a=b' }, token: 'abc' }, 'failed');
  const line = lines[0] ?? '';
  t.notMatch(line, /abc|key-1|a=b/);
  t.match(JSON.parse(line), { level: 'error', name: 'test', err: { message: 'outer', cause: { message: 'inner' } } });
  const thrown: [unknown, unknown][] = [
    [
      { name: 'ErrnoError', errno: 51, secret: 'abc' },
      { type: 'ErrnoError', errno: 51 },
    ],
    [{ secret: 'abc' }, { message: '[object Object]' }],
    [undefined, { message: 'undefined' }],
  ];
  for (const [value, told] of thrown) t.same(describeError(value), told, 'what is no Error tells what it can');
});

t.test('health: alive, ready with reasons, metrics', async (t) => {
  const reasons = ['cache not synced'];
  const health = await startHealth({
    host: '127.0.0.1',
    port: 0,
    registry: createMetrics('test'),
    ready: () => reasons,
  });
  t.teardown(() => health.close());
  const get = async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${health.port}${path}`, { method });
    return { status: response.status, text: await response.text() };
  };
  t.same(await get('/healthz'), { status: 200, text: 'ok\n' });
  t.same(await get('/readyz'), { status: 503, text: 'cache not synced\n' });
  reasons.pop();
  t.equal((await get('/readyz?verbose')).status, 200);
  t.match((await get('/metrics')).text, `sandlot_build_info{program="test",version="${version()}"} 1`);
  t.equal((await get('/other')).status, 404);
  t.equal((await get('/healthz', 'POST')).status, 405);
});

/** A program of its own process, from source or from dist/ alike: the module beside this test, with this test's extension. */
function program(body: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const run = new URL(`./run.${extension}`, import.meta.url).href;
  const config = new URL(`./config.${extension}`, import.meta.url).href;
  const file = join(mkdtempSync(join(tmpdir(), 'sandlot-run-')), 'program.mjs');
  writeFileSync(
    file,
    `import { runProgram } from ${JSON.stringify(run)};\nimport { ConfigError } from ${JSON.stringify(config)};\n${body}`,
  );
  const execArgv = extension === 'ts' ? ['--import', import.meta.resolve('tsx')] : [];
  return fork(pathToFileURL(file).pathname, {
    execArgv,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
}
const ended = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
const message = (child: ChildProcess) => new Promise<unknown>((resolve) => child.once('message', resolve));
const text = async (stream: NodeJS.ReadableStream | null) => {
  let all = '';
  for await (const chunk of stream ?? []) all += String(chunk);
  return all;
};

const serving = `setInterval(() => {}, 1000);
  await runProgram({ name: 'p', env: process.env, start: async () => ({ announce: { port: 7 },
    drain: async () => console.log('drained'), close: async () => console.log('closed') }) });`;

t.test('a program announces itself last, drains before it closes, and never outlives its parent', async (t) => {
  for (const stop of [(child: ChildProcess) => child.kill('SIGTERM'), (child: ChildProcess) => child.disconnect()]) {
    const child = program(serving);
    const output = text(child.stdout);
    t.same(await message(child), { type: 'ready', port: 7 });
    stop(child);
    t.equal(await ended(child), 0);
    t.match(await output, /stopping[^]*drained\nclosed/);
  }
});

t.test('LOG_JSON: the keys and words of OpenHands’ logs; a wrong value is the configuration’s to tell', async (t) => {
  const body = `await runProgram({ name: 'p', env: process.env, start: async ({ log }) => {
    log.child({ conversation_id: 'c', user_id: 'u' }).warn({ err: new Error('inner'), token: 'hunter2' }, 'it happened');
    process.exit(0); } });`;
  const linesWith = async (value: string) => {
    const child = program(body, { LOG_JSON: value });
    const said = await text(child.stdout);
    t.notMatch(said, /hunter2/);
    return JSON.parse(said.trim()) as Record<string, unknown>;
  };
  const line = await linesWith('1');
  t.match(line, { message: 'it happened', severity: 'WARNING', conversation_id: 'c', user_id: 'u', name: 'p' });
  t.match(line, { timestamp: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, err: { message: 'inner' } });
  t.same(
    Object.keys(line).filter((key) => ['msg', 'level', 'time'].includes(key)),
    [],
  );
  for (const plain of ['', '0', 'maybe'])
    t.match(await linesWith(plain), { msg: 'it happened', level: 'warn', time: /Z$/ }, plain);
});

t.test('exit codes: 2 for wrong configuration, 1 for failures and lost promises', async (t) => {
  const wrong = program(
    `await runProgram({ name: 'p', env: process.env, start: async () => { throw new ConfigError(['PORT: must be a port']); } });`,
  );
  const complaint = text(wrong.stderr);
  t.equal(await ended(wrong), 2);
  t.match(await complaint, 'PORT: must be a port');
  const foreign = program(
    `await runProgram({ name: 'p', env: process.env, start: async () => { throw Object.assign(new Error('no cluster'), { name: 'KubeConfigError' }); } });`,
  );
  const said = text(foreign.stderr);
  t.equal(await ended(foreign), 2);
  t.equal(await said, 'no cluster\n', 'a sentence, no stack');
  for (const body of [
    `throw new Error('no');`,
    `Promise.reject(new Error('lost')); return new Promise(() => setInterval(() => {}, 1000));`,
  ]) {
    const child = program(`await runProgram({ name: 'p', env: process.env, start: async () => { ${body} } });`);
    child.stdout?.resume();
    t.equal(await ended(child), 1);
  }
});

t.test('targets of requests: paths only, whatever they look like', async (t) => {
  for (const [target, pathname] of [
    [undefined, '/'],
    ['/a%2fb?c=//', '/a%2fb'],
    ['//', undefined],
    ['//host/path', undefined],
    ['/\\host', undefined],
    ['http://[', undefined],
    ['http://host/', undefined],
    ['*', undefined],
    ['', undefined],
  ] as const)
    t.equal(targetUrl(target)?.pathname, pathname, String(target));
});

t.test('the package root holds the data files', async (t) => {
  t.match(packageRoot(), /./);
  t.match(version(), /^\d+\.\d+\.\d+/);
});
