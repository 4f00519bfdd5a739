/** The operator is killed at any point of a goodbye, of a wake, or of making room under a limit. */
import assert from 'node:assert/strict';
import t from 'tap';
import { conditionOf, isReady, type Sandbox } from '../../contracts/resources.js';
import type { Route } from '../../gateway/table.js';
import { createWaker } from '../../gateway/wake.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { consistent } from '../../operator/testing/consistent.js';
import type { Scene } from '../../operator/testing/scene.js';
import { dieAfterEachWrite, dieInFarewell, type Job, type Turn } from '../../operator/testing/turns.js';
import { until } from '../../operator/testing/until.js';

t.setTimeout(600_000);
const PATIENCE_MS = 90_000;
const CONVERSATION = '11111111-2222-4333-8444-555555555555';

const pausedFor = (reason: string) => (one: Sandbox) =>
  one.status?.phase === 'Paused' && conditionOf(one, 'Paused')?.reason === reason;

await t.test('the operator dies', { timeout: 580_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  const ends = (s: Scene, sandboxes: string[], more: { warm: number; resting?: number }) =>
    consistent({ client, namespace: s.namespace, sandboxes, patience: PATIENCE_MS, ...more });

  /** As the gateway does it for a request. */
  const wake = async (s: Scene, name: string): Promise<void> => {
    const { metadata, status } = await s.get(name);
    const route = {
      namespace: s.namespace,
      sandbox: name,
      slot: status?.slot,
      version: metadata.resourceVersion,
      isResuming: false,
    } as Route;
    const result = await new Promise((written) => createWaker({ client, written }).wake(route, () => undefined));
    assert.equal(result, 'ok');
  };
  const POOL = 1;
  /** A warm pod's sandbox in which a conversation runs, and nobody is there. */
  const prepare = async (s: Scene): Promise<void> => {
    await s.pool(POOL);
    await s.warmReady(POOL);
    await s.sandbox('one', { template: 'standard', owner: 'u' });
    await s.ready('one');
    await ends(s, ['one'], { warm: POOL });
    s.agents.running = [CONVERSATION];
    s.agents.idle = 3_600;
  };
  const resumed = async ({ s, step }: Turn): Promise<void> => {
    const again = await step(() => s.when('awake', 'one', (one) => isReady(one) && one.status?.keyEpoch === 2));
    assert.equal(again.status?.pool, 'warm', 'its first slot');
    assert.equal(again.status?.restartCount, undefined, 'no loss of a pod');
    await step(() => ends(s, ['one'], { warm: POOL }));
  };

  const idleAndWake: Job = {
    name: 'paused as idle, woken by a request',
    prepare,
    async run(turn) {
      const { s, step } = turn;
      await s.patch('one', { lifecycle: { idleTimeout: '1s' } });
      await step(() => s.when('idle', 'one', pausedFor('IdleTimeout')));
      await step(() => ends(s, [], { warm: POOL, resting: 1 }));
      assert.ok(s.agents.farewells.some((said) => said.endsWith(`${CONVERSATION}/pause`)));
      await s.patch('one', { lifecycle: { idleTimeout: '1h' } });
      await wake(s, 'one');
      await resumed(turn);
    },
  };
  const wokenInFarewell: Job = {
    name: 'woken while it says goodbye',
    prepare,
    async run(turn) {
      const { s, step } = turn;
      s.agents.stubborn = true;
      await s.patch('one', { runState: 'Paused' });
      // On a slow machine the goodbye may be over by now; the end is the same.
      await step(() => s.when('pausing', 'one', ({ status }) => /^Paus(ing|ed)$/.test(status?.phase ?? '')));
      await wake(s, 'one');
      await resumed(turn);
    },
  };
  const deadline: Job = {
    name: 'deleted for its age',
    prepare,
    async run({ s, step }) {
      await s.patch('one', { lifecycle: { maxLifetime: '1s' } });
      const gone = () =>
        s.get('one').then(
          () => false,
          (error: { code?: number }) => error.code === 404,
        );
      await step(() => until('deleted', gone, PATIENCE_MS));
      await step(() => ends(s, [], { warm: POOL }));
    },
  };
  const makeRoom: Job = {
    name: 'paused to make room, then back in turn',
    prepare,
    options: { policy: { perOwner: 1, overOwnerLimit: 'PauseLeastActive' } },
    async run({ s, step }) {
      await s.sandbox('two', { template: 'standard', owner: 'u' });
      await step(() => s.when('displaced', 'one', pausedFor('TooManySandboxes')));
      await step(() => s.ready('two'));
      await step(() => ends(s, ['two'], { warm: POOL, resting: 1 }));
      await s.patch('one', { runState: 'Running' });
      await step(() => s.when('displaced', 'two', pausedFor('TooManySandboxes')));
      await step(() => s.ready('one'));
      await step(() => ends(s, ['one'], { warm: POOL, resting: 1 }));
    },
  };

  for (const job of [idleAndWake, wokenInFarewell, deadline, makeRoom])
    await t.test(`${job.name}: killed after any of its writes`, { timeout: 250_000 }, (t) =>
      dieAfterEachWrite(t, cluster, job),
    );

  await t.test('killed between any two of its last words to an agent server', { timeout: 250_000 }, async (t) => {
    for (const job of [idleAndWake, deadline])
      await Promise.all([1, 2, 3].map((words) => dieInFarewell(t, cluster, job, words)));
  });

  await t.test('the end', () => endSuite(cluster));
});
