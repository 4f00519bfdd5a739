/** An operator that cannot renew its Lease in the middle of a burst of claims: it stops, leads again and goes on, however often. */
import t from 'tap';
import { isReady, SANDBOX, type Sandbox } from '../contracts/resources.js';
import { createClient } from '../kube/client.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { consistent } from './testing/consistent.js';
import { isWrite } from './testing/fault.js';
import { startFaultyApi, type FaultyApi } from './testing/faulty.js';
import { startScene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(600_000);
const PATIENCE_MS = 120_000;
const BURST = 25;
const WARM = 20;
/** Of the writes to pods in each burst, the one at which the server stops: each sandbox needs one at least. */
const STOPS = [2, 10, 24];

/** A server that stands still from that write on: what it took just before is done and never answered, the rest never arrives. */
function standStill(api: FaultyApi, at: number): FaultyApi['rule'] {
  let seen = 0;
  return (call) => {
    if (!isWrite(call) || call.resource !== 'pods') return undefined;
    seen += 1;
    if (seen === at) api.partition(true);
    return seen > at - 4 && seen < at ? { kind: 'lose' } : undefined;
  };
}

await t.test('terms are lost and won again', { timeout: 580_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  const api = await startFaultyApi(cluster.kubeconfig);
  const through = createClient(api.config);
  const s = await startScene(cluster, through);
  const all = async () => (await client.list<Sandbox>(SANDBOX, { namespace: s.namespace })).items;

  await t.test('every sandbox is ready after each of them, with one pod', async (t) => {
    await s.pool(WARM);
    for (const at of STOPS) {
      await until('it leads', () => s.operator.leads(), PATIENCE_MS);
      api.rule = standStill(api, at);
      const burst = Array.from({ length: BURST }, (_, index) => s.sandbox(`t${at}-${index}`, { template: 'standard' }));
      await until('its term is over', () => !s.operator.leads(), PATIENCE_MS);
      api.rule = () => undefined;
      api.partition(false);
      await Promise.all(burst);
      await until(
        `all are ready after a stop at write ${at}`,
        async () => {
          await s.pods();
          const late = (await all()).filter((one) => !isReady(one));
          if (late.length > 0) throw new Error(`${late.length} are not: ${JSON.stringify(late[0]?.status)}`);
          return s.operator.leads();
        },
        PATIENCE_MS,
      );
      t.pass(`a stop at write ${at}`);
    }
    const names = (await all()).map(({ metadata }) => metadata.name);
    t.equal(names.length, STOPS.length * BURST);
    await consistent({ client, namespace: s.namespace, sandboxes: names, warm: WARM, patience: PATIENCE_MS });
  });

  await t.test('the end', async () => {
    await s.close();
    await through.close();
    await api.close();
    await endSuite(cluster);
  });
});
