/** What a new leader knows when it begins: all that the one before wrote, told by the watches or not. */
import t from 'tap';
import { LABEL, SANDBOX_APP } from '../contracts/labels.js';
import { SANDBOX, type Sandbox } from '../contracts/resources.js';
import type { KubeClient } from '../kube/client.js';
import { POD, type Pod } from '../kube/kinds.js';
import { createFakeClock } from '../kube/testing/clock.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { startWorld } from './world.js';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const nobody = () => undefined;

await t.test('a new leader', async (t) => {
  const cluster = await startCluster();
  const { client, namespace } = cluster;
  const here = (name: string) => ({ name, namespace });
  /** Its lists are the server's; its watches are open and tell nothing. */
  const deaf: Pick<KubeClient, 'list' | 'watch'> = {
    list: client.list,
    watch: (kind, options) => client.watch(kind, options, nobody),
  };
  const listeners = { sandbox: nobody, pool: nobody, template: nobody, freed: nobody };
  const world = startWorld({
    client: deaf,
    namespace,
    selector: undefined,
    clock: createFakeClock(),
    log: silent,
    listeners,
  });
  t.ok(await world.synced);

  const made = await client.create<Sandbox>(SANDBOX, { metadata: here('one'), spec: { owner: 'u' } });
  await client.patch(SANDBOX, here('one'), { status: { slot: 'a-slot' } }, { type: 'merge', subresource: 'status' });
  await client.create<Pod>(POD, {
    metadata: { ...here('a-slot'), labels: { [LABEL.name]: SANDBOX_APP } },
    spec: { containers: [{ name: 'agent', image: 'i', env: [{ name: 'A', value: 'b' }] }] },
  });
  t.equal(world.sandboxes.get(`${namespace}/one`), undefined, 'no watch told');

  await world.reread(new AbortController().signal);
  t.match(world.sandboxes.get(`${namespace}/one`), {
    metadata: { uid: made.metadata.uid },
    status: { slot: 'a-slot' },
  });
  t.equal(world.sandboxes.count('placed', 'owner u'), 1, 'it counts against the limits');
  t.same(
    world.pods.get(`${namespace}/a-slot`)?.spec.containers,
    [{ name: 'agent' }],
    'trimmed like what a watch tells',
  );
  await t.rejects(world.reread(AbortSignal.abort(new Error('the term ended'))), { message: 'the term ended' });
  await world.stop();
  await endSuite(cluster);
});
