/** Share links: what a holder sees and what not, the ports in the Sandbox, revocation and expiry. */
import t from 'tap';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import { verifyShare } from '../../contracts/tokens.js';
import { systemClock } from '../../process/clock.js';
import { newId, openTestDatabase, operatorHand, SECRET, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';

t.setTimeout(280_000);

const HOUR = 3_600_000;
const cluster = await startCluster();
const db = await openTestDatabase();
const clock = { offset: 0 };
const rig = await startRig(cluster, db, {
  clock: { ...systemClock, now: () => systemClock.now() + clock.offset },
});
const hand = operatorHand(cluster.client, cluster.namespace);

interface Made {
  id: string;
  secret: string;
  link: string;
  ports: (string | number)[];
}

async function conversation(sandboxName: string): Promise<string> {
  const id = newId();
  await db.prisma.conversation.create({
    data: { id, ownerId: 'local', sandboxId: sandboxName, title: 'Shared work', workingDir: '/workspace/project' },
  });
  const kinds = ['SystemPromptEvent', 'MessageEvent', 'ConversationStateUpdateEvent', 'ActionEvent'];
  await db.prisma.event.createMany({
    data: kinds.map((kind, index) => ({
      conversationId: id,
      id: `e${index}`,
      ownerId: 'local',
      kind,
      timestamp: `2026-01-01T00:00:0${index}.000000`,
      body: JSON.stringify({ id: `e${index}`, kind }),
    })),
  });
  return id;
}

async function sandbox(): Promise<string> {
  const name = `share-${newId().slice(0, 8)}`;
  await cluster.client.create(SANDBOX, {
    apiVersion: 'sandlot.dev/v1alpha1',
    kind: 'Sandbox',
    metadata: { name, namespace: cluster.namespace },
    spec: { owner: 'local' },
  });
  await hand.ready(name, { port: 8000 });
  await rig.server.deps.directory.waitFor(name, (found) => found?.status?.slot, AbortSignal.timeout(10_000));
  return name;
}

const spec = async (name: string) =>
  (await cluster.client.get<Sandbox>(SANDBOX, { namespace: cluster.namespace, name })).spec;
const later = (ms = HOUR) => new Date(systemClock.now() + clock.offset + ms).toISOString();
const share = (id: string, body: object) =>
  rig.call<Made>('POST', `/api/v1/app-conversations/${id}/shares`, { expires_at: later(), ...body });
const holds = (secret: string) => ({ 'x-sandlot-share': secret });
const see = (id: string, secret?: string) =>
  rig.call<(Record<string, unknown> | null)[]>(
    'GET',
    `/api/shared-conversations?ids=${id}`,
    undefined,
    secret === undefined ? {} : holds(secret),
  );
const events = (id: string, secret?: string) =>
  rig.call<{ items: { id: string }[] }>(
    'GET',
    `/api/shared-events/search?conversation_id=${id}`,
    undefined,
    secret === undefined ? {} : holds(secret),
  );

const name = await sandbox();
const id = await conversation(name);

t.test('a holder sees the conversation and its events, and nothing that its owner set up', async (t) => {
  const made = await share(id, { name: 'for the team' });
  t.match(made, { status: 200, body: { name: 'for the team', ports: [], link: `/shared/conversations/${id}#` } });
  const { secret } = made.body;
  const stored = await db.prisma.share.findUniqueOrThrow({ where: { id: made.body.id } });
  t.notMatch(JSON.stringify(stored), new RegExp(secret), 'the secret is not stored');
  const seen = await see(id, secret);
  t.match(seen.body[0], { id, title: 'Shared work', sandbox_status: 'RUNNING', share: { ports: [] } });
  t.notMatch(seen.text, /session_api_key|conversation_url|workingDir|\/workspace/);
  t.same(
    (await events(id, secret)).body.items.map((event) => event.id),
    ['e1', 'e3'],
  );
  const ask = (path: string) => rig.call<unknown>('GET', path, undefined, holds(secret));
  t.equal((await ask(`/api/shared-events/count?conversation_id=${id}`)).body, 2);
  t.match((await ask(`/api/shared-events?conversation_id=${id}&id=e1&id=e0`)).body, [{ id: 'e1' }, null]);
  t.match((await ask(`/api/shared-events/${id}/e3`)).body, { id: 'e3' });
  t.equal((await ask(`/api/shared-events/${id}/e2`)).body, null);
  t.same((await spec(name)).shares ?? [], [], 'the sandbox hears of shares with ports only');
  const listed = await rig.call<{ items: Made[] }>('GET', `/api/v1/app-conversations/${id}/shares`);
  t.match(listed.body.items, [{ id: made.body.id, last_used_at: String }]);
  t.notMatch(listed.text, new RegExp(secret));
});

t.test('without a good secret, or with that of another conversation, there is nothing', async (t) => {
  const other = await conversation(name);
  const { secret } = (await share(other, {})).body;
  for (const shown of [undefined, '', 'x', secret, newId()]) {
    t.same((await see(id, shown)).body, [null]);
    t.same((await events(id, shown)).body, { items: [], next_page_id: null });
  }
  t.same((await see('nonsense', secret)).body, [null]);
});

t.test('ports: in the sandbox while the share stands, with a pass for those that it names', async (t) => {
  const made = await share(id, { ports: [3000, 'worker-1', 8012] });
  t.same(made.body.ports, [3000, 'worker-1', 'worker-2'], 'a number that has a name is kept by its name');
  const { secret, id: shareId } = made.body;
  t.match((await spec(name)).shares, [{ id: shareId, ports: [3000, 'worker-1', 'worker-2'] }]);
  const enter = (port: string | number, shown = secret, of = id) =>
    rig.call<{ url: string }>('POST', `/api/shared-conversations/${of}/entry`, { port }, holds(shown));
  const entered = await enter(3000);
  t.equal(entered.status, 200);
  const url = new URL(entered.body.url);
  t.match(url.host, /^3000-/);
  t.match(verifyShare(SECRET, url.searchParams.get('pass') ?? '', 'share', systemClock.now()), { share: shareId });
  for (const port of [3001, 'agent', 'vscode']) t.equal((await enter(port)).status, 404, String(port));
  t.equal((await enter(3000, 'wrong')).status, 404);
  t.equal((await share(id, { ports: [8000] })).status, 400, 'the agent server is never shared');
  t.equal((await share(id, { ports: ['agent'] })).status, 422);
  const second = await share(id, { ports: [4000] });
  t.equal((await spec(name)).shares?.length, 2);

  const revoked = await rig.call('DELETE', `/api/v1/app-conversations/${id}/shares/${shareId}`);
  t.equal(revoked.status, 200);
  t.match((await spec(name)).shares, [{ id: second.body.id }]);
  t.same((await see(id, secret)).body, [null]);
  t.equal((await enter(3000)).status, 404);
  t.equal((await rig.call('DELETE', `/api/v1/app-conversations/${id}/shares/${shareId}`)).status, 404);
});

t.test('several made and revoked at once: the sandbox has those that stand', async (t) => {
  const own = await sandbox();
  const of = await conversation(own);
  const made = await Promise.all([1, 2, 3, 4, 5, 6].map((port) => share(of, { ports: [port] })));
  const gone = made.slice(0, 3).map(({ body }) => body.id);
  await Promise.all([
    ...gone.map((one) => rig.call('DELETE', `/api/v1/app-conversations/${of}/shares/${one}`)),
    share(of, { ports: [7] }),
  ]);
  const ports = ((await spec(own)).shares ?? []).flatMap((one) => one.ports ?? []).sort();
  t.same(ports, [4, 5, 6, 7]);
});

t.test('the end of a share by its time, limits, and a conversation that is deleted', async (t) => {
  const own = await sandbox();
  const of = await conversation(own);
  t.equal((await share(of, { expires_at: later(-1000) })).status, 400);
  t.equal((await share(of, { expires_at: later(400 * 24 * HOUR) })).status, 400);
  t.equal((await share(of, { expires_at: 'soon' })).status, 422);
  const { secret } = (await share(of, { ports: [3000] })).body;
  t.match((await see(of, secret)).body, [{ id: of }]);
  clock.offset = 2 * HOUR;
  t.same((await see(of, secret)).body, [null]);
  t.same((await rig.call('GET', `/api/v1/app-conversations/${of}/shares`)).body, { items: [] });
  const many = await db.prisma.share.createMany({
    data: Array.from({ length: 32 }, () => ({
      id: newId(),
      ownerId: 'local',
      conversationId: of,
      hash: newId(),
      ports: [],
      expiresAt: new Date(later()),
    })),
  });
  t.equal(many.count, 32);
  t.equal((await share(of, {})).status, 409);
  const fresh = await conversation(own);
  t.equal((await share(fresh, {})).status, 409, 'counted for the sandbox');
  t.equal((await rig.call('DELETE', `/api/v1/app-conversations/${of}`)).status, 200);
  t.equal(await db.prisma.share.count({ where: { conversationId: of } }), 0);
  const last = (await share(fresh, { ports: [3000] })).body;
  t.match((await spec(own)).shares, [{ id: last.id }], 'what was over is gone from the sandbox too');
  clock.offset = 0;
});

t.test('a public conversation is read without a secret, and opens no ports', async (t) => {
  const of = await conversation(name);
  t.same((await see(of)).body, [null]);
  await rig.call('PATCH', `/api/v1/app-conversations/${of}`, { public: true });
  t.match((await see(of)).body, [{ id: of, share: null }]);
  t.equal((await events(of)).body.items.length, 2);
  t.equal((await rig.call('POST', `/api/shared-conversations/${of}/entry`, { port: 3000 })).status, 404);
  await db.prisma.user.update({ where: { id: 'local' }, data: { disabledAt: new Date() } });
  t.same((await see(of)).body, [null], 'not when its owner is disabled');
  await db.prisma.user.update({ where: { id: 'local' }, data: { disabledAt: null } });
  await rig.call('PATCH', `/api/v1/app-conversations/${of}`, { public: false });
  t.same((await see(of)).body, [null]);
});

t.test('the end', async () => {
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
