/** The operator is killed after each of its writes in turn; the next one must end at the same state. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Sandbox } from '../contracts/resources.js';
import { startCluster } from '../test/support/cluster.js';
import { consistent } from './testing/consistent.js';
import { mortal } from './testing/mortal.js';
import { startScene, type Scene } from './testing/scene.js';

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
    const whole = async ({ status }: Sandbox) => {
      await consistent({ client, namespace: s.namespace, sandboxes: ['one'], warm });
      const names = (await s.pods()).map(({ metadata }) => metadata.name);
      if (!names.includes(status?.slot ?? '')) throw new Error(`${names.join()} without ${status?.slot}`);
    };
    await s.pool(warm);
    if (warm > 0) await step(() => s.warmReady(warm));
    await s.sandbox('one', { template: 'standard' });
    const first = await step(() => s.ready('one'));
    await step(() => whole(first));
    await s.patch('one', { runState: 'Paused' });
    await step(() => s.when('paused', 'one', ({ status }) => status?.phase === 'Paused'));
    await s.patch('one', { runState: 'Running' });
    const again = await step(() => s.ready('one'));
    t.equal(again.status?.slot, first.status?.slot);
    t.equal(again.status?.keyEpoch, 2);
    t.equal(again.status?.restartCount, undefined, 'a death of the operator is no loss of the pod');
    await step(() => whole(again));
  }
});
