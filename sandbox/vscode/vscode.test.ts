/** The editor's port: who is let in, what is sent on, how an installation is told about. VS Code itself is played by a small server. */
import { chmodSync, existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import { createPathMap } from '../conversations/workspace.js';
import { caller, folder, KEY, startHere } from '../testing/server.js';
import { decide, headersFor, type Asking } from './access.js';
import { findBinary, installedFolder } from './binary.js';
import { readLock, takeLock } from './lock.js';
import { explain } from './npm.js';
import { installPage } from './pages.js';

const paths = createPathMap('/data/pod');
const rules = { keys: ['k'], basePath: null, paths };
const ask = (target: string, headers: Asking['headers'] = {}, method = 'GET'): Asking => ({ target, headers, method });

t.test('decisions', async (t) => {
  const own = { host: 'vscode-a.sandbox.test', 'x-session-api-key': 'k' };
  const cases: [name: string, asking: Asking, expected: object][] = [
    ['no key', ask('/'), { kind: 'refuse', status: 401 }],
    ['wrong key', ask('/?tkn=no', { cookie: 'vscode-tkn=other' }), { kind: 'refuse', status: 401 }],
    ['key in a header', ask('/a?b=c', own), { kind: 'pass', target: '/a?b=c' }],
    ['key in a cookie', ask('/a', { cookie: 'x=1; vscode-tkn=k' }), { kind: 'pass', target: '/a' }],
    [
      'token: exchanged for a cookie, folder mapped',
      ask('/?tkn=k&folder=%2Fworkspace%2Fproject%2F1', { host: 'vscode-a.sandbox.localhost:3001' }),
      {
        kind: 'redirect',
        location: '/?folder=%2Fdata%2Fpod%2Fproject%2F1',
        cookie: 'vscode-tkn=k; Max-Age=604800; Path=/; HttpOnly; SameSite=None; Secure; Partitioned',
      },
    ],
    [
      'plain http: no embedding',
      ask('/?tkn=k', { host: 'box:8001' }),
      { kind: 'redirect', location: '/', cookie: 'vscode-tkn=k; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax' },
    ],
    ['folder', ask('/?folder=/workspace', own), { kind: 'redirect', location: '/?folder=%2Fdata%2Fpod' }],
    ['own page', ask('/s', { ...own, origin: 'http://vscode-a.sandbox.test' }, 'POST'), { kind: 'pass' }],
    ['foreign page', ask('/s', { ...own, origin: 'http://evil.test' }, 'POST'), { kind: 'refuse', status: 403 }],
    ['foreign socket', ask('/s', { ...own, origin: 'null', upgrade: 'websocket' }), { kind: 'refuse', status: 403 }],
    ['no path', ask('//evil.test/?tkn=k', own), { kind: 'refuse', status: 400 }],
    ['no URL', ask('//', own), { kind: 'refuse', status: 400 }],
    ['foreign image', ask('/s', { ...own, origin: 'http://evil.test' }), { kind: 'pass' }],
  ];
  for (const [name, asking, expected] of cases) t.match(decide(asking, rules), expected, name);
  t.match(decide(ask('/base/x', own), { ...rules, basePath: '/base/' }), { target: '/x' });
  t.match(decide(ask('/other', own), { ...rules, basePath: '/base' }), { target: '/other' });
  t.match(decide(ask('/'), { ...rules, keys: [] }), { kind: 'pass' }, 'a server without keys is open');
  t.same(headersFor({ host: 'h', 'x-session-api-key': 'k', cookie: 'a=1; vscode-tkn=k; b=2' }), { host: 'h', cookie: 'a=1; b=2' }); // prettier-ignore
  t.same(headersFor({ cookie: 'vscode-tkn=k' }), {});
});

t.test('what npm says, in words to act on', async (t) => {
  const cases: [string[], RegExp][] = [
    [['code ENOTFOUND', 'network request to https://r/ failed'], /cannot reach its registry.*\(network request/],
    [['code E401', 'unable to authenticate'], /npm login/],
    [['code ENOSPC'], /disk is full/],
    [['code EACCES', 'errno -13'], /SANDLOT_CACHE_DIR/],
    [['code E404', '404 Not Found'], /does not have the package/],
    [['something new'], /npm ended with 1: something new/],
  ];
  for (const [complaints, expected] of cases) t.match(explain(complaints, 1), expected);
});

t.test('one installation at a time', async (t) => {
  const path = join(folder(t), 'cache', 'lock');
  t.equal(await readLock(path), undefined);
  const lock = await takeLock(path);
  t.equal(await takeLock(path), undefined, 'held');
  await lock?.report({ percent: 40, message: 'half way' });
  t.same(await readLock(path), { percent: 40, message: 'half way' }, 'others see how far it is');
  writeFileSync(path, '{"per');
  t.same(await readLock(path), { percent: 0, message: '' }, 'read while it was being written');
  utimesSync(path, 1, 1);
  t.equal(await readLock(path), undefined, 'its holder was killed');
  const second = await takeLock(path);
  t.ok(second, 'and another takes over');
  await second?.release();
  t.notOk(existsSync(path));
});

t.test('pages say nothing that the page did not mean', async (t) => {
  t.match(installPage({ state: 'failed', percent: 0, message: '<script>alert(1)</script>' }), /&#60;script&#62;/);
  t.match(
    installPage({ state: 'installing', percent: 40, message: 'Downloading' }),
    /value="40"[^]*|http-equiv="refresh"/,
  );
  t.match(installPage({ state: 'absent', percent: 0, message: '' }), /<form method="post"/);
});

/** Answers with what it was asked, and echoes sockets; a word in the path makes it end. */
const FAKE = `#!${process.execPath}
const http = require('http'), fs = require('fs');
const at = process.argv.indexOf('--socket');
fs.appendFileSync(process.env.HOME + '/starts', process.env.PORT ?? 'no-port\\n');
const server = http.createServer((q, s) => {
  if (q.url === '/die') process.exit(3);
  s.setHeader('x-upstream', 'yes');
  s.end(JSON.stringify({ url: q.url, headers: q.headers }));
});
server.on('upgrade', (q, s) => {
  s.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Accept: ' +
    require('crypto').createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64') + '\\r\\n\\r\\n');
  s.write(Buffer.concat([Buffer.from([0x81, q.url.length]), Buffer.from(q.url)]));
});
server.listen(process.argv[at + 1]);
`;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

t.test('the port: started by the first request, again after its end', async (t) => {
  const dir = folder(t);
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'code-server'), FAKE);
  chmodSync(join(bin, 'code-server'), 0o755);
  const { PATH } = process.env;
  process.env['PATH'] = `${bin}${delimiter}${PATH ?? ''}`;
  t.teardown(() => (process.env['PATH'] = PATH));
  const port = await freePort();
  const server = await startHere(dir, { OH_ENABLE_VSCODE: 'true', OH_VSCODE_PORT: String(port), VSCODE_IPC: 'x' });
  t.teardown(() => server.close());
  const call = caller(server.url);
  const base = `http://127.0.0.1:${port}`;
  const starts = () =>
    existsSync(join(dir, 'starts')) ? readFileSync(join(dir, 'starts'), 'utf8').split('\n').length - 1 : 0;

  t.same((await call('GET', '/api/vscode/status')).body, { running: false, enabled: true }, 'lazy');
  t.match((await call('GET', '/api/vscode/install')).body, { state: 'installed', percent: 100 });
  t.equal((await caller(base, null)('GET', '/')).status, 401);
  t.equal(starts(), 0, 'a stranger does not start it');

  const editor = caller(base);
  const first = await editor('GET', '/x?y=1', undefined, { cookie: 'vscode-tkn=old; other=1' });
  t.equal(first.headers.get('x-upstream'), 'yes');
  const seen = JSON.parse(first.body as string) as { url: string; headers: Record<string, string> };
  t.equal(seen.url, '/x?y=1');
  t.notOk('x-session-api-key' in seen.headers, 'the key stays here');
  t.equal(seen.headers['cookie'], 'other=1');
  t.same((await call('GET', '/api/vscode/status')).body, { running: true, enabled: true });
  t.equal(readFileSync(join(dir, 'starts'), 'utf8'), 'no-port\n', 'without PORT, which it would listen on');

  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket?a=b`, { headers: { cookie: `vscode-tkn=${KEY}` } });
  t.equal(
    await new Promise((resolve) => socket.once('message', (data) => resolve(String(data as Buffer)))),
    '/socket?a=b',
  );
  socket.terminate();
  const refused = new WebSocket(`ws://127.0.0.1:${port}/socket`);
  t.match(await new Promise((resolve) => refused.once('error', resolve)), /403/);

  const { url } = (await call('GET', `/api/vscode/url?base_url=${base}&workspace_dir=/workspace/project`)).body as { url: string }; // prettier-ignore
  t.equal(url, `${base}/?tkn=${KEY}&folder=%2Fworkspace%2Fproject`);
  const opened = await fetch(url, { redirect: 'manual' });
  t.equal(opened.status, 302);
  t.equal(opened.headers.get('location'), `/?folder=${encodeURIComponent(join(dir, 'workspace/project'))}`);

  t.match((await editor('GET', '/-/open?folder=/tmp')).body, /localStorage/, 'looks whether the browser lets it run');
  t.equal((await editor('GET', '/die')).status, 502);
  t.equal((await editor('GET', '/after')).status, 200, 'started again');
  t.equal(starts(), 2);
});

t.test('where there is none: an offer', async (t) => {
  const dir = folder(t);
  const port = await freePort();
  const more = { OH_ENABLE_VSCODE: 'true', OH_VSCODE_PORT: String(port), SANDLOT_CACHE_DIR: join(dir, 'cache') };
  const server = await startHere(dir, more);
  t.teardown(() => server.close());
  const call = caller(server.url);
  t.same((await call('GET', '/api/vscode/install')).body, { state: 'absent', percent: 0, message: '' });
  t.same((await call('GET', '/api/vscode/url')).body, { url: null });
  const page = await caller(`http://127.0.0.1:${port}`)('GET', '/');
  t.equal(page.status, 503);
  t.match(page.body, /Install VS Code/);
  const lock = await takeLock(join(dir, 'cache', 'vscode.lock'));
  await lock?.report({ percent: 12, message: 'Downloading' });
  t.same((await call('POST', '/api/vscode/install')).body, {
    state: 'installing',
    percent: 12,
    message: 'Downloading',
  });
  t.equal(await findBinary(join(dir, 'cache')), undefined);
  t.match(installedFolder('/c'), /^\/c\/code-server-\d/);
  await lock?.release();
});
