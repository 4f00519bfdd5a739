/** Two operators of which one is cut off from the API server, or both of which act though only one should. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { isReady, SANDBOX, type Sandbox } from '../contracts/resources.js';
import { createClient } from '../kube/client.js';
import { createVacantLease } from '../kube/lease.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { leaseName, WHOLE } from './shard.js';
import { consistent } from './testing/consistent.js';
import { isWrite, type Call } from './testing/fault.js';
import { startFaultyApi } from './testing/faulty.js';
import { startScene, type Scene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(300_000);
const PATIENCE_MS = 60_000;

await t.test('two operators', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  const via = async (t: { teardown(run: () => Promise<void>): unknown }) => {
    const api = await startFaultyApi(cluster.kubeconfig);
    const through = createClient(api.config);
    t.teardown(async () => {
      await through.close();
      await api.close();
    });
    return { api, client: through };
  };
  const allReady = (s: Scene, count: number): Promise<Sandbox[]> =>
    until(
      `${count} ready sandboxes`,
      async () => {
        await s.pods();
        const { items } = await client.list<Sandbox>(SANDBOX, { namespace: s.namespace });
        return items.filter(isReady).length === count ? items : undefined;
      },
      PATIENCE_MS,
    );
  /** When writes other than of the Lease left for the API server. */
  const acted = (calls: Call[]): number[] =>
    calls
      .filter((call) => isWrite(call) && call.resource !== 'leases')
      .flatMap(({ forwardedAt }) => (forwardedAt === undefined ? [] : [forwardedAt]));

  await t.test('the leader is cut off, in the middle of its work: the other one takes over, never both', async (t) => {
    const [first, second] = [await via(t), await via(t)];
    const s = await startScene(cluster, first.client);
    t.teardown(() => s.close());
    await until('the first one leads', () => s.operator.leads());
    const other = s.beside({ client: second.client });
    await s.pool(2);
    await s.warmReady(2);
    const names = Array.from({ length: 6 }, (_, index) => `n${index}`);
    await Promise.all(names.map((name) => s.sandbox(name, { template: 'standard' })));
    await until('it is in the middle of its work', () => acted(first.api.calls).length > 8);
    first.api.partition(true);
    await until('the other one leads', () => other.leads(), PATIENCE_MS);
    t.notOk(s.operator.leads());
    await allReady(s, names.length);
    first.api.partition(false);
    await s.sandbox('after', { template: 'standard' });
    await allReady(s, names.length + 1);
    await consistent({
      client,
      namespace: s.namespace,
      sandboxes: [...names, 'after'],
      warm: 2,
      patience: PATIENCE_MS,
    });
    await sleep(3_000);
    const [last, earliest] = [Math.max(...acted(first.api.calls)), Math.min(...acted(second.api.calls))];
    t.ok(
      last < earliest,
      `the last write of the first one was ${Math.round(earliest - last)} ms before the other's first`,
    );
    t.notOk(s.operator.leads(), 'back again, it waits');
  });

  await t.test('two that both act, as no election allows: sixty claims at once never share a pod', async (t) => {
    const s = await startScene(cluster);
    t.teardown(() => s.close());
    const elsewhere = await cluster.newNamespace();
    await createVacantLease(client, { namespace: elsewhere, name: leaseName(WHOLE) });
    const other = s.beside({ lease: { namespace: elsewhere, identity: 'rival' } });
    await s.pool(12);
    await s.warmReady(12);
    await until('both lead', () => s.operator.leads() && other.leads());
    const names = Array.from({ length: 60 }, (_, index) => `n${index}`);
    await Promise.all(names.map((name) => s.sandbox(name, { template: 'standard' })));
    const all = await allReady(s, names.length);
    t.equal(new Set(all.map(({ status }) => status?.podUID)).size, names.length, 'a pod each');
    t.equal(new Set(all.map(({ status }) => status?.slot)).size, names.length, 'a slot each');
    t.ok(all.filter(({ status }) => status?.pool !== undefined).length >= 10, 'the pool was used');
    await consistent({ client, namespace: s.namespace, sandboxes: names, warm: 12, patience: PATIENCE_MS });
    t.equal(new Set(s.agents.initialised).size, s.agents.initialised.length, 'no agent server is initialised twice');
  });

  await t.test('the end', () => endSuite(cluster));
});
