/** API keys on a real database: what they open, how far, and until when. */
import t from 'tap';
import { openTestDatabase, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const rig = await startRig(cluster, db, {});

interface Key {
  id: string;
  key: string;
  hint: string;
  scopes: string[];
  last_used_at: string | null;
}
const make = async (body: object = {}) => (await rig.call<Key>('POST', '/api/keys', body)).body;
const as = (key: string, header = 'authorization') => ({
  [header]: header === 'authorization' ? `Bearer ${key}` : key,
});
const list = async () => (await rig.call<Key[]>('GET', '/api/keys')).body;

t.test('a key is shown once, and only its digest is stored', async (t) => {
  const made = await make({ name: 'ci' });
  t.match(made, { name: 'ci', scopes: ['full'], key: /^sk-oh-[A-Za-z0-9]{32}$/, hint: /^sk-oh-…\w{4}$/, org_id: null });
  const stored = JSON.stringify(await db.prisma.apiKey.findMany());
  t.notMatch(stored, made.key);
  t.notMatch(JSON.stringify(await list()), made.key);
  t.equal((await list()).find(({ id }) => id === made.id)?.last_used_at, null);
  for (const header of ['authorization', 'x-api-key', 'x-session-api-key', 'x-access-token'])
    t.match(await rig.call('GET', '/api/keys/current', undefined, as(made.key, header)), {
      status: 200,
      body: { id: made.id, auth_type: 'bearer' },
    });
  t.type((await list()).find(({ id }) => id === made.id)?.last_used_at, 'string');
});

t.test('what each scope opens', async (t) => {
  const keys = {
    full: await make(),
    read: await make({ scopes: ['read'] }),
    runtime: await make({ scopes: ['runtime'] }),
  };
  const table: [string, string, Record<keyof typeof keys, number>][] = [
    ['GET', '/api/v1/sandboxes/search', { full: 200, read: 200, runtime: 403 }],
    ['POST', '/api/v1/settings', { full: 200, read: 403, runtime: 403 }],
    ['GET', '/list', { full: 200, read: 403, runtime: 200 }],
    ['GET', '/api/keys', { full: 200, read: 200, runtime: 403 }],
    ['POST', '/api/keys', { full: 403, read: 403, runtime: 403 }],
    ['DELETE', `/api/keys/${keys.full.id}`, { full: 403, read: 403, runtime: 403 }],
  ];
  for (const [method, path, expected] of table)
    for (const [scope, status] of Object.entries(expected)) {
      const body = method === 'POST' ? {} : undefined;
      const answer = await rig.call(method, path, body, as(keys[scope as keyof typeof keys].key, 'x-api-key'));
      t.equal(answer.status, status, `${method} ${path} with ${scope}`);
      if (status === 403) t.match(answer.headers['x-sandlot-error'], /key_scope|not_allowed/);
    }
});

t.test('not yet, no more, revoked, never', async (t) => {
  const later = await make({ not_before: new Date(Date.now() + 60_000).toISOString() });
  const over = await make();
  await db.prisma.apiKey.update({ where: { id: over.id }, data: { expiresAt: new Date(Date.now() - 1000) } });
  const gone = await make();
  t.equal((await rig.call('DELETE', `/api/keys/${gone.id}`)).status, 200);
  t.equal((await rig.call('DELETE', `/api/keys/${gone.id}`)).status, 404);
  const never = `sk-oh-${'a'.repeat(32)}`;
  for (const key of [later.key, over.key, gone.key, never])
    t.match(await rig.call('GET', '/api/keys/current', undefined, as(key)), {
      status: 401,
      headers: { 'x-sandlot-error': 'bad_key', 'www-authenticate': 'Bearer' },
    });
});

t.test('what cannot be made is said', async (t) => {
  const past = new Date(Date.now() - 1000).toISOString();
  t.match(await rig.call('POST', '/api/keys', { expires_at: past }), { status: 400, body: { detail: /in the past/ } });
  t.match(await rig.call('POST', '/api/keys', { scopes: [] }), { status: 422 });
  t.match(await rig.call('POST', '/api/keys', { scopes: ['root'] }), { status: 422 });
  t.match(
    await rig.call('POST', '/api/keys', { not_before: '2031-01-02T00:00:00Z', expires_at: '2031-01-01T00:00:00Z' }),
    { status: 422 },
  );
});

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
