import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import t from 'tap';
import { until } from '../testing/server.js';
import { addUsage, totalsOf } from '../conversations/stats.js';
import { createLeaseKeeper } from '../conversations/lease.js';
import { createSecrets, seal, unseal } from '../conversations/secrets.js';
import { createPathMap } from '../conversations/workspace.js';
import { createStamper } from '../conversations/times.js';
import { withNulls, withoutNulls } from '../conversations/forms.js';
import type { AgentEvent } from '../../contracts/agent/events.js';
import { readServerConfig } from '../config.js';
import { readFrame } from '../sockets/frames.js';
import { bashRequest } from './bash.js';
import { listApps, parseTable } from './apps.js';
import { parseNameStatus } from './git/changes.js';
import { runShell } from './process.js';
import { rangeOf } from './range.js';
import { MASK } from '../conversations/llm.js';
import { merge } from './settings-form.js';
import { parseSkill, projectSkills } from './skills.js';
import { createTitles, frontPageOf, titleOf } from './titles.js';
import { createZip } from './zip.js';

t.test('/workspace stands for the root', async (t) => {
  const paths = createPathMap('/data/pod');
  t.equal(paths.toLocal('/workspace/project/x'), '/data/pod/project/x');
  t.equal(paths.toLocal('workspace/project'), '/data/pod/project');
  t.equal(paths.toLocal('/workspaces'), '/workspaces');
  t.equal(paths.toClient('/data/pod/project'), '/workspace/project');
  t.equal(createPathMap('/workspace').toLocal('/workspace/a'), '/workspace/a');
});

t.test('stamps never repeat nor go back', async (t) => {
  const times = [100, 100, 50, 200];
  const stamp = createStamper(() => times.shift() ?? 0);
  const stamps = [stamp(), stamp(), stamp(), stamp()];
  t.same(stamps, [100_000, 100_001, 100_002, 200_000]);
});

t.test('events with and without nulls', async (t) => {
  const event = {
    id: '1',
    timestamp: 't',
    source: 'agent',
    kind: 'ActionEvent',
    action: { kind: 'TerminalAction', command: 'ls', timeout: null },
    tool_call: { id: 'c', name: 'terminal', arguments: '{}', origin: 'completion' },
  } as unknown as AgentEvent;
  const small = withoutNulls(event);
  t.notOk('timeout' in (small as unknown as { action: object }).action);
  t.match(withNulls(small), {
    parent_id: null,
    summary: null,
    action: { timeout: null },
    tool_call: { responses_item_id: null },
  });
  const state = { kind: 'ConversationStateUpdateEvent', key: 'stats', value: { budget: null } };
  t.same(withoutNulls(state), state, 'a null in a state says something');
});

t.test('statistics: totals count all calls, and are all that updates carry', async (t) => {
  const tokens = {
    prompt_tokens: 100,
    completion_tokens: 10,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    context_window: 0,
  };
  const usage = { usageId: 'agent', model: 'm', responseId: 'r', latencySeconds: 1, costUsd: 0.5, tokens };
  const stats = addUsage(addUsage({ usage_to_metrics: {} }, usage, { atSeconds: 1 }), usage, { atSeconds: 2 });
  t.match(stats.usage_to_metrics['agent'], {
    accumulated_cost: 1,
    accumulated_token_usage: { prompt_tokens: 200, per_turn_token: 110 },
  });
  t.equal(stats.usage_to_metrics['agent']?.costs?.length, 2);
  t.notOk('token_usages' in (totalsOf(stats).usage_to_metrics['agent'] ?? {}));
});

t.test('secrets: sealed, handed to commands that name them, hidden in output', async (t) => {
  const box = seal({ a: 1 }, 'key');
  t.notMatch(box, /"a"/);
  t.same(unseal(box, ['other', 'key']), { a: 1 });
  t.equal(unseal(box, ['other']), undefined);
  const server = createServer((request, response) =>
    response.end(request.headers['x-auth'] === 'yes' ? 'looked-up' : 'no'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const secrets = createSecrets(() => ({
    TOKEN: { kind: 'StaticSecret', description: 'd', value: 'hush-hush' },
    LOOK: { kind: 'LookupSecret', description: null, url, headers: { 'x-auth': 'yes' } },
    GONE: { kind: 'LookupSecret', description: null, url: 'http://127.0.0.1:1/', headers: {} },
  }));
  t.same(await secrets.forCommand('echo $TOKEN $LOOK $GONE'), { TOKEN: 'hush-hush', LOOK: 'looked-up' });
  t.same(await secrets.forCommand('ls'), {});
  t.equal(secrets.mask('a hush-hush b looked-up'), 'a <secret-hidden> b <secret-hidden>');
});

t.test('leases: one owner, taken over when it is dead or late', async (t) => {
  const folder = t.testdir();
  let now = 1000;
  const alive = new Set([1, 2]);
  const keeper = (pid: number, host = 'a') =>
    createLeaseKeeper({ ttlMs: () => 45_000, now: () => now, alive: (id) => alive.has(id), host, pid });
  const [first, second, away] = [keeper(1), keeper(2), keeper(9, 'b')];
  t.ok(await first.acquire(folder));
  t.notOk(await second.acquire(folder));
  t.notOk(await away.acquire(folder), 'a process number of another host says nothing');
  alive.delete(1);
  t.ok(await second.acquire(folder), 'its process is gone');
  t.notOk(await first.renew(folder));
  now += 60_000;
  t.ok(await away.acquire(folder), 'its time ran out');
  t.notOk(await second.renew(folder));
  await away.release(folder);
  t.ok(await first.acquire(folder));
  t.ok(await keeper(1).acquire(folder), 'the same number after a restart of the container');
});

t.test('shell: output, exit codes, time-out, stop, chunks, a missing folder', async (t) => {
  const shell = (command: string, more: Partial<Parameters<typeof runShell>[0]> = {}) =>
    runShell({
      command,
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '' },
      timeoutMs: 20_000,
      chunkBytes: 1 << 20,
      onChunk: () => undefined,
      ...more,
    });
  t.same(await shell('echo a; echo b >&2; exit 4').result, { exitCode: 4, stdout: 'a\n', stderr: 'b\n' });
  t.equal((await shell('sleep 20', { timeoutMs: 50 }).result).exitCode, -1);
  const long = shell('sleep 20');
  long.stop();
  t.equal((await long.result).exitCode, -15);
  t.match(
    (await shell('pwd', { cwd: '/no/such' }).result).stderr,
    /\[Errno 2\] No such file or directory: '\/no\/such'/,
  );
  t.equal((await shell('sleep 20 & echo on').result).stdout, 'on\n', 'a process left behind does not hold it');
  const chunks: string[] = [];
  const rest = await shell('head -c 5000 /dev/zero | tr "\\0" x', {
    chunkBytes: 1000,
    onChunk: (chunk) => void chunks.push(chunk.stdout),
  }).result;
  t.equal(chunks.join('').length + rest.stdout.length, 5000);
});

t.test('ZIP files hold what was put in', async (t) => {
  const parts: Buffer[] = [];
  const entries = (async function* () {
    yield { name: 'a.json', data: Buffer.from('{"a":1}') };
    yield { name: 'b/ü.json', data: Buffer.alloc(10_000, 'x') };
  })();
  for await (const part of createZip(entries)) parts.push(part);
  const zip = Buffer.concat(parts);
  const end = zip.length - 22;
  t.equal(zip.readUInt32LE(end), 0x06054b50);
  t.equal(zip.readUInt16LE(end + 10), 2);
  let at = zip.readUInt32LE(end + 16);
  const found = [0, 1].map(() => {
    const [packed, nameLength, offset] = [
      zip.readUInt32LE(at + 20),
      zip.readUInt16LE(at + 28),
      zip.readUInt32LE(at + 42),
    ];
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength);
    const data = offset + 30 + zip.readUInt16LE(offset + 26);
    at += 46 + nameLength;
    return { name, text: inflateRawSync(zip.subarray(data, data + packed)).toString() };
  });
  t.same(
    found.map(({ name }) => name),
    ['a.json', 'b/ü.json'],
  );
  t.equal(found[0]?.text, '{"a":1}');
  t.equal(found[1]?.text.length, 10_000);
});

t.test('listening apps: the tables of /proc, and only our own processes', async (t) => {
  const table = `  sl  local_address rem_address st
   0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 111 1
   1: 00000000:0BB8 00000000:0000 0A 0 0 0 0 0 222 1
   2: 0100007F:1F91 0100007F:0050 01 0 0 0 0 0 333 1`;
  t.same(parseTable(table), [
    { address: '127.0.0.1', port: 8080, inode: '111' },
    { address: '0.0.0.0', port: 3000, inode: '222' },
  ]);
  if (process.platform !== 'linux') return;
  const child = runShell({
    command: `exec ${process.execPath} -e "require('net').createServer().listen(0,'127.0.0.1',function(){console.error(this.address().port)});setTimeout(()=>{},20000)"`,
    cwd: '/',
    env: {},
    timeoutMs: 20_000,
    chunkBytes: 1,
    onChunk: (chunk) => told(Number(chunk.stderr)),
  });
  let told: (port: number) => void = () => undefined;
  const port = await new Promise<number>((resolve) => (told = resolve));
  const config = readServerConfig({ OH_SESSION_API_KEYS_0: 'k', PATH: process.env['PATH'] });
  const titles = createTitles(
    () => 0,
    () => Promise.reject(new Error('no page')),
  );
  t.match(
    (await listApps(config, titles)).find((app) => app.port === port),
    { address: '127.0.0.1', process: 'node' },
  );
  child.stop();
  await child.result;
  const orphan = `(setsid ${process.execPath} -e "require('net').createServer().listen(0,'127.0.0.1');setTimeout(()=>process.exit(),20000)" > /dev/null 2>&1 & echo $!)`;
  const left = await runShell({
    command: orphan,
    cwd: '/',
    env: { ...config.commandEnv },
    timeoutMs: 20_000,
    chunkBytes: 1 << 20,
    onChunk: () => undefined,
  }).result;
  const pid = Number(left.stdout);
  t.teardown(() => process.kill(pid, 'SIGKILL'));
  const found = await until(
    () => listApps(config, titles),
    (apps) => apps.some((app) => app.pid === pid),
  );
  t.ok(found, 'one that lost its parent is still ours');
  t.notOk((await listApps(config, titles)).some((app) => app.port === port));
});

t.test('small things', async (t) => {
  t.equal(titleOf('<html><title>\n My  app </title>'), 'My app');
  t.equal(titleOf('<title></title>'), null);
  t.equal(titleOf('<title lang="en">Tom &amp; Jerry &lt;b&gt;\u202e</title>'), 'Tom & Jerry <b>');
  t.equal(titleOf(`${' '.repeat(70_000)}<title>too late</title>`), null);
  for (const listing of ['Directory listing for /', 'Index of /', 'listing directory /', 'Files within site/'])
    t.match(frontPageOf(`<head><title>${listing}</title>`), { isListing: true }, listing);
  t.match(frontPageOf('<title>Index of happiness</title>'), { isListing: false, title: 'Index of happiness' });
  t.same(rangeOf('bytes=1-3', 10), { start: 1, end: 3 });
  t.same(rangeOf('bytes=-3', 10), { start: 7, end: 9 });
  t.same(rangeOf('bytes=5-', 10), { start: 5, end: 9 });
  t.equal(rangeOf('bytes=20-', 10), 'unsatisfiable');
  t.equal(rangeOf('lines=1-2', 10), undefined);
  t.same(parseNameStatus('M\0a\0A\0new\0D\0gone\0'), [
    { status: 'UPDATED', path: 'a' },
    { status: 'ADDED', path: 'new' },
    { status: 'DELETED', path: 'gone' },
  ]);
  t.same(
    merge({ a: { key: 'secret', b: 1 } }, { a: { key: MASK, b: 2 } }),
    { a: { key: 'secret', b: 2 } },
    'a mask changes nothing',
  );
  t.match(parseSkill('/x/deploy.md', '---\nname: Deploy\ntriggers:\n- ship it\n---\nDo it.'), {
    name: 'Deploy',
    type: 'knowledge',
    triggers: ['ship it'],
    content: 'Do it.',
  });
  const bad = readFrame('{}', bashRequest, 'ExecuteBashRequest');
  t.match(bad, {
    ok: false,
    code: 'ValidationError',
    detail: /^1 validation error for ExecuteBashRequest\ncommand\n  Field required/,
  });
});

t.test('skills of a repository', async (t) => {
  const dir = t.testdir({ 'AGENTS.md': 'Be kind.' });
  mkdirSync(join(dir, '.openhands/skills/lint'), { recursive: true });
  writeFileSync(join(dir, '.openhands/skills/lint/SKILL.md'), 'Run the linter.');
  t.same(
    (await projectSkills(dir)).map((skill) => skill.name),
    ['agents', 'lint'],
  );
});

t.test('configuration: keys, webhooks, what commands may see', async (t) => {
  const config = readServerConfig({
    OH_SESSION_API_KEYS_0: 'a',
    OH_SESSION_API_KEYS_1: 'b',
    OH_SECRET_KEY: ' ',
    OH_WEBHOOKS_0_BASE_URL: 'http://x/hook/',
    OH_WEBHOOKS_0_HEADERS: '{"X-A":"1"}',
    OH_NONSENSE: '1',
    HOME: '/root',
    PORT: '1',
  });
  t.match(config, { sessionApiKeys: ['a', 'b'], secretKey: 'a', port: 1, unknownVariables: ['OH_NONSENSE'] });
  t.match(config.webhooks, [{ base_url: 'http://x/hook', headers: { 'X-A': '1' }, event_buffer_size: 5 }]);
  t.notOk(
    Object.keys(config.commandEnv).some((name) => name.startsWith('OH_SESSION')),
    'keys do not reach commands',
  );
  t.throws(
    () => readServerConfig({ OH_WEBHOOKS_0_BASE_URL: 'x', OH_WEBHOOKS_0_NUM_RETRIES: 'many' }),
    /OH_WEBHOOKS_0_NUM_RETRIES/,
  );
  t.match(readServerConfig({ SESSION_API_KEY: 'z' }, ['--port', '9', '--host=::1']), {
    sessionApiKeys: ['z'],
    port: 9,
    host: '::1',
  });
});
