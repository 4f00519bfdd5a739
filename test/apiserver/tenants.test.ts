/**
 * Every route of the API server's OpenAPI document, asked by nobody, with keys and cookies that are no good, and by another
 * user: nothing of the owner's is seen or changed. A new route cannot be forgotten: the document is made from the table of
 * routes, and compared with it here.
 */
import t from 'tap';
import { createCookieKeys } from '../../apiserver/identity/cookies.js';
import { SESSION_COOKIE } from '../../apiserver/identity/session.js';
import { digestOf } from '../../apiserver/identity/credentials.js';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import { loginBy, newId, openTestDatabase, SECRET, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';

t.setTimeout(280_000);

const HOUR = 3_600_000;
const MARK = 'OWNERS_MARK';
const cluster = await startCluster();
const db = await openTestDatabase();
const base = 'http://localhost:3000';
const rig = await startRig(cluster, db, {
  config: {
    // Nobody logs in here, so the provider is never asked.
    identity: loginBy(),
  },
});

/** Open to everybody: probes, what a browser needs before its login, and what a share link opens. */
const OPEN = [
  'GET /alive',
  'GET /api/identity',
  'GET /api/shared-conversations',
  'GET /api/shared-events',
  'GET /api/shared-events/:conversation_id/:event_id',
  'GET /api/shared-events/count',
  'GET /api/shared-events/search',
  'GET /api/v1/web-client/config',
  'GET /health',
  'GET /oauth/callback',
  'GET /oauth/login',
  'GET /ready',
  'GET /server_info',
  'POST /api/authenticate',
  'POST /api/logout',
  'POST /api/shared-conversations/:id/entry',
  'POST /oauth/backchannel-logout',
  'POST /oauth/device/authorize',
  'POST /oauth/device/token',
];

interface Route {
  method: string;
  path: string;
  /** The schemes of the document of which one opens it; none for what is open to everybody. */
  security: string[];
}

interface Document {
  paths: Record<string, Record<string, { security?: Record<string, unknown>[]; operationId: string }>>;
}

/** The routes as the OpenAPI document of this very server tells them. */
async function documented(): Promise<Route[]> {
  const { status, body } = await rig.call('GET', '/openapi.json');
  t.equal(status, 200);
  return Object.entries((body as unknown as Document).paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security = [] }]) => ({
      method: method.toUpperCase(),
      path: path.replace(/\{(\w+)\}/g, ':$1'),
      security: security.flatMap((one) => Object.keys(one)),
    })),
  );
}

/** Names of the routes from Fastify's own tree: four columns a level. */
function routesOf(tree: string): string[] {
  const stack: string[] = [];
  return tree.split('\n').flatMap((line) => {
    const found = /^((?:[│ ] {3})*)[├└]── (\S*)(?: \(([A-Z, ]+)\))?/.exec(line);
    if (found === null) return [];
    const [, indent = '', segment = '', methods = ''] = found;
    const depth = indent.length / 4;
    stack.length = depth;
    stack[depth] = segment;
    const path = stack.join('');
    return methods
      .split(', ')
      .filter((method) => ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method))
      .map((method) => `${method} ${path}`);
  });
}

/** The document and its page. */
const isDocument = (name: string) => /^GET \/(openapi\.json|docs(\/.*)?)$/.test(name);

const routes = await documented();

const userId = { owner: newId(), other: newId() };
const newKey = () => `sk-oh-${newId()}`;
const keys = {
  other: newKey(),
  expired: newKey(),
  later: newKey(),
  unknown: newKey(),
  runtime: newKey(),
  owner: newKey(),
};

const sessions = { good: newId(), over: newId() };
const addSession = (id: string, expiresAt: Date) =>
  db.prisma.session.create({ data: { id, ownerId: userId.owner, tokens: 'sealed', seenAt: new Date(), expiresAt } });

/** What a browser would send. */
async function cookieOf(
  session: string,
  { purpose = SESSION_COOKIE, secret = SECRET, seconds = 60 } = {},
): Promise<string> {
  return `${SESSION_COOKIE}=${await createCookieKeys([secret]).seal(purpose, { session }, seconds)}`;
}

const conversationId = newId();
const taskId = newId();
const sandboxName = `tenant-${newId().slice(0, 8)}`;

async function addKey(ownerId: string, key: string, more: object = {}): Promise<string> {
  const id = newId();
  await db.prisma.apiKey.create({
    data: { id, ownerId, hash: digestOf(key), name: 'a key', hint: 'hint', scopes: ['full'], ...more },
  });
  return id;
}

await db.prisma.user.createMany({ data: [{ id: userId.owner }, { id: userId.other }] });
await addSession(sessions.good, new Date(Date.now() + HOUR));
await addSession(sessions.over, new Date(Date.now() - 1000));
const ownersKeyId = await addKey(userId.owner, keys.owner, { name: MARK });
await addKey(userId.other, keys.other);
await addKey(userId.owner, keys.expired, { expiresAt: new Date(Date.now() - 1000) });
await addKey(userId.owner, keys.later, { notBefore: new Date(Date.now() + HOUR) });
await addKey(userId.owner, keys.runtime, { scopes: ['runtime'] });
await db.prisma.conversation.create({
  data: { id: conversationId, ownerId: userId.owner, sandboxId: sandboxName, title: MARK, workingDir: `/w/${MARK}` },
});
await db.prisma.event.create({
  data: {
    conversationId,
    id: 'e1',
    ownerId: userId.owner,
    kind: 'MessageEvent',
    timestamp: '2026-01-01T00:00:00.000000',
    body: JSON.stringify({ id: 'e1', kind: 'MessageEvent', timestamp: '2026-01-01T00:00:00', text: MARK }),
  },
});
await db.prisma.startTask.create({
  data: {
    id: taskId,
    ownerId: userId.owner,
    status: 'READY',
    conversationId,
    sandboxId: sandboxName,
    request: { title: MARK },
  },
});
const shareSecret = newId();
const shareId = newId();
await db.prisma.share.create({
  data: {
    id: shareId,
    ownerId: userId.owner,
    conversationId,
    name: MARK,
    hash: digestOf(shareSecret),
    ports: [],
    expiresAt: new Date(Date.now() + HOUR),
  },
});
await db.prisma.secret.create({ data: { ownerId: userId.owner, name: MARK, value: 'sealed' } });
await db.prisma.pendingMessage.create({
  data: {
    id: newId(),
    ownerId: userId.owner,
    target: conversationId,
    role: 'user',
    content: [{ type: 'text', text: MARK }],
  },
});
await cluster.client.create(SANDBOX, {
  apiVersion: 'sandlot.dev/v1alpha1',
  kind: 'Sandbox',
  metadata: { name: sandboxName, namespace: cluster.namespace },
  spec: { owner: userId.owner },
});

/** All that belongs to the owner, but for when a key was used. */
async function ownersThings(): Promise<string> {
  const where = { where: { ownerId: userId.owner } };
  const rows = await Promise.all([
    db.prisma.conversation.findMany(where),
    db.prisma.event.findMany(where),
    db.prisma.startTask.findMany(where),
    db.prisma.secret.findMany(where),
    db.prisma.pendingMessage.findMany(where),
    db.prisma.settings.findMany(where),
    db.prisma.share.findMany(where),
    db.prisma.apiKey.findMany({ ...where, select: { id: true, name: true, scopes: true } }),
  ]);
  const sandbox = await cluster.client.get<Sandbox>(SANDBOX, { namespace: cluster.namespace, name: sandboxName });
  // Their logins end here, and the sandbox is told so.
  const { endedSessions: _ended, ...spec } = sandbox.spec;
  return JSON.stringify([rows, spec], (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}

/** A path about the owner's things. */
function pathOf(path: string): string {
  return path
    .replace(/:(\w+)/g, (_, name: string) => {
      if (/share/.test(name)) return shareId;
      if (/user/.test(name)) return userId.owner;
      if (/task/.test(name)) return taskId;
      if (/key/.test(name)) return ownersKeyId;
      if (/sandbox|runtime/.test(name)) return sandboxName;
      if (/secret|name/.test(name)) return MARK;
      if (/event/.test(name)) return 'e1';
      return conversationId;
    })
    .replace('*', 'x');
}

/** With queries that name the owner's things too: a route takes what it knows. */
const queryOf = (method: string): string =>
  method === 'GET'
    ? `?ids=${conversationId}&id=${sandboxName}&conversation_id__eq=${conversationId}&sandbox_id__eq=${sandboxName}&limit=100`
    : '';
const BODY = {
  conversation_id: conversationId,
  sandbox_id: sandboxName,
  parent_conversation_id: conversationId,
  runtime_id: sandboxName,
  session_id: sandboxName,
  title: 'taken',
  name: MARK,
  value: 'taken',
  port: 8000,
  path: '/',
  role: 'user',
  content: [{ type: 'text', text: 'taken' }],
};
const ask = (route: Route, headers: Record<string, string>) =>
  rig.call(
    route.method,
    pathOf(route.path) + queryOf(route.method),
    ['POST', 'PUT', 'PATCH'].includes(route.method) ? BODY : undefined,
    headers,
  );
const nameOf = ({ method, path }: Route) => `${method} ${path}`;
const closed = routes.filter(({ security }) => security.length > 0);

t.test('the document is whole, and says what is open', (t) => {
  const registered = routesOf(rig.server.app.printRoutes({ commonPrefix: false })).filter((name) => !isDocument(name));
  t.same(routes.map(nameOf).sort(), registered.sort(), 'the document has every route');
  t.same(
    routes
      .filter(({ security }) => security.length === 0)
      .map(nameOf)
      .sort(),
    OPEN,
    'open to everybody',
  );
  t.ok(closed.length > 80, `${closed.length} of ${routes.length} routes want to know who asks`);
  t.end();
});

t.test('nobody, and keys that are no good: 401 everywhere', async (t) => {
  const callers: Record<string, Record<string, string>> = {
    nobody: {},
    'an unknown key': { 'x-api-key': keys.unknown },
    'a key that is over': { authorization: `Bearer ${keys.expired}` },
    'a key that has not begun': { 'x-api-key': keys.later },
    'a cookie of nobody': { origin: base, cookie: 'sandlot_session=nonsense' },
    'the cookie of a session that is over': { origin: base, cookie: await cookieOf(sessions.over) },
    'a cookie of a session that is not there': { origin: base, cookie: await cookieOf(newId()) },
    'a cookie made for something else': {
      origin: base,
      cookie: await cookieOf(sessions.good, { purpose: 'sandlot_login_' }),
    },
    'a cookie sealed with another secret': {
      origin: base,
      cookie: await cookieOf(sessions.good, { secret: 's'.repeat(40) }),
    },
    'a cookie that is over': { origin: base, cookie: await cookieOf(sessions.good, { seconds: -10 }) },
  };
  const before = await ownersThings();
  for (const route of closed)
    for (const [name, headers] of Object.entries(callers)) {
      const { status, text } = await ask(route, headers);
      if (status !== 401 || text.includes(MARK))
        t.fail(`${route.method} ${route.path} answers ${name} with ${status}: ${text.slice(0, 200)}`);
    }
  t.equal(await ownersThings(), before, 'nothing changed');
});

t.test('a good cookie that another site makes the browser send changes nothing: 403', async (t) => {
  const cookie = await cookieOf(sessions.good);
  const before = await ownersThings();
  const sites: Record<string, string>[] = [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }, {}];
  for (const route of closed.filter(({ method, security }) => method !== 'GET' && security.includes('session')))
    for (const from of sites) {
      const { status } = await ask(route, { cookie, ...from });
      // The Runtime API asks for its own header before it looks at cookies.
      if (status !== 403 && !(status === 401 && !route.path.startsWith('/api/')))
        t.fail(`${route.method} ${route.path} answers ${status} to ${JSON.stringify(from)}`);
    }
  t.equal(await ownersThings(), before, 'nothing changed');
});

t.test('a key for the Runtime API opens nothing else', async (t) => {
  for (const route of closed.filter(({ path }) => path.startsWith('/api/v1/') && !path.includes('/webhooks'))) {
    const { status } = await ask(route, { 'x-api-key': keys.runtime });
    if (status !== 403 && status !== 401) t.fail(`${route.method} ${route.path} answers ${status}`);
  }
  t.pass('asked');
});

t.test('another user sees and changes nothing of the owner', async (t) => {
  const before = await ownersThings();
  for (const route of closed) {
    const { status, text } = await ask(route, { 'x-api-key': keys.other });
    // What a caller sends may come back; the owner's own things are known by these.
    const told = [userId.owner, `/w/${MARK}`, 'sealed', '"e1"'].find((secret) => text.includes(secret));
    if (told !== undefined || (status >= 500 && status !== 501))
      t.fail(`${route.method} ${route.path} answers ${status}: ${text.slice(0, 300)}`);
    const now = await ownersThings();
    if (now !== before) return t.fail(`${route.method} ${route.path} (${status}) changed what is the owner's`);
  }
  t.pass(`${closed.length} routes asked`);
});

t.test('what a share link opens is closed to everybody without it', async (t) => {
  const shared = routes.filter(({ path }) => path.startsWith('/api/shared-'));
  const before = await ownersThings();
  const callers: Record<string, string>[] = [
    {},
    { 'x-sandlot-share': newId() },
    { 'x-api-key': keys.other },
    { 'x-api-key': keys.owner },
  ];
  const query = `?ids=${conversationId}&id=e1&conversation_id=${conversationId}`;
  const asks = ({ method, path }: Route, headers: Record<string, string>) =>
    rig.call(method, pathOf(path) + (method === 'GET' ? query : ''), method === 'GET' ? undefined : BODY, headers);
  for (const route of shared)
    for (const headers of callers) {
      const { status, text } = await asks(route, headers);
      if (text.includes(MARK) || text.includes('"e1"') || status >= 500)
        t.fail(`${nameOf(route)} answers ${status}: ${text.slice(0, 200)}`);
    }
  t.equal(await ownersThings(), before, 'nothing changed');
  const told: string[] = [];
  for (const route of shared) told.push((await asks(route, { 'x-sandlot-share': shareSecret })).text);
  t.ok(told.filter((text) => text.includes(MARK)).length >= 4, 'with the link it is there');
});

t.test('the owner does see them', async (t) => {
  const found = await rig.call('GET', '/api/v1/app-conversations/search', undefined, { 'x-api-key': keys.owner });
  t.match(found, { status: 200, text: new RegExp(MARK) }, 'so that the test above could fail');
  const cookie = await cookieOf(sessions.good);
  const page = await rig.call('GET', '/api/v1/app-conversations/search', undefined, { cookie });
  t.match(page, { status: 200, text: new RegExp(MARK) }, 'with a good cookie too');
});

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
