/** The machine is not as one would like it: clocks that jump, folders that may not be read, roots that may not be written. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { systemClock } from '../process/clock.js';
import { createLog } from '../process/log.js';
import { readServerConfig } from './config.js';
import { createLeaseKeeper } from './conversations/lease.js';
import { findChromium, noChromium } from './tools/browser/find.js';
import { startServer } from './server.js';
import { caller, environmentOf, folder, lineRunner, says, startChild, statusOf, until } from './testing/server.js';

const HOUR = 3_600_000;

t.test('a wall clock that jumps pauses nothing, and no time-out comes early', async (t) => {
  const dir = folder(t);
  let ahead = 0;
  const clock = { ...systemClock, now: () => Date.now() + ahead };
  const log = createLog({ name: 'test', level: 'fatal' });
  const server = await startServer({ config: readServerConfig(environmentOf(dir)), log, clock });
  t.teardown(() => server.close());
  const call = caller(server.url);
  const made = await call('POST', '/api/conversations', lineRunner({ initial_message: says('sleep 2\necho over') }));
  const { id } = made.body as { id: string };
  const spoken = async () => JSON.stringify((await call('GET', `/api/conversations/${id}/events/search`)).body);
  await until(spoken, (text) => text.includes('sleep 2'));
  ahead = HOUR;
  await until(spoken, (text) => text.includes('"over'));
  await until(() => statusOf(call, id), (status) => status === 'finished'); // prettier-ignore
  const info = (await call('GET', '/server_info')).body as { uptime: number; idle_time: number };
  t.ok(info.idle_time < 60 && info.uptime < 60, 'an hour ahead is no hour of idleness');
  ahead = -HOUR;
  await call('POST', `/api/conversations/${id}/events`, says('echo after'));
  await until(spoken, (text) => text.includes('"after'));
  const page = (await call('GET', `/api/conversations/${id}/events/search`)).body as { items: { timestamp: string }[] };
  const times = page.items.map(({ timestamp }) => timestamp);
  t.same(times, [...times].sort(), 'events keep their order');
  t.ok(((await call('GET', '/server_info')).body as { idle_time: number }).idle_time >= 0);
});

t.test('a lease of a clock that was set back holds nobody up', async (t) => {
  const dir = folder(t);
  let now = 10 * HOUR;
  const keeper = (host: string) => createLeaseKeeper({ ttlMs: () => 45_000, now: () => now, host, pid: 1 });
  t.ok(await keeper('a').acquire(dir));
  now += 1000;
  t.notOk(await keeper('b').acquire(dir), 'held');
  now -= 2 * HOUR;
  t.ok(await keeper('b').acquire(dir), 'nobody can hold it for two hours');
});

t.test('browsers can be switched off', async (t) => {
  const env = (OH_ENABLE_BROWSER: string) => ({ OH_ENABLE_BROWSER, CHROMIUM: process.execPath });
  t.equal(findChromium(env('true')), process.execPath);
  t.equal(findChromium(env('false')), undefined);
  t.match(noChromium(env('false')), /OH_ENABLE_BROWSER/);
  const config = readServerConfig({ OH_ENABLE_BROWSER: 'false', OH_NONSENSE: '1' });
  t.equal(findChromium(config.commandEnv), undefined, 'the server looks with the variables of commands');
  t.same(config.unknownVariables, ['OH_NONSENSE']);
});

const linux = process.platform === 'linux';

t.test('commands find no key in the environment of the server', { skip: !linux && 'needs /proc' }, async (t) => {
  const dir = folder(t);
  const key = `session-key-${String(Date.now())}`;
  const { child, url } = await startChild(dir, { OH_SESSION_API_KEYS_0: key, OH_SECRET_KEY: `secret-${key}` });
  t.teardown(() => child.kill('SIGKILL'));
  const call = caller(url, key);
  const search = `tr '\\0' '\\n' </proc/${String(child.pid)}/environ | grep -c '${key.slice(0, 12)}''${key.slice(12)}'; tr '\\0' '\\n' </proc/${String(child.pid)}/environ | grep -c ^PATH=`;
  const answer = await call('POST', '/api/bash/execute_bash_command', { command: search });
  t.match(answer.body, { stdout: '0\n1\n' }, 'the rest of the environment is as it was');
  t.equal((await call('GET', '/api/conversations/count')).body, 0, 'the keys still open the server');
});

t.test('a key in a command output is hidden where a piece ends inside it', async (t) => {
  const dir = folder(t);
  const key = 'split-session-key-0123456789';
  const { child, url } = await startChild(dir, { OH_SESSION_API_KEYS_0: key });
  t.teardown(() => child.kill('SIGKILL'));
  const call = caller(url, key);
  // One piece is a megabyte: the first ends in the middle of the key.
  const command = `head -c ${(1 << 20) - 10} /dev/zero | tr '\\0' .; printf %s split-session; sleep 0.3; printf %s -key-0123456789; echo end`;
  const last = await call('POST', '/api/bash/execute_bash_command', { command });
  t.equal(last.status, 200);
  const found = (await call('GET', '/api/bash/bash_events/search?kind__eq=BashOutput')).body as {
    items: { stdout: string | null }[];
  };
  t.ok(found.items.length > 1, 'it came in pieces');
  const whole = found.items.map(({ stdout }) => stdout ?? '').join('');
  t.notMatch(whole, key);
  t.match(whole, /\.<secret-hidden>end/);
});

const root = process.getuid?.() === 0;
const withoutRights = root && spawnSync('setpriv', ['--version']).status === 0;

t.test(
  'folders that may not be read: the rest goes on',
  { skip: !withoutRights && 'needs root and setpriv' },
  async (t) => {
    const dir = folder(t);
    for (const name of [
      'workspace/project/locked',
      'workspace/project/open',
      'conversations/0e4fd3c47f3a4c6b9d4e2b1f0a9c8d7e',
    ])
      mkdirSync(join(dir, name), { recursive: true });
    writeFileSync(join(dir, 'workspace/project/locked/x'), 'x');
    writeFileSync(join(dir, 'workspace/project/open/AGENTS.md'), 'read me');
    chmodSync(join(dir, 'workspace/project/locked'), 0o000);
    chmodSync(join(dir, 'conversations/0e4fd3c47f3a4c6b9d4e2b1f0a9c8d7e'), 0o000);
    const { call } = await unprivileged(t, dir, []);
    const made = await call('POST', '/api/conversations', lineRunner({ workspace: { working_dir: '/workspace/project' }, initial_message: says('ls locked; echo done') })); // prettier-ignore
    t.equal(made.status, 201);
    const { id } = made.body as { id: string };
    await until(() => statusOf(call, id), (status) => status === 'finished'); // prettier-ignore
    t.equal((await call('GET', '/api/git/changes?path=/workspace/project')).status, 200);
    t.same((await call('GET', '/api/file/search_subdirs?path=/workspace/project/locked')).status, 403);
    const refused = await call('POST', '/api/conversations', lineRunner({ workspace: { working_dir: '/workspace/project/locked/in' } })); // prettier-ignore
    t.equal(refused.status, 400);
    t.match(refused.body, { detail: /workspace cannot be used/ });
    const packed = await call('GET', '/api/file/archive?path=/workspace/project&format=tar.gz');
    t.equal(packed.status, 200);
  },
);

const unshared = withoutRights && spawnSync('unshare', ['-m', 'true']).status === 0;

t.test(
  'user without rights, root that may not be written',
  { skip: !unshared && 'needs root, setpriv and unshare' },
  async (t) => {
    const dir = folder(t);
    // What a terminal of another user left, whose server is dead, is not ours to remove.
    const theirs = join(tmpdir(), `sandlot-terminal-${spawnSync('true').pid}-theirs`);
    mkdirSync(theirs, { mode: 0o700 });
    t.teardown(() => rmSync(theirs, { recursive: true }));
    // Everything read-only but the folder of the pod and /tmp, as in a pod with readOnlyRootFilesystem.
    const script =
      'mount --bind /tmp /tmp && mount --bind "$1" "$1" && mount -o remount,bind,ro / && shift && exec "$@"';
    const { call, child } = await unprivileged(t, dir, ['unshare', '-m', 'sh', '-c', script, 'sh', dir]);
    const made = await call('POST', '/api/conversations', lineRunner({ initial_message: says('touch /usr/x || echo refused\necho hi > a.txt && cat a.txt\nid -u') })); // prettier-ignore
    t.equal(made.status, 201);
    const { id } = made.body as { id: string };
    await until(() => statusOf(call, id), (status) => status === 'finished'); // prettier-ignore
    const events = JSON.stringify((await call('GET', `/api/conversations/${id}/events/search`)).body);
    t.match(events, /refused/);
    t.match(events, /"text":"hi/);
    t.match(events, /"text":"10001/);
    child.kill('SIGTERM');
    t.equal(await new Promise((resolve) => child.once('exit', (code) => resolve(code))), 0, 'ends by itself');
  },
);

/** The real program as user 10001, perhaps below a command that prepares its place. */
async function unprivileged(t: Parameters<typeof folder>[0], dir: string, before: string[]) {
  const { spawn } = await import('node:child_process');
  const file = join(dir, 'program.mjs');
  const main = new URL('./main.js', import.meta.url).href;
  writeFileSync(file, `const { main } = await import(${JSON.stringify(main)});\nawait main(process.env);\n`);
  spawnSync('chown', ['-R', '10001', dir]);
  const drop = [
    'setpriv',
    '--reuid=10001',
    '--regid=10001',
    '--clear-groups',
    '--no-new-privs',
    '--bounding-set=-all',
    'env',
    '-u',
    'NODE_OPTIONS',
  ];
  const [program = '', ...args] = [...before, ...drop, process.execPath, pathToFileURL(file).pathname];
  const child = spawn(program, args, {
    env: environmentOf(dir),
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  t.teardown(() => void child.kill('SIGKILL'));
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { port: number }).port));
    child.once('exit', (code) => reject(new Error(`ended with ${String(code)}`)));
  });
  return { child, call: caller(`http://127.0.0.1:${port}`) };
}
