/** The operator behind an API that fails one call in five, or is away for a while: it ends where it should, within its limits. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { conditionOf, isReady, SANDBOX, type Sandbox } from '../contracts/resources.js';
import { createClient } from '../kube/client.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { storm, UNAVAILABLE } from './testing/fault.js';
import { startFaultyApi } from './testing/faulty.js';
import { startScene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(300_000);
const SEED = 20_261_125;
const PATIENCE_MS = 45_000;

await t.test('a Kubernetes API that fails', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const api = await startFaultyApi(cluster.kubeconfig);
  const client = createClient(api.config, { userAgent: 'sandlot-storm' });
  const s = await startScene(cluster, client, { policy: { overOwnerLimit: 'Refuse', perOwner: 4 } });
  const all = async () => (await cluster.client.list<Sandbox>(SANDBOX, { namespace: s.namespace })).items;
  const settled = (what: string, running: number, refused: number) =>
    until(
      what,
      async () => {
        const pods = (await s.pods()).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
        if (pods.length > running) throw new Error(`${pods.length} pods`);
        const now = await all();
        const waits = now.filter((one) => conditionOf(one, 'Ready')?.reason === 'OwnerLimitReached');
        return pods.length === running && now.filter(isReady).length === running && waits.length === refused;
      },
      PATIENCE_MS,
    );

  await t.test('refusals, conflicts, lost answers: four run, two wait, and one pod each', async (t) => {
    api.rule = storm(SEED, 0.2);
    await Promise.all(Array.from({ length: 6 }, (_, index) => s.sandbox(`n${index}`, { owner: 'u' })));
    await settled('four that run and two that wait', 4, 2);
    const [first] = (await all()).filter(isReady);
    await s.patch(first?.metadata.name ?? '', { runState: 'Paused' });
    await settled('another one in its place', 4, 1);
    t.ok(api.failed() > 5, `${api.failed()} calls failed`);
  });

  await t.test('away for a while: what was asked meanwhile is done when it is back', async (t) => {
    api.rule = () => UNAVAILABLE;
    api.cut('all');
    const [first, second] = (await all()).filter(isReady);
    await s.patch(first?.metadata.name ?? '', { runState: 'Paused' });
    const gone = (await s.pods()).find(({ metadata }) => metadata.name === second?.status?.slot);
    await s.kubelet.fail(gone?.metadata.name ?? '', { reason: 'Evicted', message: 'while nobody looked' });
    await sleep(5_000);
    t.equal((await s.pods()).length, 4, 'nothing happens while it is away');
    api.rule = () => undefined;
    await settled('the eviction repaired, the pause done, and the next one in its place', 4, 0);
  });

  await t.test('the end', async () => {
    await s.close();
    await client.close();
    await api.close();
    await endSuite(cluster);
  });
});
