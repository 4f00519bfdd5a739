import { existsSync, readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { caller, folder, KEY, lineRunner, listen, says, startHere, statusOf, until } from './testing/server.js';

interface Event {
  id: string;
  kind: string;
  key?: string;
  value?: unknown;
  timestamp: string;
  observation?: { content: { text: string }[] };
}
interface Page {
  items: Event[];
}

async function server(t: Test, more: Record<string, string> = {}, dir = folder(t)) {
  const started = await startHere(dir, more);
  t.teardown(() => started.close());
  return { dir, started, url: started.url, call: caller(started.url) };
}

async function finished(call: ReturnType<typeof caller>, id: string): Promise<void> {
  await until(
    () => statusOf(call, id),
    (status) => status === 'finished',
  );
}

t.test('a conversation: works, tells, is found again, goes', async (t) => {
  const { dir, url, call } = await server(t);
  const made = await call(
    'POST',
    '/api/conversations',
    lineRunner({ initial_message: says('echo hello > a.txt\ncat a.txt') }),
  );
  t.equal(made.status, 201);
  const { id } = made.body as { id: string };
  await finished(call, id);
  const page = (await call('GET', `/api/conversations/${id}/events/search`)).body as Page;
  const outputs = page.items
    .filter((event) => event.kind === 'ObservationEvent')
    .map((event) => event.observation?.content[0]?.text);
  t.ok(outputs.includes('hello'));
  t.ok(existsSync(join(dir, 'workspace/project/test/.git')), 'a repository from the start');
  const changes = await call('GET', '/api/git/changes?path=/workspace/project/test');
  t.same(changes.body, [{ status: 'ADDED', path: 'a.txt' }]);
  t.same((await call('GET', '/api/git/diff?path=/workspace/project/test/a.txt')).body, {
    modified: 'hello',
    original: '',
  });

  const one = await call('GET', `/api/conversations/${id}/events/${page.items[1]?.id ?? ''}`);
  t.match(one.body, { kind: 'MessageEvent', sender: null }, 'single events have their nulls');
  t.same((await call('GET', `/api/conversations/${id}/events/nope`)).status, 404);

  const since = encodeURIComponent(page.items[3]?.timestamp ?? '');
  const socket = await listen(url, `/sockets/events/${id}?resend_mode=since&after_timestamp=${since}`);
  await until(
    () => Promise.resolve(socket.frames.length),
    (count) => count >= page.items.length - 2,
  );
  t.same(
    socket.frames.slice(1).map((frame) => frame['id']),
    page.items.slice(3).map((event) => event.id),
    'from that time on',
  );
  const resumed = await listen(url, `/sockets/session/${id}?after_seq=${page.items.length - 3}`);
  await until(
    () => Promise.resolve(resumed.frames.length),
    (count) => count >= 4,
  );
  t.same(
    resumed.frames.slice(2).map((frame) => frame['seq']),
    [page.items.length - 2, page.items.length - 1],
  );
  socket.socket.terminate();
  resumed.socket.terminate();

  t.equal((await call('DELETE', `/api/conversations/${id}`)).status, 200);
  t.equal((await call('GET', `/api/conversations/${id}`)).status, 404);
  t.notOk(existsSync(join(dir, 'conversations', id.replaceAll('-', ''))));
});

t.test('addresses and bodies that make no sense', async (t) => {
  const { call } = await server(t);
  t.match(await call('GET', '/api/%zz'), { status: 404, body: { detail: 'Not Found' } });
  t.match(await call('GET', `/api/conversations/${'a'.repeat(3000)}`), { status: 422 });
  t.match(await call('POST', '/api/conversations', { workspace: {}, agent: { llm: { model: 7 } } }), {
    status: 422,
    body: { detail: [{ loc: ['body', 'agent', 'llm', 'model'], type: 'string_type' }] },
  });
  t.match(await call('POST', '/api/conversations', { workspace: {} }), { status: 422 });
  const blocked = lineRunner({ workspace: { working_dir: '/proc/nope/x' } });
  t.match(await call('POST', '/api/conversations', blocked), {
    status: 400,
    body: { detail: /workspace cannot be used/ },
  });
  t.same((await call('GET', '/api/conversations/count')).body, 0, 'and nothing is left of it');
});

t.test('workspace files: with the cookie, inside the workspace only', async (t) => {
  const { url, call } = await server(t);
  const { id } = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
  const run = (command: string) => call('POST', `/api/conversations/${id}/bash/execute_bash_command`, { command });
  t.match((await run('echo "<p>hi" > index.html && ln -s /etc/passwd out && pwd')).body, {
    stdout: /project\/test\n$/,
  });
  const set = await call('POST', '/api/auth/workspace-session');
  const cookie = set.headers.get('set-cookie') ?? '';
  t.match(cookie, /HttpOnly; Max-Age=315360000; Path=\/api\/conversations; SameSite=none; Secure; Partitioned/);
  const browser = (path: string) =>
    caller(url, null)('GET', `/api/conversations/${id}/workspace${path}`, undefined, {
      cookie: cookie.split(';')[0] ?? '',
    });
  t.match(await browser('/'), { status: 200, body: '<p>hi\n' });
  t.match(await browser('/index.html'), { status: 200, body: '<p>hi\n' });
  t.equal((await browser('/none')).status, 404);
  for (const value of ['%', '%ff', 'wrong'])
    t.equal(
      (
        await caller(url, null)('GET', `/api/conversations/${id}/workspace/`, undefined, {
          cookie: `oh_workspace_session_key=${value}`,
        })
      ).status,
      401,
      value,
    );
  for (const path of ['%00', '/tmp/%00', 'a/'.repeat(3000)])
    for (const route of ['changes', 'commits', 'diff', 'commits/abcdef/changes'])
      t.ok((await call('GET', `/api/git/${route}?path=${path}`)).status < 500, `${route} ${path.slice(0, 10)}`);
  for (const query of ['__proto__=1', 'constructor=1&constructor=2', 'toString=a'])
    t.equal((await call('GET', `/api/conversations/search?${query}`)).status, 200, query);
  t.match(await browser('/out'), { status: 400, body: { detail: 'Path is outside the workspace' } });
  t.match(await browser('/..%2f..%2f..%2fetc/passwd'), {
    status: 400,
    body: { detail: 'Path is outside the workspace' },
  });
  t.equal((await caller(url, null)('GET', `/api/conversations/${id}/workspace/`)).status, 401);
  t.equal(
    (await call('GET', '/api/conversations/0e4fd3c4-7f3a-4c6b-9d4e-2b1f0a9c8d7e/git/changes?path=/workspace')).status,
    404,
  );
});

t.test('targets that are no paths harm nothing, with and without an upgrade', async (t) => {
  const { url } = await server(t);
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket' };
  for (const path of ['//', '//host', 'http://[', '/sockets/events/%', '*'])
    for (const headers of [{}, upgrade])
      await new Promise<void>((done) => {
        const asked = request(url, { path, headers, agent: false }, (response) => response.resume());
        asked
          .on('error', () => undefined)
          .on('close', done)
          .end();
      });
  t.equal((await fetch(`${url}/alive`)).status, 200);
});

t.test('an unknown conversation: 404 with the words of each route', async (t) => {
  const { call } = await server(t);
  const id = '0e4fd3c4-7f3a-4c6b-9d4e-2b1f0a9c8d7e';
  const base = `/api/conversations/${id}`;
  for (const [method, path, body, detail] of [
    ['GET', '', undefined, 'Not Found'],
    ['PATCH', '', { title: 'x' }, 'Not Found'],
    ['DELETE', '', undefined, 'Not Found'],
    ['POST', '/run', undefined, 'Not Found'],
    ['POST', '/pause', undefined, 'Not Found'],
    ['POST', '/interrupt', undefined, 'Not Found'],
    ['POST', '/secrets', { secrets: {} }, 'Not Found'],
    ['POST', '/confirmation_policy', { policy: { kind: 'NeverConfirm' } }, 'Not Found'],
    ['GET', '/agent_final_response', undefined, 'Not Found'],
    ['GET', '/runtime', undefined, 'Not Found'],
    ['POST', '/ask_agent', { question: '?' }, 'Conversation not found'],
    ['POST', '/condense', undefined, 'Conversation not found'],
    ['POST', '/navigate', {}, 'Conversation not found'],
    ['POST', '/fork', {}, 'Source conversation not found'],
    ['GET', '/events/search', undefined, `Conversation not found: ${id}`],
    ['GET', '/events/count', undefined, `Conversation not found: ${id}`],
    ['POST', '/events', says('x'), `Conversation not found: ${id}`],
    ['POST', '/events/respond_to_confirmation', { accept: true }, `Conversation not found: ${id}`],
  ] as const)
    t.match(await call(method, `${base}${path}`, body), { status: 404, body: { detail } }, `${method} ${path}`);
});

t.test('webhooks: in order, batches that failed first, and what one process left the next one sends', async (t) => {
  const got: Event[] = [];
  const heads = new Set<string | undefined>();
  let up = false;
  const receiver = createServer((request, response) => {
    let text = '';
    request.on('data', (data: Buffer) => (text += data.toString()));
    request.on('end', () => {
      heads.add(String(request.headers['x-session-api-key']));
      if (up && request.url?.startsWith('/events/')) got.push(...(JSON.parse(text) as Event[]));
      response.writeHead(up ? 200 : 503).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void receiver.close());
  const hook = {
    OH_WEBHOOKS_0_BASE_URL: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`,
    OH_WEBHOOKS_0_EVENT_BUFFER_SIZE: '4',
    OH_WEBHOOKS_0_FLUSH_DELAY: '0.05',
    OH_WEBHOOKS_0_NUM_RETRIES: '0',
    OH_WEBHOOKS_0_RETRY_DELAY: '0.01',
  };
  const dir = folder(t);
  const first = await startHere(dir, hook);
  const call = caller(first.url);
  const { id } = (await call('POST', '/api/conversations', lineRunner({ initial_message: says('echo 1') }))).body as {
    id: string;
  };
  await finished(call, id);
  await first.close();
  t.same(got, [], 'the receiver was down all the time');
  up = true;
  const second = await startHere(dir, hook);
  t.teardown(() => second.close());
  const again = caller(second.url);
  await again('POST', `/api/conversations/${id}/events`, says('echo 2'));
  await finished(again, id);
  const all = ((await again('GET', `/api/conversations/${id}/events/search`)).body as Page).items.map(
    (event) => event.id,
  );
  await until(
    () => Promise.resolve(new Set(got.map((event) => event.id)).size),
    (count) => count === all.length,
  );
  t.same([...new Set(got.map((event) => event.id))], all, 'every event, in order');
  t.same([...heads], [KEY]);
});

t.test('deferred init: dormant, wrong tries, once', async (t) => {
  const dir = folder(t);
  const { started, url } = await server(
    t,
    { OH_DEFERRED_INIT: 'true', OH_SESSION_API_KEYS_0: '', OH_SECRET_KEY: 'opens' },
    dir,
  );
  const nobody = caller(url, null);
  t.equal((await nobody('GET', '/api/conversations/count')).status, 503);
  t.equal((await nobody('GET', '/ready')).status, 200);
  t.equal((await nobody('POST', '/api/init', {}, { 'x-init-api-key': 'no' })).status, 401);
  const body = {
    session_api_keys: [KEY],
    secret_key: 'stable',
    conversations_path: join(dir, 'late'),
    env: { LATE: 'yes' },
    allow_cors_origins: ['https://ui.example'],
    webhooks: [{ base_url: 'http://127.0.0.1:1/' }],
  };
  t.match(await nobody('POST', '/api/init', body, { 'x-init-api-key': 'opens' }), {
    status: 200,
    body: { state: 'ready', error: null },
  });
  t.equal((await nobody('POST', '/api/init', body, { 'x-init-api-key': 'opens' })).status, 400, 'only once');
  t.equal((await nobody('GET', '/api/conversations/count')).status, 401);
  t.match(started.context.config, { secretKey: 'stable', webhooks: [{ base_url: 'http://127.0.0.1:1' }] });
  const output = await caller(url)('POST', '/api/bash/execute_bash_command', { command: 'echo $LATE $OH_SECRET_KEY' });
  t.match(output.body, { stdout: 'yes\n' });
  const preflight = {
    origin: 'https://ui.example',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'x-session-api-key',
  };
  const allowed = await nobody('OPTIONS', '/api/conversations', undefined, preflight);
  t.equal(allowed.status, 200);
  t.equal(allowed.headers.get('access-control-allow-origin'), 'https://ui.example');
  t.equal(
    (await nobody('OPTIONS', '/api/conversations', undefined, { ...preflight, origin: 'https://evil.example' })).status,
    400,
  );
});

t.test('what is on disk shows no secret; a server with another key says so and goes on without', async (t) => {
  const dir = folder(t);
  const first = await startHere(dir);
  const agent = { llm: { model: 'builtin/line-runner', api_key: 'sk-very-secret' }, tools: [{ name: 'terminal' }] };
  const body = lineRunner({ agent, secrets: { TOKEN: 'hush-hush-1' } });
  const { id } = (await caller(first.url)('POST', '/api/conversations', body)).body as { id: string };
  await first.close();
  const text = readFileSync(join(dir, 'conversations', id.replaceAll('-', ''), 'meta.json'), 'utf8');
  t.notMatch(text, /sk-very-secret|hush-hush-1/);
  const { call } = await server(t, { OH_SECRET_KEY: 'another' }, dir);
  t.match((await call('GET', `/api/conversations/${id}`)).body, {
    agent: { llm: { api_key: null } },
    secret_registry: { secret_sources: { TOKEN: { value: null } } },
  });
});

t.test('sockets: fifty and no more, frames of all kinds, a key in the first frame', async (t) => {
  const { url, call } = await server(t);
  const { id } = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
  const many = await Promise.all(Array.from({ length: 50 }, () => listen(url, `/sockets/events/${id}`)));
  await until(
    () => Promise.resolve(many.filter(({ frames }) => frames.length > 0).length),
    (count) => count === 50,
  );
  const late = new WebSocket(`${url.replace('http', 'ws')}/sockets/events/${id}`);
  late.on('open', () => late.send(JSON.stringify({ type: 'auth', session_api_key: KEY })));
  t.equal(await new Promise((resolve) => late.on('close', resolve)), 1013);
  const [first] = many;
  first?.socket.send(JSON.stringify(says('echo by socket')));
  await finished(call, id);
  await until(
    () => Promise.resolve(many.filter(({ frames }) => frames.some((frame) => frame['value'] === 'finished')).length),
    (count) => count === 50,
  );
  for (const { socket } of many) socket.terminate();
});

t.test('bash: apps that listen are found, and the history pages', async (t) => {
  const { call } = await server(t);
  const app = `exec ${process.execPath} -e "require('http').createServer((q,r)=>r.end('hi')).listen(0,'127.0.0.1')"`;
  const { id } = (await call('POST', '/api/bash/start_bash_command', { command: app })).body as { id: string };
  const found = await until(
    async () => ((await call('GET', '/api/apps')).body as { apps: { port: number }[] }).apps,
    (apps) => process.platform !== 'linux' || apps.length > 0,
  );
  if (process.platform === 'linux') t.equal(await (await fetch(`http://127.0.0.1:${found[0]?.port}/`)).text(), 'hi');
  t.equal((await call('POST', `/api/bash/bash_commands/${id}/stop`)).status, 200);
  const ended = await until(
    async () =>
      (
        (await call('GET', `/api/bash/bash_events/search?command_id__eq=${id}`)).body as {
          items: { exit_code: number }[];
        }
      ).items,
    (items) => items.length > 0,
  );
  t.equal(ended[0]?.exit_code, -15);
});
