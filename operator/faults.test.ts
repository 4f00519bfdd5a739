/** The operator is killed after each of its writes in turn; the next one must end at the same state. */
import assert from 'node:assert/strict';
import t from 'tap';
import type { Sandbox } from '../contracts/resources.js';
import { startCluster } from '../test/support/cluster.js';
import { consistent } from './testing/consistent.js';
import { dieAfterEachWrite, type Turn } from './testing/turns.js';

t.setTimeout(300_000);

await t.test('the operator dies', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  t.teardown(() => cluster.stop());

  await t.test(
    'killed after any of its writes, the next operator ends at one pod per sandbox and nothing orphaned',
    { timeout: 240_000 },
    async (t) => {
      const cold = { name: 'cold', run: (turn: Turn) => startPauseResume(turn, 0) };
      const warm = { name: 'warm', run: (turn: Turn) => startPauseResume(turn, 1) };
      await Promise.all([cold, warm].map((job) => dieAfterEachWrite(t, cluster, job)));
    },
  );

  /** `warm`: size of the pool. */
  async function startPauseResume({ s, step }: Turn, warm: number): Promise<void> {
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
    assert.equal(again.status?.slot, first.status?.slot);
    assert.equal(again.status?.keyEpoch, 2);
    assert.equal(again.status?.restartCount, undefined, 'a death of the operator is no loss of the pod');
    await step(() => whole(again));
  }
});
