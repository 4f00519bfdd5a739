/** Starts, events and sandboxes against a real Kubernetes API and a real database; only the agent server is a stand-in. */
import t from 'tap';
import { conversationDashed } from '../../contracts/names.js';
import { sessionKey } from '../../contracts/keys.js';
import { SANDBOX } from '../../contracts/resources.js';
import { KubeError, type KubeClient } from '../../kube/client.js';
import { newId, openTestDatabase, operatorHand, SECRET, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startFakeAgent } from '../support/fake-agent.js';
import { say, startsOf, V1, type Page, type Task } from '../support/starts.js';
import { until } from '../support/stack.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const hand = operatorHand(cluster.client, cluster.namespace);
const { comeUp, taskOf, ended, conversationOf, named, converse } = startsOf(hand);

function event(id: string, second: number, more: object = {}) {
  return {
    id,
    kind: 'MessageEvent',
    source: 'agent',
    timestamp: `2026-05-01T09:00:${String(second).padStart(2, '0')}.000001`,
    ...more,
  };
}

t.test('a start: sandbox, workspace, agent, conversation', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  await rig.call('POST', `${V1}/settings`, { agent_settings_diff: { llm: { model: 'openai/m', api_key: 'sk-1' } } });
  await rig.call('POST', `${V1}/settings/profiles/small`, { llm: { model: 'openai/s', api_key: 'sk-2' } });
  await rig.call('POST', `${V1}/settings`, { max_budget_per_task: 5 });
  await rig.call('POST', `${V1}/secrets`, { name: 'TOKEN', value: 'hush' });

  const { status, body: task } = await rig.call<Task>('POST', `${V1}/app-conversations`, {
    initial_message: { ...say('do it'), run: true },
    title: 'Mine',
    secrets: { OWN: 'quiet' },
  });
  t.match(
    [status, task],
    [200, { status: 'WORKING', app_conversation_id: null, detail: null, request: { secrets: { OWN: '**********' } } }],
  );
  const sandboxId = await named(rig, task);
  const sandbox = await until('the sandbox', () => hand.get(sandboxId));
  t.match(sandbox.spec, { owner: 'local', runState: 'Running' });
  await hand.status(sandboxId, {
    phase: 'Pending',
    slot: 'saaaaaaaaaaaaa',
    conditions: [condition('PodScheduled', 'no node has room')],
  });
  await until('the note on progress', async () => (await taskOf(rig, task.id)).detail === 'no node has room');
  t.match(await rig.call('GET', `${V1}/sandboxes/${sandboxId}/progress`), {
    body: { phase: 'Pending', conditions: [{ type: 'PodScheduled' }] },
  });

  const agent = await comeUp(sandboxId);
  t.teardown(() => agent.close());
  const done = await ended(rig, task.id);
  t.match(done, { status: 'READY', detail: null, sandbox_id: sandboxId });
  const id = done.app_conversation_id ?? '';
  const sent = agent.conversations.get(conversationDashed(id));
  t.match(sent, {
    agent: { llm: { model: 'openai/m', api_key: 'sk-1' } },
    workspace: { working_dir: '/workspace/project' },
    max_budget_per_run: 5,
    initial_message: { run: true },
    secrets: { TOKEN: { value: 'hush' }, OWN: { value: 'quiet' } },
  });
  const told = (path: string) => agent.calls.find(({ line }) => line.startsWith(`POST ${path}`))?.body;
  t.match(told('/api/profiles/small'), { llm: { model: 'openai/s', api_key: 'sk-2' } });
  await rig.call('POST', `${V1}/app-conversations/${id}/switch_profile`, { profile_name: 'small' });
  t.match(told(`/api/conversations/${conversationDashed(id)}/switch_llm`), {
    llm: { model: 'openai/s', api_key: 'sk-2', usage_id: 'profile:small' },
  });
  t.match(await conversationOf(rig, id), {
    title: 'Mine',
    sandbox_status: 'RUNNING',
    execution_status: 'idle',
    session_api_key: agent.key,
    metrics: { accumulated_cost: 0.5 },
  });
  const row = await db.prisma.startTask.findUnique({ where: { id: task.id } });
  t.notMatch(JSON.stringify(row), 'quiet', 'the secret is not readable in the database');
});

const condition = (type: string, message: string) => ({
  type,
  status: 'False' as const,
  reason: 'Waiting',
  message,
  lastTransitionTime: '2026-05-01T09:00:00Z',
});

t.test('starts that fail say why, and leave nothing', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  const begin = async (body: object) => (await rig.call<Task>('POST', `${V1}/app-conversations`, body)).body;

  const unpulled = await begin({});
  const name = await named(rig, unpulled);
  await until('the sandbox', () => hand.get(name));
  const ready = { ...condition('Ready', 'the image cannot be pulled'), reason: 'ImagePull' };
  await hand.status(name, { phase: 'Failed', conditions: [ready] });
  t.match(await ended(rig, unpulled.id), { status: 'ERROR', detail: /image cannot be pulled/ });
  await until('the sandbox to go', () =>
    hand.get(name).then(
      () => false,
      (error: unknown) => error instanceof KubeError && error.code === 404,
    ),
  );

  const unclonable = await begin({ selected_repository: 'owner/none', selected_branch: 'dev' });
  const agent = await startFakeAgent('');
  t.teardown(() => agent.close());
  agent.bash = () => ({ exit_code: 128, stdout: 'fatal: repository not found' });
  const second = await named(rig, unclonable);
  await until('the sandbox', () => hand.get(second));
  await hand.ready(second, agent);
  const { detail } = await ended(rig, unclonable.id);
  t.match(detail, /clone owner\/none \(branch dev\).*repository not found/);
  t.notMatch(detail, /127\.0\.0\.1/, 'no inner address');

  const refused = await converse(rig).then(async ({ agent: first, id }) => {
    t.teardown(() => first.close());
    return id;
  });
  t.equal(
    (await rig.call('POST', `${V1}/app-conversations`, { conversation_id: refused })).status,
    409,
    'an id is used once',
  );
  t.match(await ended(rig, (await begin({ sandbox_id: 'none-of-mine' })).id), {
    status: 'ERROR',
    detail: /no sandbox none-of-mine/,
  });
});

t.test('a start goes on in the next process, and does nothing twice', async (t) => {
  const first = await startRig(cluster, db);
  const { body: task } = await first.call<Task>('POST', `${V1}/app-conversations`, { initial_message: say('once') });
  const name = await named(first, task);
  await until('the sandbox', () => hand.get(name));
  await first.stop();
  t.match((await db.prisma.startTask.findUnique({ where: { id: task.id } }))?.status, /WORKING|WAITING_FOR_SANDBOX/);

  const second = await startRig(cluster, db);
  t.teardown(() => second.stop());
  const agent = await startFakeAgent('');
  t.teardown(() => agent.close());
  // The pod answers late and badly at first: worth another try, not an error.
  agent.failNext('POST /api/conversations', 503, 2);
  await hand.ready(name, agent);
  t.match(await ended(second, task.id), { status: 'READY' });
  const creates = agent.calls.filter(({ line }) => line === 'POST /api/conversations');
  t.equal(creates.length, 3, 'two refusals and one success');
  t.equal(new Set(creates.map(({ body }) => JSON.stringify(body))).size, 1, 'always the same');
});

t.test('a cluster that is away for a moment fails no start', async (t) => {
  let refusals = 2;
  const client: KubeClient = {
    ...cluster.client,
    create: (kind, object, options) => {
      refusals -= 1;
      if (refusals >= 0) return Promise.reject(new KubeError('cut', { code: 0, reason: 'ConnectionFailed' }));
      return cluster.client.create(kind, object, options);
    },
  };
  const rig = await startRig(cluster, db, { client });
  t.teardown(() => rig.stop());
  const { agent } = await converse(rig);
  t.teardown(() => agent.close());
  t.ok(refusals < 0);
});

t.test('stream-start gives every state once', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  const id = newId();
  const streamed = rig.call<Task[]>('POST', `${V1}/app-conversations/stream-start`, { conversation_id: id });
  const agent = await comeUp(id);
  t.teardown(() => agent.close());
  const states = (await streamed).body.map(({ status }) => status);
  t.same(states, [
    'WORKING',
    'WAITING_FOR_SANDBOX',
    'PREPARING_REPOSITORY',
    'RUNNING_SETUP_SCRIPT',
    'SETTING_UP_GIT_HOOKS',
    'SETTING_UP_SKILLS',
    'STARTING_CONVERSATION',
    'READY',
  ]);
});

t.test('events: once each, in order, only of the own sandbox', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  const { id, sandboxId, agent } = await converse(rig);
  const other = await converse(rig);
  t.teardown(() => Promise.all([agent.close(), other.agent.close()]));
  const post = (events: unknown, key = agent.key) =>
    rig.call('POST', `${V1}/webhooks/events/${id}`, events, { 'x-session-api-key': key });
  const history = async (query = '') =>
    (await rig.call<Page<{ id: string }>>('GET', `${V1}/conversation/${id}/events/search${query}`)).body;

  t.equal((await post([event('b', 2, { nul: 'a\u0000b' })])).status, 200);
  t.equal((await post([event('a', 1), event('b', 2)])).status, 200, 'late and repeated');
  t.same(
    (await history()).items.map((one) => one.id),
    ['a', 'b'],
  );
  t.equal(
    (await history()).items.length,
    (await rig.call('GET', `${V1}/conversation/${id}/events/count`)).body as never,
  );
  t.match(
    (await history('?limit=1&sort_order=TIMESTAMP_DESC')).items[0],
    { id: 'b', nul: 'a\u0000b' },
    'kept as it came',
  );
  const first = await history('?limit=1');
  t.same(
    (await history(`?limit=1&page_id=${first.next_page_id ?? ''}`)).items.map((one) => one.id),
    ['b'],
  );
  t.same(
    (await history('?timestamp__gte=2026-05-01T09:00:02Z')).items.map((one) => one.id),
    ['b'],
  );
  t.match((await rig.call('GET', `${V1}/conversation/${id}/events?id=a&id=none`)).body, [{ id: 'a' }, null]);

  t.equal((await post([event('c', 3)], 'wrong')).status, 401);
  t.equal((await post([event('c', 3)], other.agent.key)).status, 200, 'a stranger is told nothing');
  t.equal((await history()).items.length, 2, 'and changes nothing');
  for (const wrong of [{ kind: 'X' }, event('\0', 4), event('d', 4, { kind: '\0' })]) t.equal((await post([wrong])).status, 422); // prettier-ignore
  const tell = (found: object) =>
    rig.call('POST', `${V1}/webhooks/conversations`, { id: newId(), ...found }, { 'x-session-api-key': agent.key });
  await tell({ id: conversationDashed(id), execution_status: 'finished', title: 'By the agent' });
  agent.status = 'running';
  t.match(
    await until('the live state', async () => {
      const seen = await conversationOf(rig, id);
      return seen?.execution_status === 'running' ? seen : undefined;
    }),
    { title: 'By the agent' },
    'the agent itself knows best what it does',
  );

  const { tags: _, metrics: __, ...row } = await db.prisma.conversation.findUniqueOrThrow({ where: { id } });
  await db.prisma.conversation.createMany({ data: Array.from({ length: 97 }, () => ({ ...row, id: newId() })) });
  for (const found of [{ title: '\0', workspace: { working_dir: '/\0' } }, {}, {}]) await tell(found);
  t.equal(await db.prisma.conversation.count({ where: { sandboxId } }), 100, 'a sandbox cannot fill the list');
  await db.prisma.conversation.deleteMany({ where: { sandboxId, id: { not: id } } });
  // A pod that died with events in its buffer: they are fetched when it is back.
  agent.events.set(conversationDashed(id), [event('a', 1), event('b', 2), event('\0', 3), event('lost', 3)]);
  await hand.status(sandboxId, { conditions: [condition('Ready', 'pod lost')] });
  await until('it to be seen', async () => (await conversationOf(rig, id))?.sandbox_status === 'STARTING');
  await hand.ready(sandboxId, agent, 2);
  await until('the lost event', async () => (await history()).items.length === 3);
  t.same(
    (await history()).items.map((one) => one.id),
    ['a', 'b', 'lost'],
  );
});

t.test('pause, resume, waiting messages, delete', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  const { id, sandboxId, agent } = await converse(rig);
  t.teardown(() => agent.close());
  const pending = (target: string, text: string) =>
    rig.call('POST', `${V1}/conversations/${target}/pending-messages`, say(text));
  await rig.call('POST', `${V1}/webhooks/events/${id}`, [event('a', 1)], { 'x-session-api-key': agent.key });

  const pause = rig.call('POST', `${V1}/sandboxes/${sandboxId}/pause`, {});
  await until('the wish to pause', async () => (await hand.get(sandboxId)).spec.runState === 'Paused');
  t.match((await conversationOf(rig, id))?.sandbox_status, 'STARTING', 'not paused before the pod is gone');
  await hand.status(sandboxId, { phase: 'Paused', conditions: [condition('Ready', 'paused')] });
  t.match(await pause, { status: 200, body: { success: true } });
  t.match(await conversationOf(rig, id), {
    sandbox_status: 'PAUSED',
    conversation_url: null,
    session_api_key: null,
    execution_status: null,
  });
  t.equal(
    (await rig.call<Page<unknown>>('GET', `${V1}/conversation/${id}/events/search`)).body.items.length,
    1,
    'history stays readable',
  );
  t.match(await rig.call('POST', `${V1}/app-conversations/${id}/send-message`, say('x')), {
    status: 409,
    body: { detail: /PAUSED/ },
  });
  t.match(await rig.call('GET', `${V1}/app-conversations/${id}/download`), {
    status: 200,
    headers: { 'content-type': 'application/zip' },
  });

  t.match(await pending(id, 'first'), { status: 201, body: { queued: true, position: 1 } });
  t.match(await pending(id, 'second'), { status: 201, body: { position: 2 } });
  await rig.call('POST', `${V1}/sandboxes/${sandboxId}/resume`, {});
  t.equal((await hand.get(sandboxId)).spec.runState, 'Running');
  await hand.ready(sandboxId, agent, 2);
  const delivered = () =>
    agent.calls
      .filter(({ line }) => line.endsWith('/events') && line.startsWith('POST'))
      .map(({ body }) => (body as { content: { text: string }[] }).content[0]?.text);
  await until('both messages', () => Promise.resolve(delivered().length === 2));
  t.same(delivered(), ['first', 'second'], 'in order');
  t.match(
    await conversationOf(rig, id),
    { session_api_key: sessionKey(SECRET, (await hand.get(sandboxId)).status?.slot ?? '', 2) },
    'a new key',
  );

  t.match(await rig.call('POST', `${V1}/sandboxes/${sandboxId}/entry`, { port: 3000, path: '/x' }), {
    body: { url: /^http:\/\/3000-s[a-z2-7]{13}\.sandbox\.localhost:3001\/_sandlot\/enter\?pass=.*&to=%2Fx$/ },
  });
  t.equal(
    (await rig.call('POST', `${V1}/sandboxes/${sandboxId}/entry`, { port: 'agent', path: '//evil' })).status,
    422,
  );

  t.match(await rig.call('DELETE', `${V1}/app-conversations/${id}`), { status: 200, body: { success: true } });
  t.equal(
    (await cluster.client.list(SANDBOX, { namespace: cluster.namespace, fieldSelector: `metadata.name=${sandboxId}` }))
      .items.length,
    0,
  );
  t.equal(await conversationOf(rig, id), null);
  t.equal(await db.prisma.event.count({ where: { conversationId: id } }), 0);
  t.equal(await db.prisma.startTask.count({ where: { conversationId: id } }), 0);
  t.match(await rig.call('DELETE', `${V1}/app-conversations/${id}`), {
    status: 404,
    body: { detail: 'Conversation not found' },
  });
});

t.test('a delete in the middle of a start leaves nothing', async (t) => {
  const rig = await startRig(cluster, db);
  t.teardown(() => rig.stop());
  const { id, agent } = await converse(rig);
  t.teardown(() => agent.close());
  t.equal((await rig.call('DELETE', `${V1}/app-conversations/${id}`)).status, 200);
  const late = await rig.call('POST', `${V1}/webhooks/events/${id}`, [event('z', 9)], {
    'x-session-api-key': agent.key,
  });
  t.match([200, 401].includes(late.status), true);
  t.equal(await db.prisma.event.count({ where: { conversationId: id } }), 0, 'late reports do not bring it back');
});

t.test('the end', () => db.close().then(() => endSuite(cluster)));
