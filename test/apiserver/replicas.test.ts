/** Two API servers, each a process of its own, on one PostgreSQL: what they share, and what kill -9 of one leaves behind. */
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { conversationDashed } from '../../contracts/names.js';
import { operatorHand, quiet } from '../support/api-rig.js';
import { startApi, type ApiProcess } from '../support/api-process.js';
import { ask } from '../support/client.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startFakeAgent, type FakeAgent } from '../support/fake-agent.js';
import { postgresPrograms, startPostgres } from '../support/postgres.js';
import { until } from '../support/stack.js';
import { createLeases } from '../../apiserver/db/leases.js';
import { openDatabase } from '../../apiserver/db/open.js';

interface Task {
  id: string;
  status: string;
  sandbox_id: string | null;
  app_conversation_id: string | null;
}

const programs = postgresPrograms();
if (programs === undefined) {
  t.comment('no PostgreSQL on this machine: nothing is tested here');
  process.exit(0);
}
const V1 = '/api/v1';
const say = (text: string) => ({ role: 'user', content: [{ type: 'text', text }] });
const cluster = await startCluster();
const hand = operatorHand(cluster.client, cluster.namespace);
const postgres = await startPostgres(programs);
const databaseUrl = await postgres.newDatabase();
const start = () => startApi({ cluster, databaseUrl });
let [a, b] = await Promise.all([start(), start()]);
const db = await openDatabase({ url: databaseUrl, log: quiet() });

const post = <T = unknown>(api: ApiProcess, path: string, body: unknown, key?: string) =>
  ask<T>(`${api.base}${V1}${path}`, {
    method: 'POST',
    body,
    headers: key === undefined ? {} : { 'x-session-api-key': key },
  });
const taskOf = async (api: ApiProcess, id: string) =>
  (await ask<Task[]>(`${api.base}${V1}/app-conversations/start-tasks?ids=${id}`)).body[0];
const reached = (api: ApiProcess, id: string, status: string, ms?: number) =>
  until(
    `${status} of start ${id}`,
    async () => {
      const task = await taskOf(api, id);
      return task?.status === status ? task : undefined;
    },
    ms,
  );

async function comeUp(t: Test, name: string): Promise<FakeAgent> {
  const agent = await startFakeAgent('');
  t.teardown(() => agent.close());
  await until('the sandbox', () => hand.get(name));
  await hand.ready(name, agent);
  return agent;
}

async function converse(t: Test, api: ApiProcess) {
  const { body: task } = await post<Task>(api, '/app-conversations', {});
  const { sandbox_id: sandboxId } = await reached(api, task.id, 'WAITING_FOR_SANDBOX');
  const agent = await comeUp(t, sandboxId ?? '');
  const { app_conversation_id: id } = await reached(api, task.id, 'READY');
  return { id: id ?? '', sandboxId: sandboxId ?? '', agent };
}

async function sleepAndWake(sandboxId: string, agent: FakeAgent, asleep: () => Promise<void>): Promise<void> {
  const at = new Date().toISOString().replace(/\.\d+Z/, 'Z');
  const paused = {
    type: 'Ready',
    status: 'False' as const,
    reason: 'Paused',
    message: 'paused',
    lastTransitionTime: at,
  };
  await hand.status(sandboxId, { phase: 'Paused', conditions: [paused] });
  for (const api of [a, b])
    await until('the sandbox to sleep', async () => {
      const { body } = await ask<{ status: string }[]>(`${api.base}${V1}/sandboxes?id=${sandboxId}`);
      return body[0]?.status !== 'RUNNING';
    });
  await asleep();
  await hand.ready(sandboxId, agent, 2);
}

const textsOf = (agent: FakeAgent) =>
  agent.calls
    .filter(({ line }) => /^POST .*\/events$/.test(line))
    .map(({ body }) => (body as { content: { text: string }[] }).content[0]?.text);

t.test('both migrated the empty database, one of them did it', async (t) => {
  const rows = await db.query<{ name: string }>('SELECT migration_name AS name FROM _prisma_migrations');
  t.equal(new Set(rows.map(({ name }) => name)).size, rows.length);
  t.equal([a, b].filter((api) => /"applied":\["/.test(api.output())).length, 1);
});

t.test('a lease: one holder, until it is given back or runs out by the clock of the database', async (t) => {
  const [one, two] = ['one', 'two'].map((holder) => createLeases(db, holder));
  t.ok(await one?.take('x', 60_000));
  t.ok(await one?.take('x', 60_000), 'its holder prolongs it');
  t.notOk(await two?.take('x', 60_000));
  await two?.release('x');
  t.notOk(await two?.take('x', 60_000), 'nobody gives back what is not theirs');
  await one?.release('x');
  t.ok(await two?.take('x', 0));
  await until('it to run out', async () => await one?.take('x', 60_000));
  const many = await Promise.all(Array.from({ length: 20 }, (_, n) => createLeases(db, `h${n}`).take('y', 60_000)));
  t.equal(many.filter(Boolean).length, 1);
  await db.query('DELETE FROM leases');
});

t.test('a start at one is told by the other as it happens', async (t) => {
  const { body: task } = await post<Task>(a, '/app-conversations', {});
  const socket = new WebSocket(`${b.base.replace('http', 'ws')}${V1}/app-conversations/start-tasks/${task.id}/live`);
  const states: string[] = [];
  socket.on('message', (data) => states.push((JSON.parse(String(data)) as { task: Task }).task.status));
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  const { sandbox_id } = await reached(b, task.id, 'WAITING_FOR_SANDBOX');
  await comeUp(t, sandbox_id ?? '');
  t.equal(await closed, 1000);
  t.equal(states.at(-1), 'READY');
  t.ok(new Set(states).size >= 3, `states in between are seen: ${[...new Set(states)].join(' ')}`);
});

t.test('events reported to both at once: each once, in order, counted', async (t) => {
  const { id, agent } = await converse(t, a);
  const events = Array.from({ length: 2_000 }, (_, n) => ({
    id: `e${n}`,
    kind: 'MessageEvent',
    source: 'agent',
    timestamp: `2026-05-01T09:00:00.${String(n).padStart(6, '0')}`,
    text: 'ü'.repeat(n % 50),
  }));
  const batches = Array.from({ length: 40 }, (_, n) => events.slice(n * 50, n * 50 + 50 + (n % 7)));
  const answers = await Promise.all(
    batches.flatMap((batch) => [a, b].map((api) => post(api, `/webhooks/events/${id}`, batch, agent.key))),
  );
  t.same([...new Set(answers.map(({ status }) => status))], [200]);
  const rows = await db.query<{ id: string; body: string }>(
    'SELECT id, body FROM events WHERE conversation_id = $1 ORDER BY timestamp, seq',
    [id],
  );
  t.same(
    rows.map((row) => row.id),
    events.map((event) => event.id),
  );
  const { eventCount, eventBytes } = await db.prisma.conversation.findUniqueOrThrow({ where: { id } });
  t.equal(eventCount, rows.length);
  t.equal(Number(eventBytes), rows.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0)); // prettier-ignore
});

t.test('a deletion at one and reports at the other leave no orphans', async (t) => {
  const { id, agent } = await converse(t, a);
  const report = (n: number) =>
    post(b, `/webhooks/events/${id}`, [{ id: `late${n}`, kind: 'X', timestamp: '2026-05-01T09:00:00' }], agent.key);
  const reports = Promise.all(Array.from({ length: 40 }, (_, n) => report(n)));
  t.equal((await ask(`${a.base}${V1}/app-conversations/${id}`, { method: 'DELETE' })).status, 200);
  await reports;
  t.equal(await db.prisma.event.count({ where: { conversationId: id } }), 0);
});

t.test('waiting messages are delivered once, in order, though both see the sandbox wake', async (t) => {
  const { id, sandboxId, agent } = await converse(t, a);
  const wanted = ['one', 'two', 'two', 'three'];
  await sleepAndWake(sandboxId, agent, async () => {
    for (const [n, text] of wanted.entries())
      t.equal((await post([a, b][n % 2] ?? a, `/conversations/${id}/pending-messages`, say(text))).status, 201);
  });
  await until('all of them', async () => (await db.prisma.pendingMessage.count({ where: { target: id } })) === 0);
  t.same(textsOf(agent), wanted);
});

t.test('kill -9: the next one ends the start and delivers what was not delivered', { timeout: 180_000 }, async (t) => {
  const { id, sandboxId, agent } = await converse(t, a);
  const { body: task } = await post<Task>(a, '/app-conversations', {});
  const { sandbox_id: unfinished } = await reached(a, task.id, 'WAITING_FOR_SANDBOX');
  const wanted = ['first', 'second', 'second', 'last'];
  // Whoever delivers dies when the second has arrived and nobody knows yet.
  let killed: ApiProcess | undefined;
  agent.onMessage = async (text) => {
    if (text !== 'second' || killed !== undefined) return;
    const [lease] = await db.query<{ holder: string }>('SELECT holder FROM leases WHERE name = $1', [`pending/${id}`]);
    t.ok(lease, 'it holds the lease');
    killed = a;
    // The user goes on straight with the agent, far more than one page of its log, until somebody looks.
    const log = agent.events.get(conversationDashed(id)) ?? [];
    for (let n = 0; n < 250; n += 1) {
      const llm_message = { role: 'user', content: [{ type: 'text', text: `typed meanwhile ${n}` }] };
      const timestamp = `2999-01-01T00:00:00.000${String(n).padStart(3, '0')}`;
      log.push({ id: `typed-${n}`, kind: 'MessageEvent', source: 'user', timestamp, llm_message });
    }
    await Promise.all([a.kill(), b.kill()]);
    b = await start();
  };
  await sleepAndWake(sandboxId, agent, async () => {
    for (const text of wanted) t.equal((await post(a, `/conversations/${id}/pending-messages`, say(text))).status, 201);
  });
  await until('the kill', () => Promise.resolve(killed !== undefined));
  const other = await comeUp(t, unfinished ?? '');
  await until('the other to be up', async () => (await ask(`${b.base}/alive`)).status === 200);
  const done = await reached(b, task.id, 'READY', 90_000);
  t.equal(other.calls.filter(({ line }) => line === 'POST /api/conversations').length, 1, 'the agent was asked once');
  t.ok(other.conversations.has(conversationDashed(done.app_conversation_id ?? '')));
  await until('the rest', async () => (await db.prisma.pendingMessage.count({ where: { target: id } })) === 0, 90_000);
  t.same(textsOf(agent), wanted, 'nothing lost, nothing twice');
});

t.test('an orderly stop hands its starts over at once', async (t) => {
  a = await start();
  const { body: task } = await post<Task>(a, '/app-conversations', {});
  const { sandbox_id } = await reached(b, task.id, 'WAITING_FOR_SANDBOX');
  t.equal(await a.stop(), 0);
  await until('the other to have it', async () => {
    const row = await db.prisma.startTask.findUniqueOrThrow({ where: { id: task.id } });
    return row.worker !== null && row.leaseUntil !== null;
  });
  await comeUp(t, sandbox_id ?? '');
  await reached(b, task.id, 'READY');
});

t.test('a database may be closed as soon as it is open; no statement takes for ever', async (t) => {
  const brief = await openDatabase({ url: databaseUrl, log: quiet() });
  await brief.close();
  const timeout = async (statementMs?: number) => {
    const one = await openDatabase({
      url: databaseUrl,
      log: quiet(),
      ...(statementMs === undefined ? {} : { statementMs }),
    });
    const [row] = await one.query<{ statement_timeout: string }>('SHOW statement_timeout');
    await one.close();
    return row?.statement_timeout;
  };
  t.same([await timeout(), await timeout(0)], ['1min', '0']);
});

t.test('the end', async () => {
  await b.stop();
  await db.close();
  await postgres.stop();
  await endSuite(cluster);
});
