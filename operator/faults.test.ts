/** The operator is killed after each of its writes in turn; the next one must end at the same state. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { LABEL } from '../contracts/labels.js';
import { PVC, SECRET, type KindOf, type Pod } from '../kube/kinds.js';
import type { KubeObject } from '../kube/types.js';
import { startCluster } from '../test/support/cluster.js';
import { mortal } from './testing/mortal.js';
import { startScene, type Scene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(300_000);

type Check = Pick<typeof t, 'equal' | 'pass' | 'fail' | 'comment'>;

await t.test('the operator dies', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  t.teardown(() => cluster.stop());

  const LIVES = 60;
  const AT_ONCE = 4;

  /** False when the operator lived to the end of the job. */
  const die = async (t: Check, way: 'cold' | 'warm', lifetime: number): Promise<boolean> => {
    const death = mortal(client, lifetime);
    const s = await startScene(cluster, death.client);
    try {
      await job(t, s, { way, died: death.died });
      const writes = death.writes();
      if (death.died()) t.pass(`${way}: survived its death after write ${lifetime} (${writes.at(-1) ?? ''})`);
      else t.comment(`${way}: ${writes.length} writes: ${writes.join(', ')}`);
      return death.died();
    } finally {
      await s.close();
    }
  };

  const dieInTurn = async (t: Check, way: 'cold' | 'warm'): Promise<void> => {
    for (let lifetime = 1; lifetime < LIVES; lifetime += AT_ONCE) {
      const turns = Array.from({ length: AT_ONCE }, (_, index) => die(t, way, lifetime + index));
      if (!(await Promise.all(turns)).every(Boolean)) return;
    }
    t.fail(`${way}: more than ${LIVES} writes`);
  };

  await t.test(
    'killed after any of its writes, the next operator ends at one pod per sandbox and nothing orphaned',
    { timeout: 240_000 },
    async (t) => {
      await Promise.all([dieInTurn(t, 'cold'), dieInTurn(t, 'warm')]);
    },
  );

  /** Create, pause, resume; the operator is replaced when it has died. */
  async function job(t: Check, s: Scene, { way, died }: { way: 'cold' | 'warm'; died: () => boolean }): Promise<void> {
    let replaced: Promise<void> | undefined;
    const step = async <T>(run: () => Promise<T>): Promise<T> => {
      const watching = new AbortController();
      const watchman = (async () => {
        while (!watching.signal.aborted) {
          if (died()) await (replaced ??= s.restart());
          await sleep(10);
        }
      })();
      return await run().finally(async () => {
        watching.abort();
        await watchman;
      });
    };
    const warm = way === 'warm' ? 1 : 0;
    await s.pool(warm);
    if (warm > 0) await step(() => s.warmReady(warm));
    await s.sandbox('one', { template: 'standard' });
    const first = await step(() => s.ready('one'));
    await step(() => consistent(s, first.status?.slot, warm));
    await s.patch('one', { runState: 'Paused' });
    await step(() => s.when('paused', 'one', ({ status }) => status?.phase === 'Paused'));
    await s.patch('one', { runState: 'Running' });
    const again = await step(() => s.ready('one'));
    t.equal(again.status?.slot, first.status?.slot);
    t.equal(again.status?.keyEpoch, 2);
    t.equal(again.status?.restartCount, undefined, 'a death of the operator is no loss of the pod');
    await step(() => consistent(s, first.status?.slot, warm));
  }

  /** One pod for the sandbox, `warm` for the pool, a claim for each that goes with the right one, and the keys that they start with. */
  async function consistent(s: Scene, slot: string | undefined, warm: number): Promise<void> {
    await until('a consistent namespace', async () => {
      const pods = (await s.pods()).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      const owners = pods
        .map(({ metadata }) => `${metadata.ownerReferences?.[0]?.kind} ${metadata.ownerReferences?.[0]?.name}`)
        .sort();
      const wanted = ['Sandbox one', ...Array.from({ length: warm }, () => 'SandboxPool warm')];
      const names = pods.map(({ metadata }) => metadata.name).sort();
      const own = (pod: Pod) => pod.metadata.ownerReferences?.[0]?.kind === 'Sandbox';
      const live = async <T extends KubeObject>(kind: KindOf<T>) =>
        (await client.list(kind, { namespace: s.namespace })).items.filter(
          ({ metadata }) => metadata.deletionTimestamp === undefined,
        );
      // A warm pod's claim goes with the pod, a sandbox's with the sandbox.
      const claims = (await live(PVC))
        .map(({ metadata }) => `${metadata.name} ${metadata.ownerReferences?.at(-1)?.kind}`)
        .sort();
      const expected = pods.map((pod) => `${pod.metadata.name}-workspace ${own(pod) ? 'Sandbox' : 'Pod'}`).sort();
      const secrets = await live(SECRET);
      const named = pods.map(keyOfPod);
      const state = {
        owners,
        names,
        claims,
        keyless: named.filter(
          ({ name, key }) => secrets.find((one) => one.metadata.name === name)?.data?.[key] === undefined,
        ),
        unused: secrets.filter(
          ({ metadata }) =>
            metadata.labels?.[LABEL.slot] !== undefined && !named.some(({ name }) => name === metadata.name),
        ),
      };
      const good =
        JSON.stringify(owners) === JSON.stringify(wanted) &&
        names.includes(slot ?? '') &&
        JSON.stringify(claims) === JSON.stringify(expected) &&
        state.keyless.length + state.unused.length === 0;
      if (!good) throw new Error(JSON.stringify(state));
      return true;
    });
  }

  /** The Secret and the key in it that a pod's container starts with. */
  function keyOfPod({ spec }: Pod): { name: string; key: string } {
    const variable = spec.containers[0]?.env?.find(({ name }) => name === 'OH_SECRET_KEY');
    return variable?.valueFrom?.secretKeyRef ?? { name: '', key: '' };
  }
});
