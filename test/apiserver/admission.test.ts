/** Who may start another conversation, and what is said when it is not this one. */
import t from 'tap';
import { TOO_MANY } from '../../apiserver/ingest/room.js';
import { newId, openTestDatabase, operatorHand, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startsOf, V1, type Page, type Task } from '../support/starts.js';
import { until } from '../support/stack.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const hand = operatorHand(cluster.client, cluster.namespace);
const { converse } = startsOf(hand);
const limits = { perOwner: 3, ofOwners: new Map<string, number>(), overOwnerLimit: 'Refuse' as const };
const rig = await startRig(cluster, db);
rig.server.deps.config.limits = limits;
const start = (body: object = {}, headers: Record<string, string> = {}) =>
  rig.call<Task>('POST', `${V1}/app-conversations`, body, headers);

t.test('of many starts at the same time no more get in than may', async (t) => {
  const answers = await Promise.all(Array.from({ length: 8 }, () => start()));
  t.same(answers.map(({ status }) => status).sort(), [200, 200, 200, 429, 429, 429, 429, 429]);
  const refused = answers.find(({ status }) => status === 429);
  t.match(refused, {
    headers: { 'retry-after': '30', 'x-sandlot-error': 'too_many_sandboxes' },
    body: { detail: /3 sandboxes that run, and 3 may/, reason: 'OwnerLimitReached', limit: 3, running: 3 },
  });
  t.equal(await db.prisma.startTask.count({ where: { ownerId: 'local' } }), 3, 'nothing is kept of the others');
  t.equal((await start({ sandbox_id: 'another' })).status, 200, 'what joins a sandbox needs no place');
  limits.ofOwners.set('local', 0);
  t.equal((await start()).status, 200, 'an owner may have no limit');
  limits.perOwner = 0;
});

t.test('a start that is sent again is the one that is there', async (t) => {
  const key = { 'idempotency-key': newId() };
  const first = await start({ title: 'once' }, key);
  t.equal((await start({ title: 'once' }, key)).body.id, first.body.id);
  const streamed = await rig.call<Task[]>('POST', `${V1}/app-conversations/stream-start`, { title: 'once' }, key);
  t.match(streamed.body, [{ id: first.body.id }]);
  t.match(await start({ title: 'other' }, key), { status: 409, body: { detail: /Idempotency-Key/ } });
  t.not((await start({ title: 'once' })).body.id, first.body.id, 'without a key it is another');
  t.equal((await start({}, { 'idempotency-key': 'x'.repeat(300) })).status, 422);
});

t.test('who was paused to make room is told so once, in the history', async (t) => {
  const { id, sandboxId, agent } = await converse(rig);
  t.teardown(() => agent.close());
  const lastTransitionTime = '2026-05-01T09:00:00Z';
  const paused = { type: 'Paused', status: 'True' as const, reason: 'TooManySandboxes', message: 'local has 3 sandboxes', lastTransitionTime }; // prettier-ignore
  for (const phase of ['Pausing', 'Paused'] as const) await hand.status(sandboxId, { phase, conditions: [paused] });
  const told = await until('the notice', async () => {
    const { items } = (await rig.call<Page<object>>('GET', `${V1}/conversation/${id}/events/search`)).body;
    return items.length > 0 ? items : undefined;
  });
  t.match(told, [
    { kind: 'ConversationErrorEvent', code: TOO_MANY, detail: /another one needed its place: local has 3/ },
  ]);
  const second = await startRig(cluster, db);
  await second.stop();
  t.equal(
    (await rig.call('GET', `${V1}/conversation/${id}/events/count`)).body as never,
    1,
    'another server adds none',
  );
});

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
