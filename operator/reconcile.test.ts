/** The operator against a Kubernetes API: lifecycle, pools and claims. */
import t from 'tap';
import { sessionKey } from '../contracts/keys.js';
import { ANNOTATION, LABEL } from '../contracts/labels.js';
import { slotOfSandbox } from '../contracts/names.js';
import {
  conditionOf,
  isReady,
  SANDBOX,
  SANDBOX_POOL,
  SANDBOX_TEMPLATE,
  type Sandbox,
  type SandboxPool,
} from '../contracts/resources.js';
import type { Kind } from '../kube/types.js';
import { EVENT, POD, PVC, SECRET, SERVICE, RESOURCE_QUOTA, type Pod } from '../kube/kinds.js';
import { startCluster } from '../test/support/cluster.js';
import { serviceName } from './build/service.js';
import { running } from './testing/kubelet.js';
import { secret, startScene, type Scene } from './testing/scene.js';
import { until } from './testing/until.js';

const keyOfPod = (pod: Pod) => Number(pod.metadata.annotations?.[ANNOTATION.keyEpoch]);
t.setTimeout(300_000);

const reasonOf = (sandbox: Sandbox, type: string) => conditionOf(sandbox, type)?.reason;

await t.test('the operator on a Kubernetes API', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  t.teardown(() => cluster.stop());
  const staged = async (t: { teardown(run: () => Promise<void>): void }): Promise<Scene> => {
    const one = await startScene(cluster);
    t.teardown(() => one.close());
    return one;
  };

  await t.test('cold: from a Sandbox to Ready, pause, resume with new keys, delete', async (t) => {
    const s = await staged(t);
    s.kubelet.hold(true);
    const { metadata } = await s.sandbox('one', { owner: 'u1' });
    const starting = await s.when('a pod', 'one', ({ status }) => status?.podUID !== undefined);
    const slot = slotOfSandbox(metadata.uid ?? '');
    t.match(starting.status, { phase: 'Starting', slot, keyEpoch: 1, observedGeneration: 1 });
    t.equal(reasonOf(starting, 'PodScheduled'), 'SchedulingPending');
    const [pod] = await s.pods();
    t.match(pod, { metadata: { name: slot, labels: { [LABEL.sandbox]: 'one', [LABEL.slot]: slot } } });
    t.ok(await client.get(SERVICE, { namespace: s.namespace, name: serviceName(slot) }));
    s.kubelet.hold(false);
    await s.kubelet.patch(slot, { message: 'wake up' });
    const ready = await s.ready('one');
    t.match(ready.status, { phase: 'Running', podIP: '127.0.0.1', nodeName: 'test-node' });
    // Not constants: the one-machine cluster hands out numbers, since its pods share the machine's ports.
    const ports = (await s.pods())[0]?.spec.containers[0]?.ports?.map(({ name, containerPort: port }) => ({
      name,
      port,
    }));
    t.same(ready.status?.ports, ports);
    t.same(
      ports?.map(({ name: port }) => port),
      ['agent', 'vscode', 'worker-1', 'worker-2'],
    );
    const keys = async () =>
      Buffer.from(
        (await client.get(SECRET, { namespace: s.namespace, name: `${slot}-keys` })).data?.OH_SESSION_API_KEYS_0 ?? '',
        'base64',
      ).toString();
    t.equal(await keys(), sessionKey(secret, slot, 1));

    await s.patch('one', { runState: 'Paused' });
    const paused = await s.when('paused', 'one', ({ status }) => status?.phase === 'Paused');
    t.equal(paused.status?.podIP, undefined);
    t.equal(reasonOf(paused, 'Paused'), 'Requested');
    t.same(await s.pods(), []);
    t.ok(await client.get(PVC, { namespace: s.namespace, name: `${slot}-workspace` }), 'the workspace is kept');

    await s.patch('one', { runState: 'Running' });
    const resumed = await s.ready('one');
    t.match(resumed.status, { slot, keyEpoch: 2, restartCount: undefined, pausedAt: undefined });
    t.equal(await keys(), sessionKey(secret, slot, 2));
    t.same((await s.pods()).map(keyOfPod), [2]);

    await client.delete(SANDBOX, { namespace: s.namespace, name: 'one' });
    // Without a controller manager nobody collects garbage; with owners on everything, one would.
    for (const kind of [POD, SECRET, PVC] as Kind[])
      for (const { metadata: child } of (await client.list(kind, { namespace: s.namespace, labelSelector: LABEL.slot }))
        .items)
        t.equal(child.ownerReferences?.[0]?.uid, metadata.uid, `${kind.kind} goes with its Sandbox`);
  });

  await t.test(
    'a lost pod comes back on the same workspace, until the budget is spent; a change of the spec starts anew',
    async (t) => {
      const s = await staged(t);
      await s.sandbox('one');
      const { status } = await s.ready('one');
      const name = status?.slot ?? '';
      await s.kubelet.fail(name, { reason: 'Evicted', message: 'the node was low on memory' });
      const back = await s.when('a new pod', 'one', (one) => isReady(one) && one.status?.podUID !== status?.podUID);
      t.match(back.status, { slot: name, keyEpoch: 1, restartCount: 1, consecutiveFailures: 1 });
      for (const lost of [2, 3]) {
        await s.kubelet.fail(name, { reason: 'Evicted', message: 'again' });
        await s.when(
          `loss ${lost}`,
          'one',
          (one) => one.status?.phase === 'Failed' || ((one.status?.restartCount ?? 0) >= lost && isReady(one)),
        );
      }
      const failed = await s.get('one');
      t.equal(failed.status?.phase, 'Failed');
      t.equal(reasonOf(failed, 'Ready'), 'CrashBudgetExhausted');
      t.match(conditionOf(failed, 'Ready')?.message, /again.*Set runState to Paused/);
      await until('no pod', async () => (await s.pods()).length === 0);
      const events = await until('an event', async () => {
        const { items } = await client.list(EVENT, { namespace: s.namespace });
        return items.some(({ reason }) => reason === 'CrashBudgetExhausted') ? items : undefined;
      });
      t.ok(events.some(({ reason }) => reason === 'Evicted'));
      await s.patch('one', { runState: 'Paused' });
      await s.when('paused', 'one', (one) => one.status?.phase === 'Paused');
      await s.patch('one', { runState: 'Running' });
      t.match((await s.ready('one')).status, { slot: name, keyEpoch: 2, consecutiveFailures: undefined });
    },
  );

  await t.test('a volume that does not mount: the Events of the pod tell, then the condition does', async (t) => {
    const s = await staged(t);
    s.kubelet.hold(true);
    await s.sandbox('one');
    const pod = await until('a pod', async () => (await s.pods())[0]);
    const { name, uid = '' } = pod.metadata;
    await s.kubelet.patch(name, {
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'True' }],
      containerStatuses: [
        {
          name: 'agent',
          ready: false,
          restartCount: 0,
          image: '',
          imageID: '',
          state: { waiting: { reason: 'ContainerCreating' } },
        },
      ],
    });
    const message = 'MountVolume.SetUp failed for volume "x": configmap "gone" not found';
    await client.create(EVENT, {
      metadata: { name: `${name}.1`, namespace: s.namespace },
      involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: s.namespace, name, uid },
      type: 'Warning',
      reason: 'FailedMount',
      message,
      lastTimestamp: new Date().toISOString().replace(/\.\d+/, ''),
    });
    const told = await s.when('FailedMount', 'one', (one) => reasonOf(one, 'Ready') === 'FailedMount');
    t.match(conditionOf(told, 'PodReady')?.message, message);
    t.match(conditionOf(told, 'Ready')?.message, /configmap "gone" not found; check that/);
    const events = await until('an Event of the sandbox', async () => {
      const { items } = await client.list(EVENT, { namespace: s.namespace });
      return items.find((one) => one.involvedObject.kind === 'Sandbox' && one.reason === 'FailedMount');
    });
    t.match(events.message, /configmap "gone" not found; check that/);
    s.kubelet.hold(false);
    await s.kubelet.patch(name, running(pod));
    t.match((await s.ready('one')).status, { phase: 'Running' });
  });

  await t.test('what the API server refuses is told, and tried again', async (t) => {
    const s = await staged(t);
    const quota = { metadata: { namespace: s.namespace, name: 'none' }, spec: { hard: { pods: '0' } } };
    await client.create(RESOURCE_QUOTA, quota).catch(() => undefined);
    const counted = await until(
      'the quota',
      async () => (await client.get(RESOURCE_QUOTA, quota.metadata)).status?.hard?.pods === '0',
      5_000,
    ).catch(() => false);
    if (!counted) return t.comment('this API server has no quota controller');
    await s.sandbox('one');
    const refused = await s.when('quota', 'one', (one) => reasonOf(one, 'Ready') === 'QuotaExceeded');
    t.match(conditionOf(refused, 'Ready')?.message, /exceeded quota/);
    await client.delete(RESOURCE_QUOTA, quota.metadata);
    t.match((await s.ready('one')).status, { phase: 'Running' });
  });

  await t.test('unknown template: told, and started when it appears', async (t) => {
    const s = await staged(t);
    await s.sandbox('one', { template: 'standard' });
    await s.when('a word about the template', 'one', (one) => reasonOf(one, 'Ready') === 'TemplateNotFound');
    await s.pool(0, { workspace: { kind: 'Ephemeral' } });
    const ready = await s.ready('one');
    t.equal(reasonOf(ready, 'WorkspaceReady'), 'Ephemeral');
    t.same((await client.list(PVC, { namespace: s.namespace })).items, []);
  });

  await t.test('pool: fills, follows its template and its replicas', async (t) => {
    const s = await staged(t);
    await s.pool(3);
    await s.warmReady(3);
    const before = (await s.pods()).map(({ metadata }) => metadata.name);
    t.equal(new Set(before).size, 3);
    await client.patch(
      SANDBOX_TEMPLATE,
      { namespace: s.namespace, name: 'standard' },
      { spec: { image: 'other:2' } },
      { type: 'merge' },
    );
    await until('new pods', async () => {
      const pods = await s.pods();
      return pods.length === 3 && pods.every(({ spec }) => spec.containers[0]?.image === 'other:2');
    });
    await client.patch(
      SANDBOX_POOL,
      { namespace: s.namespace, name: 'warm' },
      { spec: { replicas: 1, maxReplicas: 1 } },
      { type: 'merge' },
    );
    await until('one pod', async () => (await s.pods()).length === 1);
    await until('no orphans', async () => {
      const claims = await client.list(PVC, { namespace: s.namespace });
      return claims.items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).length === 1;
    });
  });

  await t.test('claims: many at once never share a pod; each gets its keys; the pool is refilled', async (t) => {
    const s = await staged(t);
    await s.pool(6);
    await s.warmReady(6);
    const names = Array.from({ length: 6 }, (_, index) => `c${index}`);
    await Promise.all(names.map((name) => s.sandbox(name, { template: 'standard' })));
    const ready = await Promise.all(names.map((name) => s.ready(name)));
    const slots = ready.map(({ status }) => status?.slot ?? '');
    t.equal(new Set(slots).size, 6);
    t.same([...new Set(ready.map(({ status }) => status?.pool))], ['warm']);
    for (const slot of slots) t.same(s.agents.keysOf(slot), [sessionKey(secret, slot, 1)]);
    await s.warmReady(6);
    await until('workspaces are adopted', async () => {
      const { items } = await client.list(PVC, { namespace: s.namespace });
      return items.filter(({ metadata }) => metadata.ownerReferences?.at(-1)?.kind === 'Sandbox').length === 6;
    });
    await s.patch('c0', { runState: 'Paused' });
    await s.when('paused', 'c0', (one) => one.status?.phase === 'Paused');
    await s.patch('c0', { runState: 'Running' });
    t.match((await s.ready('c0')).status, { slot: slots[0], keyEpoch: 2 }, 'the slot stays over pause and resume');
  });

  await t.test(
    'claims: what a sandbox has of its pool outlives the pool, and its workspace outlives the pod',
    async (t) => {
      const s = await staged(t);
      await s.pool(1);
      await s.warmReady(1);
      await s.sandbox('one', { template: 'standard' });
      const { slot = '' } = (await s.ready('one')).status ?? {};
      const here = { namespace: s.namespace };
      const owners = async () =>
        (await client.get(PVC, { ...here, name: `${slot}-workspace` })).metadata.ownerReferences?.map(
          ({ kind }) => kind,
        );
      await until('the adoption', async () => (await owners())?.includes('Sandbox'));
      const { uid } = (await client.get(PVC, { ...here, name: `${slot}-workspace` })).metadata;
      const keys = (await client.get(POD, { ...here, name: slot })).metadata.annotations?.[ANNOTATION.initKeys] ?? '';
      await client.delete(SANDBOX_POOL, { ...here, name: 'warm' });
      await until('the init keys to be the sandbox’s own', async () => {
        const { metadata, data } = await client.get(SECRET, { ...here, name: keys });
        return metadata.ownerReferences?.some(({ kind }) => kind === 'Sandbox') && data?.[slot] !== undefined;
      });
      await client.delete(POD, { ...here, name: slot });
      await s.when('the loss on record', 'one', ({ status }) => status?.restartCount === 1);
      t.equal((await s.ready('one')).status?.slot, slot);
      await until('the pod to be forgotten', async () => (await owners())?.join() === 'Sandbox');
      const kept = await client.get(PVC, { ...here, name: `${slot}-workspace` });
      t.same([kept.metadata.uid, kept.metadata.deletionTimestamp], [uid, undefined]);
    },
  );

  await t.test('claims: a pod that cannot be initialised is thrown away; a lost answer is none', async (t) => {
    const s = await staged(t);
    await s.pool(2);
    await s.warmReady(2);
    s.agents.next = [401, 'cut'];
    await s.sandbox('one', { template: 'standard' });
    const ready = await s.ready('one');
    t.equal(ready.status?.pool, 'warm');
    t.equal(s.agents.initialised.length, 1);
    t.same(s.agents.keysOf(ready.status?.slot ?? ''), [sessionKey(secret, ready.status?.slot ?? '', 1)]);
    await s.warmReady(2);
    await until('the refused pod is gone', async () => (await s.pods()).length === 3);
  });

  await t.test('a pause: the agent server stops first; one that will not stop is ended all the same', async (t) => {
    const s = await staged(t);
    await s.pool(2);
    await s.warmReady(2);
    for (const name of ['one', 'two']) await s.sandbox(name, { template: 'standard' });
    const [one] = await Promise.all(['one', 'two'].map((name) => s.ready(name)));
    const id = '11111111-2222-4333-8444-555555555555';
    s.agents.running = [id];
    await s.patch('one', { runState: 'Paused' });
    await s.when('paused', 'one', ({ status }) => status?.phase === 'Paused');
    const slot = one?.status?.slot ?? '';
    t.same(
      s.agents.farewells,
      ['search', `${id}/pause`, 'prepare-for-sandbox-pause'].map((path) => `${slot} /api/conversations/${path}`),
    );
    s.agents.stubborn = true;
    await s.patch('two', { runState: 'Paused' });
    await s.when('paused', 'two', ({ status }) => status?.phase === 'Paused');
    t.equal(s.agents.farewells.length, 6);
    s.agents.stubborn = false;
    await s.patch('one', { runState: 'Running', lifecycle: { maxLifetime: '1s' } });
    await until('deleted', () =>
      s.get('one').then(
        () => false,
        (error: { code?: number }) => error.code === 404,
      ),
    );
  });

  await t.test('a dry pool: cold, wait or fail', async (t) => {
    const s = await staged(t);
    await s.pool(0);
    await until(
      'the pool is looked at',
      async () => (await client.get<SandboxPool>(SANDBOX_POOL, { namespace: s.namespace, name: 'warm' })).status,
    );
    await s.sandbox('cold', { template: 'standard' });
    await s.sandbox('fail', { template: 'standard', onDryPool: 'Fail' });
    t.equal((await s.ready('cold')).status?.pool, undefined);
    const failed = await s.when('failed', 'fail', (one) => one.status?.phase === 'Failed');
    t.equal(reasonOf(failed, 'Ready'), 'PoolDry');
    s.kubelet.hold(true);
    await client.patch(
      SANDBOX_POOL,
      { namespace: s.namespace, name: 'warm' },
      { spec: { replicas: 1 } },
      { type: 'merge' },
    );
    await until('a warm pod', async () => (await s.pods()).length === 2);
    await s.sandbox('wait', { template: 'standard', onDryPool: 'Wait' });
    await s.when('waiting', 'wait', (one) => reasonOf(one, 'Ready') === 'WaitingForPool');
    s.kubelet.hold(false);
    for (const { metadata } of await s.pods()) await s.kubelet.patch(metadata.name, { message: 'wake up' });
    t.equal((await s.ready('wait')).status?.pool, 'warm');
  });

  await t.test('timers: idle sandboxes are paused, old ones deleted', async (t) => {
    const s = await staged(t);
    await s.pool(0, { workspace: { kind: 'Ephemeral' } });
    s.agents.idle = 3_600;
    await s.sandbox('idle', { template: 'standard', lifecycle: { idleTimeout: '1s' } });
    const idle = await s.when('paused', 'idle', (one) => one.status?.phase === 'Paused');
    t.equal(idle.spec.runState, 'Paused');
    t.equal(reasonOf(idle, 'Paused'), 'IdleTimeout');
    await s.sandbox('old', { lifecycle: { maxLifetime: '1s' } });
    await until('deleted', () =>
      s.get('old').then(
        () => false,
        (error: { code?: number }) => error.code === 404,
      ),
    );
  });
});
