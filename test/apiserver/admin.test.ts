/** Administrators: users found and disabled with everything that runs for them, their sandboxes and keys. */
import t from 'tap';
import { digestOf } from '../../apiserver/identity/credentials.js';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import { loginBy, newId, openTestDatabase, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';

t.setTimeout(280_000);

const HOUR = 3_600_000;
const cluster = await startCluster();
const db = await openTestDatabase();
const rig = await startRig(cluster, db, {
  config: {
    identity: loginBy({ adminGroups: ['admins'] }),
  },
});

async function person(email: string, roles: string[] = [], scopes = ['full']): Promise<{ id: string; key: string }> {
  const id = newId();
  const key = `sk-oh-${newId()}`;
  await db.prisma.user.create({ data: { id, email, name: email.split('@')[0] ?? '', roles } });
  await db.prisma.apiKey.create({
    data: { id: newId(), ownerId: id, hash: digestOf(key), name: 'k', hint: 'h', scopes },
  });
  return { id, key };
}
const admin = await person('root@example.com', ['admin']);
const reader = await person('auditor@example.com', ['admin'], ['read']);
const alice = await person('alice@example.com');
const bob = await person('bob@example.com');
type Who = typeof admin;
const as = <T>(who: Who, method: string, path: string, body?: unknown) =>
  rig.call<T>(method, path, body, { 'x-api-key': who.key });

async function sandbox(owner: string): Promise<string> {
  const name = `admin-${newId().slice(0, 8)}`;
  await cluster.client.create(SANDBOX, {
    apiVersion: 'sandlot.dev/v1alpha1',
    kind: 'Sandbox',
    metadata: { name, namespace: cluster.namespace },
    spec: { owner, runState: 'Running' },
  });
  await rig.server.deps.directory.waitFor(name, (found) => found, AbortSignal.timeout(10_000));
  return name;
}
const spec = async (name: string) =>
  (await cluster.client.get<Sandbox>(SANDBOX, { namespace: cluster.namespace, name })).spec;

interface Shown {
  id: string;
  email: string;
  disabled_at: string | null;
  sandboxes: { total: number; running: number };
  api_keys: number;
}
interface Users {
  items: Shown[];
  next_page_id: string | null;
}
const USERS = '/api/v1/admin/users';

t.test('only administrators, and only with a full key', async (t) => {
  for (const who of [alice, reader])
    for (const [method, path] of [
      ['GET', `${USERS}/search`],
      ['POST', `${USERS}/${bob.id}/disable`],
      ['GET', `${USERS}/${bob.id}/keys`],
    ] as const)
      t.equal((await as(who, method, path)).status, 403, `${method} ${path}`);
  t.equal((await db.prisma.user.findUniqueOrThrow({ where: { id: bob.id } })).disabledAt, null);
});

t.test('users are found and paged', async (t) => {
  const emails: string[] = [];
  let page: string | null = '';
  for (let pages = 0; page !== null && pages < 9; pages += 1) {
    const answer: { body: Users } = await as<Users>(admin, 'GET', `${USERS}/search?limit=2&page_id=${page}`);
    emails.push(...answer.body.items.map((user) => user.email));
    page = answer.body.next_page_id;
  }
  t.same(emails.sort(), ['alice@example.com', 'auditor@example.com', 'bob@example.com', 'root@example.com']);
  const found = await as<Users>(admin, 'GET', `${USERS}/search?query=ALICE@`);
  t.match(found.body.items, [{ id: alice.id, sandboxes: { total: 0, running: 0 }, api_keys: 1, disabled_at: null }]);
  t.equal(found.body.items.length, 1);
  t.notMatch(found.text, /hash|subject/);
});

t.test('a disabled user is out at once, with all that ran; enabled again, comes in', async (t) => {
  const name = await sandbox(bob.id);
  const others = await sandbox(alice.id);
  await db.prisma.session.create({
    data: {
      id: newId(),
      ownerId: bob.id,
      tokens: 'sealed',
      seenAt: new Date(),
      expiresAt: new Date(Date.now() + HOUR),
    },
  });
  t.equal((await as(bob, 'GET', '/api/v1/sandboxes/search')).status, 200);
  const disabled = await as<Shown>(admin, 'POST', `${USERS}/${bob.id}/disable`);
  t.match(disabled, { status: 200, body: { disabled_at: String, sandboxes: { total: 1, running: 0 } } });
  t.match(await as(bob, 'GET', '/api/v1/sandboxes/search'), { status: 403, text: /disabled/ });
  t.equal(await db.prisma.session.count({ where: { ownerId: bob.id, endedAt: null } }), 0);
  const after = await spec(name);
  t.equal(after.runState, 'Paused');
  t.ok(
    after.endedSessions?.some(({ id }) => id === 'all'),
    'gateways are told',
  );
  t.match(await spec(others), { runState: 'Running' }, 'of nobody else');
  const again = await as<Shown>(admin, 'POST', `${USERS}/${bob.id}/disable`);
  t.equal(again.body.disabled_at, disabled.body.disabled_at, 'since the first time');
  t.match(await as(admin, 'POST', `${USERS}/${bob.id}/enable`), { status: 200, body: { disabled_at: null } });
  t.equal((await as(bob, 'GET', '/api/v1/sandboxes/search')).status, 200);
  t.equal((await as(admin, 'POST', `${USERS}/${admin.id}/disable`)).status, 409, 'not oneself');
  t.equal((await as(admin, 'POST', `${USERS}/nobody/disable`)).status, 404);
});

t.test('sandboxes and keys of a user', async (t) => {
  const [one, two] = [await sandbox(alice.id), await sandbox(alice.id)];
  const of = `${USERS}/${alice.id}`;
  const listed = await as<{ items: { id: string }[] }>(admin, 'GET', `${of}/sandboxes`);
  t.ok([one, two].every((name) => listed.body.items.some(({ id }) => id === name)));
  t.notMatch(listed.text, /session_api_key|exposed_urls/);
  t.equal((await as(admin, 'POST', `${of}/sandboxes/${one}/pause`)).status, 200);
  t.equal((await spec(one)).runState, 'Paused');
  t.equal((await as(admin, 'POST', `${USERS}/${bob.id}/sandboxes/${two}/pause`)).status, 404, 'not under another name');
  t.equal((await as(admin, 'DELETE', `${of}/sandboxes/${one}`)).status, 200);
  t.match(await as(admin, 'POST', `${of}/sandboxes/pause`), { status: 200 });
  t.equal((await spec(two)).runState, 'Paused');
  const keys = await as<{ items: { id: string }[] }>(admin, 'GET', `${of}/keys`);
  t.equal(keys.body.items.length, 1);
  const [key] = keys.body.items;
  t.equal((await as(admin, 'DELETE', `${USERS}/${bob.id}/keys/${key?.id}`)).status, 404, 'not under another name');
  t.equal((await as(admin, 'DELETE', `${of}/keys/${key?.id}`)).status, 200);
  t.equal((await as(alice, 'GET', '/api/keys')).status, 401);
});

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
