/** Conversations that were made in a sandbox directly, and whose announcement was lost. */
import { randomUUID } from 'node:crypto';
import t from 'tap';
import { conversationHex } from '../../contracts/names.js';
import { openTestDatabase, operatorHand, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startsOf, V1, type Page } from '../support/starts.js';
import { until } from '../support/stack.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const hand = operatorHand(cluster.client, cluster.namespace);
const { converse, conversationOf } = startsOf(hand);

const event = (id: string, second: number) => ({
  id,
  kind: 'MessageEvent',
  source: 'user',
  timestamp: `2026-05-01T09:00:0${second}.000001`,
});

t.test('events of a conversation that nobody announced are stored', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  const { agent } = await converse(rig);
  const other = await converse(rig);
  t.teardown(() => Promise.all([agent.close(), other.agent.close()]));
  const own = randomUUID();
  agent.conversations.set(own, {});
  agent.events.set(own, [event('a', 1), event('b', 2)]);
  // It also claims what is another's.
  agent.conversations.set(other.id, {});

  const posted = await rig.call('POST', `${V1}/webhooks/events/${own}`, [event('b', 2)], {
    'x-session-api-key': agent.key,
  });
  t.equal(posted.status, 200);
  const found = await until(
    'the conversation',
    async () => (await conversationOf(rig, conversationHex(own))) ?? undefined,
  );
  t.match(found, { sandbox_status: 'RUNNING', execution_status: 'idle' });
  const history = () => rig.call<Page<{ id: string }>>('GET', `${V1}/conversation/${own}/events/search`);
  await until('its events', async () => (await history()).body.items.length === 2);
  t.same(
    (await history()).body.items.map((one) => one.id),
    ['a', 'b'],
  );
  const { sandboxId } = await db.prisma.conversation.findUniqueOrThrow({ where: { id: other.id } });
  t.equal(sandboxId, other.sandboxId, 'a sandbox takes no conversation of another');
});

t.test('also when it never posts again, and this server was down', async (t) => {
  const before = await startRig(cluster, db);
  const { sandboxId, agent } = await converse(before);
  t.teardown(() => agent.close());
  await before.stop();
  const silent = randomUUID();
  agent.conversations.set(silent, {});
  agent.events.set(silent, [event('c', 3)]);
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  await until('it', async () => (await conversationOf(rig, conversationHex(silent))) ?? undefined);
  t.equal(await db.prisma.conversation.count({ where: { sandboxId } }), 2);
});

t.test('the end', () => db.close().then(() => endSuite(cluster)));
