/** An operator that cannot renew its Lease in the middle of a burst of claims: it stops, leads again and goes on, however often. */
import t from 'tap';
import { isReady, SANDBOX, type Sandbox } from '../contracts/resources.js';
import { createClient } from '../kube/client.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { consistent } from './testing/consistent.js';
import { isWrite, seeded } from './testing/fault.js';
import { startFaultyApi } from './testing/faulty.js';
import { startScene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(600_000);
const PATIENCE_MS = 120_000;
const TERMS = 4;
const BURST = 25;
const WARM = 20;

await t.test('terms are lost and won again', { timeout: 580_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  const api = await startFaultyApi(cluster.kubeconfig);
  const through = createClient(api.config);
  const s = await startScene(cluster, through);
  const all = async () => (await client.list<Sandbox>(SANDBOX, { namespace: s.namespace })).items;

  await t.test('every sandbox is ready after each of them, with one pod', async (t) => {
    await s.pool(WARM);
    const random = seeded(4);
    for (let term = 1; term <= TERMS; term++) {
      await until('it leads', () => s.operator.leads(), PATIENCE_MS);
      const before = api.calls.length;
      const claims = () => api.calls.slice(before).filter((call) => isWrite(call) && call.resource === 'pods').length;
      const burst = Array.from({ length: BURST }, (_, index) =>
        s.sandbox(`t${term}-${index}`, { template: 'standard' }),
      );
      await until('it is in the middle of its work', () => claims() > BURST / 3, PATIENCE_MS);
      // A server that stands still: some of what it took is done and never answered, the rest never arrives.
      api.rule = (call) => (isWrite(call) && random() < 0.5 ? { kind: 'lose' } : undefined);
      const failed = api.failed();
      await until('some answers are lost', () => api.failed() > failed, PATIENCE_MS);
      api.partition(true);
      await until('its term is over', () => !s.operator.leads(), PATIENCE_MS);
      api.partition(false);
      api.rule = () => undefined;
      await Promise.all(burst);
      await until(
        `all are ready after term ${term}`,
        async () => {
          await s.pods();
          const late = (await all()).filter((one) => !isReady(one));
          if (late.length > 0) throw new Error(`${late.length} are not: ${JSON.stringify(late[0]?.status)}`);
          return s.operator.leads();
        },
        PATIENCE_MS,
      );
      t.pass(`term ${term}`);
    }
    const names = (await all()).map(({ metadata }) => metadata.name);
    t.equal(names.length, TERMS * BURST);
    await consistent({ client, namespace: s.namespace, sandboxes: names, warm: WARM, patience: PATIENCE_MS });
  });

  await t.test('the end', async () => {
    await s.close();
    await through.close();
    await api.close();
    await endSuite(cluster);
  });
});
