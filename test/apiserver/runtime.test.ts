/** The Runtime API in the order in which OpenHands' remote sandbox client calls it, on a real Kubernetes API; a hand plays the operator. */
import t from 'tap';
import { sandboxNameOf } from '../../apiserver/runtime/request.js';
import type { Runtime } from '../../apiserver/runtime/view.js';
import { KubeError } from '../../kube/client.js';
import { openTestDatabase, operatorHand, startRig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startFakeAgent } from '../support/fake-agent.js';
import { until } from '../support/stack.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const hand = operatorHand(cluster.client, cluster.namespace);
const rig = await startRig(cluster, db, {});
const agent = await startFakeAgent('');
const KEY = { 'x-api-key': 'sk-test' };
const call = <T = Runtime>(method: string, path: string, body?: unknown) => rig.call<T>(method, path, body, KEY);

const SESSION = '7n42DGM5Tflk9n8mt7Fhc7';
const START = {
  image: 'ghcr.io/openhands/agent-server:1.34.0-python',
  command: ['/usr/local/bin/openhands-agent-server', '--port', '60000'],
  working_dir: '/workspace',
  environment: { OH_WEBHOOKS_0_BASE_URL: 'https://app.example.org/api/v1/webhooks', WORKER_1: '12000' },
  session_id: SESSION,
  resource_factor: 2,
  run_as_user: 10001,
  run_as_group: 10001,
  fs_group: 10001,
};
const name = sandboxNameOf('local', SESSION);
const running = async () => (await call<{ runtimes: Runtime[] }>('GET', '/list')).body.runtimes;

t.test('without a key: refused, whatever is asked', async (t) => {
  for (const [method, path] of [
    ['GET', '/list'],
    ['POST', '/start'],
    ['GET', '/sessions/x'],
    ['POST', '/build'],
  ] as const)
    // prettier-ignore
    t.match(await rig.call(method, path), { status: 401, body: { detail: /X-API-Key/ } }, path);
});

t.test('start, again, and what is there', async (t) => {
  t.same(await running(), []);
  t.equal((await call('GET', `/sessions/${SESSION}`)).status, 404);
  const starting = call('POST', '/start', START);
  const sandbox = await until('the sandbox', () => hand.get(name));
  t.match(sandbox, {
    metadata: { annotations: { 'sandlot.dev/session-id': SESSION } },
    spec: {
      owner: 'local',
      image: START.image,
      workingDir: '/workspace',
      resourceFactor: 2,
      ports: [
        { name: 'agent', port: 60000 },
        { name: 'worker-1', port: 12000 },
      ],
    },
  });
  const key = await hand.ready(name, agent);
  const { status, body: started } = await starting;
  t.match(
    [status, started],
    [200, { session_id: SESSION, session_api_key: key, url: /^http:\/\/s[a-z2-7]{13}\.sandbox/ }],
  );
  t.match(await call('GET', `/sessions/${SESSION}`), { status: 200, body: { status: 'running', pod_status: 'ready' } });
  t.match(await call('POST', '/start', START), { status: 200, body: { runtime_id: started.runtime_id } }, 'once');
  t.match(await running(), [{ session_id: SESSION, session_api_key: key, status: 'running' }]);
  const batch = await call<Runtime[]>('GET', `/sessions/batch?ids=${SESSION}&ids=none&ids=${SESSION}`);
  t.match(batch.body, [{ session_id: SESSION }]);
  t.equal(batch.body.length, 1, 'unknown ids are left out');
  t.match(await call('GET', `/runtime/${started.runtime_id}`), { body: { session_id: SESSION } });
  // Sandboxes of Sandlot's own conversations are none of a runtime's caller's.
  const { body: own } = await rig.call<{ id: string }>('POST', '/api/v1/sandboxes');
  t.equal((await running()).length, 1);
  t.equal((await call('POST', '/stop', { runtime_id: own.id })).status, 404);
});

t.test('pause and resume: a new key, the same place', async (t) => {
  const { body: before } = await call('GET', `/sessions/${SESSION}`);
  const pausing = call('POST', '/pause', { runtime_id: before.runtime_id });
  await until('the wish to pause', async () => (await hand.get(name)).spec.runState === 'Paused');
  t.match(await call('GET', `/sessions/${SESSION}`), { body: { status: 'paused' } });
  await hand.status(name, { phase: 'Paused', conditions: [] });
  t.match(await pausing, { status: 200, body: { status: 'paused' } });
  t.same(await running(), [], 'a paused one counts against nobody');
  t.equal((await call('POST', '/pause', { runtime_id: before.runtime_id })).status, 200, 'twice');

  const resuming = call('POST', '/resume', { runtime_id: before.runtime_id });
  await until('the wish to run', async () => (await hand.get(name)).spec.runState === 'Running');
  const key = await hand.ready(name, agent, 2);
  const { body: after } = await resuming;
  t.match(after, { runtime_id: before.runtime_id, url: before.url, session_api_key: key });
  t.not(after.session_api_key, before.session_api_key);
});

t.test('stop: gone at once, and started afresh under the same id', async (t) => {
  const { body: before } = await call('GET', `/sessions/${SESSION}`);
  t.match(await call('POST', '/stop', { runtime_id: before.runtime_id }), { status: 200, body: { status: 'stopped' } });
  t.equal((await call('GET', `/sessions/${SESSION}`)).status, 404);
  t.equal((await call('POST', '/stop', { runtime_id: before.runtime_id })).status, 404);
  const again = call('POST', '/start', START);
  await until('the new sandbox', () => hand.get(name));
  await hand.ready(name, agent);
  t.match(await again, { status: 200, body: { session_id: SESSION } });
  t.not((await again).body.runtime_id, before.runtime_id, 'another sandbox');
});

t.test('what cannot be: said with a status and nothing left behind', async (t) => {
  const session = 'limited/Ü 1';
  const limited = sandboxNameOf('local', session);
  const starting = call('POST', '/start', { ...START, session_id: session });
  await until('the sandbox', () => hand.get(limited));
  const lastTransitionTime = '2026-05-01T09:00:00Z';
  const reason = { type: 'Ready', status: 'False' as const, reason: 'OwnerLimitReached', message: 'the owner has 10 sandboxes', lastTransitionTime }; // prettier-ignore
  await hand.status(limited, { phase: 'Pending', conditions: [reason] });
  const answer = await starting;
  t.match(answer, { status: 429, body: { detail: 'the owner has 10 sandboxes' } });
  t.ok(answer.headers['retry-after']);
  await until('it to go', () => hand.get(limited).then(() => false, (error: unknown) => error instanceof KubeError)); // prettier-ignore
  for (const wrong of [{ image: '' }, { command: 7 }, { session_id: null }, { run_as_user: 0 }])
    t.equal((await call('POST', '/start', { ...START, ...wrong })).status, 422, JSON.stringify(wrong));
  t.equal((await call('POST', '/resume', { runtime_id: 'none' })).status, 404);
  t.equal((await call('POST', '/pause', {})).status, 422);
  t.match(await call('GET', '/registry_prefix'), { status: 404, body: { detail: /SANDLOT_RUNTIME_REGISTRY/ } });
  t.match((await call('GET', '/image_exists?image=ghcr.io/a/b:1')).body, { exists: false });
  t.match(await call('POST', '/build'), { status: 501 });
  t.same((await call('GET', '/api/warm-runtime-configs')).body, { configs: [] });
});

t.test('the end', async () => {
  await agent.close();
  await rig.stop();
  await db.close();
  await endSuite(cluster);
});
