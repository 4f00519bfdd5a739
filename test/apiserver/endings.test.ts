/** A session that ends, by logout or by its time, is told to the owner's Sandboxes, where gateways read it. */
import t from 'tap';
import { createCookieKeys } from '../../apiserver/identity/cookies.js';
import { SESSION_COOKIE } from '../../apiserver/identity/session.js';
import { endedWith } from '../../apiserver/sandboxes/control.js';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import { sessionMark, verifyPass } from '../../contracts/tokens.js';
import { loginBy, newId, openTestDatabase, operatorHand, SECRET, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { until } from '../support/stack.js';

t.setTimeout(280_000);

const HOUR = 3_600_000;
const cluster = await startCluster();
const db = await openTestDatabase();
const base = 'http://localhost:3000';
const rig = await startRig(cluster, db, {
  config: {
    identity: loginBy(),
  },
});
const owner = newId();
await db.prisma.user.create({ data: { id: owner } });
const name = `ended-${newId().slice(0, 8)}`;
await cluster.client.create(SANDBOX, {
  apiVersion: 'sandlot.dev/v1alpha1',
  kind: 'Sandbox',
  metadata: { name, namespace: cluster.namespace },
  spec: { owner },
});
await operatorHand(cluster.client, cluster.namespace).ready(name, { port: 8000 });
await rig.server.deps.directory.waitFor(name, (found) => found?.status?.slot, AbortSignal.timeout(10_000));

const logIn = async (expiresAt = new Date(Date.now() + HOUR)): Promise<string> => {
  const id = newId();
  await db.prisma.session.create({ data: { id, ownerId: owner, tokens: 'sealed', seenAt: new Date(), expiresAt } });
  return id;
};
const headersOf = async (session: string) => ({
  origin: base,
  cookie: `${SESSION_COOKIE}=${await createCookieKeys([SECRET]).seal(SESSION_COOKIE, { session }, 60)}`,
});
const ended = async (): Promise<string[]> => {
  const { spec } = await cluster.client.get<Sandbox>(SANDBOX, { namespace: cluster.namespace, name });
  return (spec.endedSessions ?? []).map(({ id }) => id);
};

t.test('what a logged-out browser had opened is told to be over', async (t) => {
  const [session, other] = [await logIn(), await logIn()];
  const headers = await headersOf(session);
  const entry = await rig.call<{ url: string }>('POST', `/api/v1/sandboxes/${name}/entry`, { port: 3000 }, headers);
  const pass = verifyPass(SECRET, new URL(entry.body.url).searchParams.get('pass') ?? '', 'entry', Date.now());
  t.match(pass, { session: sessionMark(session), owner, iat: Number });
  t.notMatch(JSON.stringify(pass), new RegExp(session), 'the pass does not tell the session itself');
  t.equal((await rig.call('POST', '/api/logout', {}, headers)).status, 200);
  t.equal((await rig.call('GET', '/api/v1/settings', undefined, headers)).status, 401, 'at once');
  await until('the sandbox to say so', async () => (await ended()).includes(sessionMark(session)));
  t.same(await ended(), [sessionMark(session)], 'and no other session');
  await until('the row to go', async () => (await db.prisma.session.count({ where: { id: session } })) === 0);
  const there = await rig.call('GET', '/api/v1/sandboxes/search', undefined, await headersOf(other));
  t.equal(there.status, 200);
});

t.test('a session that ends by its time, and one that another replica left behind', async (t) => {
  const over = await logIn(new Date(Date.now() - 1000));
  const left = await logIn();
  await db.prisma.session.update({ where: { id: left }, data: { endedAt: new Date() } });
  rig.server.deps.login?.endings.soon();
  await until('both', async () => {
    const ids = await ended();
    return ids.includes(sessionMark(over)) && ids.includes(sessionMark(left));
  });
  t.pass();
});

t.test('old entries are forgotten, too many become all', (t) => {
  const at = new Date('2026-11-26T12:00:00Z');
  const known = [
    { id: 'old', at: '2026-11-25T23:59:59Z' },
    { id: 'young', at: '2026-11-26T00:00:01Z' },
  ];
  t.same(
    endedWith(known, { ids: ['new'], at }).map(({ id }) => id),
    ['young', 'new'],
  );
  const many = Array.from({ length: 64 }, (_, index) => ({ id: `s${index}`, at: at.toISOString() }));
  t.same(endedWith(many, { ids: ['new'], at }), [{ id: 'all', at: at.toISOString() }]);
  t.equal(endedWith(many, { ids: ['s0'], at }).length, 64);
  t.end();
});

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
