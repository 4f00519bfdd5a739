/** Routes that need no sandbox: settings, secrets, profiles, lists, the guard and the UI's files. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newId, openTestDatabase, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';

const V1 = '/api/v1';
const cluster = await startCluster();
const db = await openTestDatabase();
const web = t.testdir({ 'index.html': '<!doctype html><title>UI</title>' });
mkdirSync(join(web, 'assets'));
writeFileSync(join(web, 'assets', 'app-1a2b.js'), 'export {}');
const rig = await startRig(cluster, db, { webRoot: web });
for (const table of ['settings', 'secret', 'conversation', 'startTask'] as const)
  await (db.prisma[table] as { deleteMany(): Promise<unknown> }).deleteMany();

t.test('a new user, then settings', async (t) => {
  t.match(await rig.call('GET', `${V1}/settings`), { status: 404, body: { error: 'Settings not found' } });
  t.match(await rig.call('GET', `${V1}/users/me`), {
    status: 200,
    body: { id: null, agent_settings: { llm: { model: 'builtin/line-runner' } } },
  });
  const save = (body: unknown) => rig.call('POST', `${V1}/settings`, body);
  t.match(await save({ agent_settings_diff: { llm: { model: 'openai/m', api_key: 'sk-very-secret' } } }), {
    status: 200,
    body: { message: 'Settings stored' },
  });
  t.match(await save({ agent_settings: {} }), { status: 422, body: { keys: ['agent_settings'] } });
  t.match(await save([]), { status: 422, body: { detail: [{ loc: ['body'] }] } });
  t.match(await save({ conversation_settings_diff: { max_iterations: 'many' } }), {
    status: 400,
    body: { error: /max_iterations/ },
  });
  // Saves at the same time are all kept.
  await Promise.all(['de', 'fr'].map((language, n) => save(n === 0 ? { language } : { git_user_name: 'me' })));
  const { body, text } = await rig.call('GET', `${V1}/settings`);
  t.match(body, {
    language: 'de',
    git_user_name: 'me',
    llm_api_key_set: true,
    agent_settings: { llm: { model: 'openai/m', api_key: null } },
  });
  t.notMatch(text, 'sk-very-secret');
  t.notMatch(JSON.stringify(await db.prisma.settings.findMany()), /sk-very-secret|openai/, 'sealed in the database');
  const schema = (await rig.call<{ sections: { key: string }[] }>('GET', `${V1}/settings/agent-schema`)).body;
  t.match(
    schema.sections.map(({ key }) => key),
    ['general', 'llm', 'condenser', 'verification', 'acp', 'llm'],
  );
});

t.test('profiles', async (t) => {
  const at = `${V1}/settings/profiles`;
  t.match(await rig.call('POST', `${at}/first`, { include_secrets: true }), { status: 201, body: { name: 'first' } });
  t.match(await rig.call('POST', `${at}/no way`, {}), { status: 422 });
  t.match(await rig.call('GET', at), {
    body: { profiles: [{ name: 'first', model: 'openai/m', api_key_set: true }], active_profile: null },
  });
  await rig.call('POST', `${V1}/settings`, { agent_settings_diff: { llm: { model: 'openai/other', api_key: null } } });
  t.match(await rig.call('POST', `${at}/first/activate`), { body: { name: 'first', model: 'openai/m' } });
  t.match(await rig.call('GET', `${V1}/settings`), {
    body: { llm_api_key_set: true, llm_profiles: { active: 'first' } },
  });
  t.match(await rig.call('POST', `${at}/first/rename`, { new_name: 'second' }), { status: 200 });
  t.match(await rig.call('GET', `${at}/second`), {
    body: { name: 'second', config: { api_key: null }, api_key_set: true },
  });
  for (const call of [
    ['GET', `${at}/first`],
    ['POST', `${at}/first/activate`],
    ['POST', `${at}/constructor/activate`],
  ] as const)
    t.equal((await rig.call(call[0], call[1])).status, 404, call[1]);
  t.equal((await rig.call('DELETE', `${at}/none`)).status, 200, 'however often');
});

t.test('secrets', async (t) => {
  const at = `${V1}/secrets`;
  const make = (body: unknown) => rig.call('POST', at, body);
  t.equal((await make({ name: 'B', value: 'hush-b', description: 'the b' })).status, 201);
  t.equal((await make({ name: 'A', value: 'hush-a' })).status, 201);
  t.equal((await make({ name: 'B', value: 'hush-c' })).status, 201, 'overwrites');
  t.equal((await make({ name: '1 B', value: 'x' })).status, 422);
  t.match(await rig.call('GET', `${at}/search`), {
    body: {
      items: [
        { name: 'A', description: null },
        { name: 'B', description: 'the b' },
      ],
      next_page_id: null,
    },
  });
  const first = await rig.call<{ next_page_id: string }>('GET', `${at}/search?limit=1`);
  t.match((await rig.call('GET', `${at}/search?limit=1&page_id=${first.body.next_page_id}`)).body, {
    items: [{ name: 'B' }],
    next_page_id: null,
  });
  t.notMatch(JSON.stringify(await db.prisma.secret.findMany()), 'hush');
  t.match(await rig.call('PUT', `${at}/B`, { name: 'A' }), { status: 400 });
  t.match(await rig.call('PUT', `${at}/B`, { name: 'C', description: 'now c' }), { status: 200 });
  t.match(await rig.call('DELETE', `${at}/C`), { status: 200 });
  t.match(await rig.call('DELETE', `${at}/C`), { status: 404 });
  const github = { token: 'hush-gh', host: '127.0.0.1:9' };
  t.match(await rig.call('POST', `${at}/git-providers`, { provider_tokens: { github } }), { status: 200 });
  t.match((await rig.call('GET', `${V1}/settings`)).body, { provider_tokens_set: { github: github.host } });
  t.notMatch(JSON.stringify(await db.prisma.providerToken.findMany()), 'hush-gh');
  t.match(await rig.call('POST', `${at}/git-providers`, { provider_tokens: { nonsense: { token: 'x' } } }), {
    status: 422,
  });
  t.match(await rig.call('DELETE', `${at}/git-providers`), { status: 200 });
});

t.test('lists of conversations: pages, filters, others’ rows', async (t) => {
  const rows = Array.from({ length: 7 }, (_, n) => ({
    id: newId(),
    ownerId: n === 6 ? 'somebody' : 'local',
    sandboxId: 'gone',
    title: `Task ${n % 2 === 0 ? 'even' : 'odd'} 100%`,
    workingDir: '/w',
    // Two of each time: the id breaks ties.
    createdAt: new Date(Date.UTC(2026, 4, 1 + Math.floor(n / 2))),
  }));
  await db.prisma.conversation.createMany({ data: rows });
  const at = `${V1}/app-conversations`;
  const seen: string[] = [];
  let page: string | null = '';
  while (page !== null) {
    const { body }: { body: { items: { id: string }[]; next_page_id: string | null } } = await rig.call(
      'GET',
      `${at}/search?limit=2${page === '' ? '' : `&page_id=${page}`}`,
    );
    seen.push(...body.items.map(({ id }) => id));
    page = body.next_page_id;
  }
  t.same(
    [...seen].sort(),
    rows
      .filter(({ ownerId }) => ownerId === 'local')
      .map(({ id }) => id)
      .sort(),
    'each once',
  );
  t.equal((await rig.call('GET', `${at}/count`)).body as never, 6);
  t.equal((await rig.call('GET', `${at}/count?title__contains=EVEN`)).body as never, 3);
  t.equal(
    (await rig.call('GET', `${at}/count?title__contains=0%25`)).body as never,
    6,
    'a percent sign is no wildcard',
  );
  t.equal((await rig.call('GET', `${at}/count?created_at__gte=2026-05-02&created_at__lt=2026-05-03`)).body as never, 2);
  const theirs = rows[6]?.id ?? '';
  t.same((await rig.call('GET', `${at}?ids=${theirs}&ids=${rows[0]?.id ?? ''}`)).body.length, 2);
  t.equal((await rig.call<unknown[]>('GET', `${at}?ids=${theirs}`)).body[0], null);
  for (const [method, path, body] of [
    ['PATCH', `${at}/${theirs}`, { title: 'x' }],
    ['DELETE', `${at}/${theirs}`],
    ['POST', `${at}/${theirs}/send-message`, { content: [{ type: 'text', text: 'x' }] }],
    ['GET', `${at}/${theirs}/download`],
    ['GET', `${at}/${theirs}/skills`],
    ['GET', `${at}/${theirs}/git/changes?path=/`],
  ] as const)
    t.equal((await rig.call(method, path, body)).status, 404, `${method} of another user's conversation`);
  t.match(await rig.call('GET', `${V1}/conversation/${theirs}/events/search`), { body: { items: [] } });
  t.match(await rig.call('GET', `${at}/${rows[0]?.id ?? ''}/git/changes?path=/`), { status: 410 });
  t.match(await rig.call('PATCH', `${at}/${rows[0]?.id ?? ''}`, { title: 'New', public: true }), {
    body: { title: 'New', public: true, sandbox_status: 'MISSING' },
  });
});

t.test('the guard and malformed requests', async (t) => {
  t.match(await rig.call('GET', '/alive', undefined, { host: 'rebound.example' }), { status: 403 });
  t.match(await rig.call('POST', `${V1}/settings`, {}, { origin: 'http://evil.example' }), { status: 403 });
  t.match(await rig.call('POST', `${V1}/settings`, {}, { 'sec-fetch-site': 'same-site' }), { status: 403 });
  t.match(await rig.call('POST', `${V1}/settings`, { language: 'a\u0000b' }), { status: 400 });
  t.match(await rig.call('GET', `${V1}/app-conversations/search?title__contains=%00`), { status: 400 });
  const raw = await rig.server.app.inject({
    method: 'POST',
    url: `${V1}/settings`,
    headers: { host: 'localhost', 'content-type': 'application/json' },
    payload: '{"a":',
  });
  t.match([raw.statusCode, raw.json()], [422, { detail: [{ type: 'json_invalid' }] }]);
  const form = await rig.server.app.inject({
    method: 'POST',
    url: `${V1}/settings`,
    headers: { host: 'localhost', 'content-type': 'text/plain' },
    payload: 'a=b',
  });
  t.equal(form.statusCode, 415, 'what a cross-site form could send without a preflight');
  t.match(await rig.call('POST', `${V1}/webhooks/events/${newId()}`, []), { status: 401 });
  t.match(await rig.call('POST', `${V1}/webhooks/conversations`, {}, { 'x-session-api-key': 'wrong' }), {
    status: 401,
  });
  t.match(await rig.call('GET', `${V1}/git/branches/search`), { status: 422 });
  for (const time of ['-000001-01-01T00:00:00Z', '%2B275760-09-13T00:00:00Z', '0000-01-01'])
    for (const list of ['search', 'count', 'start-tasks/search', 'start-tasks/count'])
      t.match(await rig.call('GET', `${V1}/app-conversations/${list}?created_at__gte=${time}`), { status: 422 }, time);
});

t.test('the port of sandboxes serves sandboxes and nobody else', async (t) => {
  const { sandboxApp } = rig.server;
  const ask = (method: 'GET' | 'POST', url: string) =>
    sandboxApp.inject({ method, url, headers: { host: 'sandlot-apiserver.agents.svc:3002' } });
  for (const path of ['settings', 'secrets', 'users/me', 'app-conversations/search'])
    t.equal((await ask('GET', `${V1}/${path}`)).statusCode, 404, path);
  t.equal((await ask('GET', '/')).statusCode, 404, 'nor the UI');
  t.match(await ask('POST', `${V1}/webhooks/events/${newId()}`), { statusCode: 401 }, 'a key is asked for');
  t.match(await ask('GET', `${V1}/sandboxes/one/settings/secrets`), { statusCode: 401 });
});

t.test('files of the UI', async (t) => {
  for (const path of ['/', '/conversations/x', '/settings']) {
    t.match(await rig.call('GET', path), {
      status: 200,
      text: /UI/,
      headers: {
        'content-type': /text\/html/,
        'cache-control': /no-store/,
        'content-security-policy': /frame-ancestors 'none'/,
      },
    });
  }
  t.match(await rig.call('GET', '/assets/app-1a2b.js'), {
    status: 200,
    headers: { 'cache-control': /immutable/, 'x-content-type-options': 'nosniff' },
  });
  t.match(await rig.call('GET', '/assets/../../package.json'), { text: /UI/ }, 'nothing outside');
  t.match(await rig.call('GET', '/api/v1/none'), { status: 404, body: { detail: 'Not Found' } });
  t.match(await rig.call('POST', '/none', {}), { status: 405, body: { detail: 'Method Not Allowed' } });
});

t.test('the end', () => db.close().then(() => endSuite(cluster)));
