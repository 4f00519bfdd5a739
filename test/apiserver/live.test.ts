/** The start of a conversation, told by WebSocket, against a real Kubernetes API and a real database. */
import t from 'tap';
import type { WebSocket } from 'ws';
import { openTestDatabase, operatorHand, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startFakeAgent } from '../support/fake-agent.js';
import { until } from '../support/stack.js';

interface Frame {
  task: { id: string; status: string; sandbox_id: string | null; app_conversation_id: string | null };
  progress: { phase: string; conditions: { type: string; message: string }[] } | null;
}

const V1 = '/api/v1';
const HEADERS = { host: 'localhost:3000' };
const cluster = await startCluster();
const db = await openTestDatabase();
const hand = operatorHand(cluster.client, cluster.namespace);

function follow(socket: WebSocket) {
  const frames: Frame[] = [];
  socket.on('message', (data) => frames.push(JSON.parse(String(data)) as Frame));
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  return { frames, closed };
}

t.test('a start is told as it happens', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  const { app } = rig.server;
  await app.ready();
  const open = (id: string, headers = {}) =>
    app.injectWS(`${V1}/app-conversations/start-tasks/${id}/live`, { headers: { ...HEADERS, ...headers } });

  const { body: task } = await rig.call<{ id: string }>('POST', `${V1}/app-conversations`, {});
  const { frames, closed } = follow(await open(task.id));
  const name = await until('the sandbox id', () => Promise.resolve(frames.at(-1)?.task.sandbox_id ?? undefined));
  await until('the sandbox', () => hand.get(name));
  const waiting = {
    type: 'PodScheduled',
    status: 'False' as const,
    reason: 'Unschedulable',
    message: 'no node has room',
  };
  const conditions = [{ ...waiting, lastTransitionTime: '2026-05-01T09:00:00Z' }];
  await hand.status(name, { phase: 'Pending', slot: 'saaaaaaaaaaaaa', conditions });
  await until('the reason', () =>
    Promise.resolve(frames.some((frame) => frame.progress?.conditions[0]?.message === 'no node has room')),
  );

  const agent = await startFakeAgent('');
  t.teardown(() => agent.close());
  await hand.ready(name, agent);
  t.equal(await closed, 1000, 'it ends with the start');
  t.match(frames.at(-1), { task: { id: task.id, status: 'READY' } });
  t.ok(frames.at(-1)?.task.app_conversation_id);
  const said = frames.map((frame) => JSON.stringify(frame));
  t.equal(new Set(said).size, said.length, 'only changes are told');

  await t.test('one that has ended is told once', async (t) => {
    const again = follow(await open(task.id));
    t.equal(await again.closed, 1000);
    t.same(
      again.frames.map((frame) => frame.task.status),
      ['READY'],
    );
  });
  await t.test('unknown tasks are refused', async (t) => {
    for (const id of ['0'.repeat(32), 'nonsense']) t.equal(await follow(await open(id)).closed, 4404, id);
  });
  await t.test('another site cannot listen', async (t) => {
    await t.rejects(open(task.id, { origin: 'https://evil.example' }), /403/);
    await t.rejects(open(task.id, { host: 'evil.example' }), /403/);
  });
});

t.test('the end', () => db.close().then(() => endSuite(cluster)));
