/** Pools on a Kubernetes API: scaling to demand, and pools that say where their pods run. */
import t from 'tap';
import { SANDBOX_POOL, type SandboxPool, type SandboxPoolSpec } from '../contracts/resources.js';
import { LABEL } from '../contracts/labels.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { EVENT, type ContainerStatus } from '../kube/kinds.js';
import { running } from './testing/kubelet.js';
import { startScene, type Scene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(300_000);

await t.test('pools on a Kubernetes API', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  const staged = async (t: { teardown(run: () => Promise<void>): void }): Promise<Scene> => {
    const one = await startScene(cluster);
    t.teardown(() => one.close());
    return one;
  };
  const poolOf = (s: Scene, name = 'warm') => client.get<SandboxPool>(SANDBOX_POOL, { namespace: s.namespace, name });
  /** Resolves when the operator has seen it: a sandbox that comes before is judged by what the pool was. */
  const change = async (s: Scene, spec: Partial<SandboxPoolSpec>): Promise<void> => {
    const ref = { namespace: s.namespace, name: 'warm' };
    const { metadata } = await client.patch<SandboxPool>(SANDBOX_POOL, ref, { spec }, { type: 'merge' });
    await until(
      'the operator has seen it',
      async () => ((await poolOf(s)).status?.observedGeneration ?? 0) >= (metadata.generation ?? 0),
    );
  };
  const condition = (pool: SandboxPool, type: string) => pool.status?.conditions?.find((one) => one.type === type);

  await t.test('a pool grows with the demand, says why, and a new leader keeps it', async (t) => {
    const s = await staged(t);
    await s.pool(1);
    await change(s, { maxReplicas: 4, scaleToDemand: { halfLife: '1h' } });
    await s.warmReady(1);
    const names = ['a', 'b', 'c'];
    await Promise.all(names.map((name) => s.sandbox(name, { template: 'standard' })));
    for (const name of names) await s.ready(name);
    await s.warmReady(3);
    const grown = await poolOf(s);
    t.match(grown.status, { wantedReplicas: 3, demand: { claims: 3 } }, 'also those that found none count');
    t.match(condition(grown, 'Progressing')?.message, /^3 wanted: 3 were asked for within one start-up time/);
    t.equal(condition(grown, 'ScalingLimited')?.status, 'False');
    await s.restart();
    await change(s, { refill: { perSecond: 21 } });
    t.equal((await poolOf(s)).status?.wantedReplicas, 3);
    t.equal((await s.pods()).filter(({ metadata }) => metadata.labels?.[LABEL.state] === 'warm').length, 3);
    for (const name of ['d', 'e', 'f', 'g', 'h', 'i']) await s.sandbox(name, { template: 'standard' });
    const capped = await until('the maximum', async () => {
      await s.pods();
      const pool = await poolOf(s);
      return condition(pool, 'ScalingLimited')?.status === 'True' && pool.status?.readyReplicas === 4
        ? pool
        : undefined;
    });
    t.match(condition(capped, 'ScalingLimited'), { reason: 'MaxReplicasReached', message: /maxReplicas is 4/ });
  });

  await t.test('a pool of zero helps those that wait for it, if it may grow', async (t) => {
    const s = await staged(t);
    await s.pool(0);
    await change(s, { maxReplicas: 5, scaleToDemand: { halfLife: '1s' } });
    for (const name of ['a', 'b']) await s.sandbox(name, { template: 'standard', onDryPool: 'Wait' });
    for (const name of ['a', 'b']) t.equal((await s.ready(name)).status?.pool, 'warm');
    await until('nothing is kept once that is forgotten', async () => {
      const warm = (await s.pods()).filter(({ metadata }) => metadata.labels?.[LABEL.state] === 'warm');
      return warm.length === 0 && (await poolOf(s)).status?.demand === undefined;
    });
    await t.rejects(change(s, { maxReplicas: null } as never), { code: 422 }, 'no growth without a maximum');
  });

  await t.test('the scale subresource sets the minimum, within the maximum', async (t) => {
    const s = await staged(t);
    await s.pool(1);
    await change(s, { maxReplicas: 3, scaleToDemand: {} });
    const path = `/apis/sandlot.dev/v1alpha1/namespaces/${s.namespace}/sandboxpools/warm/scale`;
    const scale = (replicas: number) =>
      client.raw({
        method: 'PATCH',
        path,
        headers: { 'content-type': 'application/merge-patch+json' },
        body: JSON.stringify({ spec: { replicas } }),
      });
    await scale(3);
    await s.warmReady(3);
    await t.rejects(scale(4), { code: 422 });
    const { text } = await client.raw({ path });
    t.match(JSON.parse(text), { spec: { replicas: 3 }, status: { selector: /sandlot.dev\/pool=warm/ } });
  });

  await t.test('a volume that does not mount is told by the pool, until it does', async (t) => {
    const s = await staged(t);
    s.kubelet.hold(true);
    await s.pool(1);
    const pod = await until('the warm pod', async () => (await s.pods())[0]);
    const { name, uid = '' } = pod.metadata;
    const status = running(pod);
    const [container] = status.containerStatuses ?? [];
    await s.kubelet.patch(name, {
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'True' }],
      containerStatuses: [
        {
          ...(container as ContainerStatus),
          ready: false,
          started: false,
          state: { waiting: { reason: 'ContainerCreating' } },
        },
      ],
    });
    await client.create(EVENT, {
      metadata: { name: `${name}.mount`, namespace: s.namespace },
      involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: s.namespace, name, uid },
      type: 'Warning',
      reason: 'FailedMount',
      message: 'MountVolume.SetUp failed for volume "models": configmap "models" not found',
      lastTimestamp: new Date().toISOString(),
    });
    const reasonOf = async () => condition(await poolOf(s), 'Ready');
    const told = await until(
      'the reason',
      async () => {
        const ready = await reasonOf();
        return ready?.reason === 'FailedMount' ? ready : undefined;
      },
      60_000,
    );
    t.match(told.message, new RegExp(`^pod ${name}: .*configmap "models" not found; check that`));
    t.match(condition(await poolOf(s), 'Progressing'), { status: 'False', reason: 'FailedMount' });
    await s.kubelet.patch(name, status);
    await s.warmReady(1);
    t.match(await until('a full pool', async () => ((await reasonOf())?.status === 'True' ? reasonOf() : undefined)), {
      reason: 'Full',
    });
  });

  await t.test('pools of one template on other nodes and in other runtime classes', async (t) => {
    const s = await staged(t);
    const handler = {
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name: 'sandlot-test' },
      handler: 'x',
    };
    // The one-machine cluster has no runtime classes; a real API server refuses pods of one that it does not know.
    await client
      .raw({
        method: 'POST',
        path: '/apis/node.k8s.io/v1/runtimeclasses',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(handler),
      })
      .catch((error: { code?: number }) => t.ok([404, 409].includes(error.code ?? 0)));
    await s.pool(1);
    await client.create<SandboxPool>(SANDBOX_POOL, {
      metadata: { name: 'other', namespace: s.namespace },
      spec: {
        template: 'standard',
        replicas: 1,
        nodeSelector: { 'example.com/pool': 'spot' },
        tolerations: [{ key: 'spot', operator: 'Exists' }],
        runtimeClassName: 'sandlot-test',
      },
    });
    await s.warmReady(1);
    await until('the other pool', async () => {
      await s.pods();
      return (await poolOf(s, 'other')).status?.readyReplicas === 1;
    });
    await s.sandbox('plain', { template: 'standard' });
    await s.sandbox('kept-apart', { template: 'standard', runtimeClassName: 'sandlot-test' });
    t.equal((await s.ready('plain')).status?.pool, 'warm');
    const apart = await s.ready('kept-apart');
    t.equal(apart.status?.pool, 'other');
    const pod = (await s.pods()).find(({ metadata }) => metadata.name === apart.status?.slot);
    t.match(pod?.spec, {
      runtimeClassName: 'sandlot-test',
      nodeSelector: { 'example.com/pool': 'spot' },
      tolerations: [{ key: 'spot' }],
    });
  });

  await t.test('the end', () => endSuite(cluster));
});
