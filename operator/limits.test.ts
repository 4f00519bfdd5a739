/** Limits per owner and namespace on a Kubernetes API, whatever the client does. */
import t from 'tap';
import { LABEL } from '../contracts/labels.js';
import { ownerLabel } from '../contracts/names.js';
import { conditionOf, isReady, SANDBOX, type Sandbox } from '../contracts/resources.js';
import { EVENT, POD } from '../kube/kinds.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import type { LimitPolicy } from './limits/place.js';
import { mortal } from './testing/mortal.js';
import { startScene, type Scene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(300_000);

const reasonOf = (sandbox: Sandbox, type: string) => conditionOf(sandbox, type)?.reason;

await t.test('limits on a Kubernetes API', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  const staged = async (
    t: { teardown(run: () => Promise<void>): void },
    policy: Partial<LimitPolicy>,
  ): Promise<Scene> => {
    const one = await startScene(cluster, client, { policy: { overOwnerLimit: 'Refuse', ...policy } });
    t.teardown(() => one.close());
    return one;
  };
  /** The most pods of an owner that were ever there at once, from a watch of its own. */
  const countPods = (t: { teardown(run: () => void): void }, namespace: string, owner: string) => {
    const stopping = new AbortController();
    const there = new Set<string>();
    let most = 0;
    const watching = client.watch(
      POD,
      { namespace, labelSelector: `${LABEL.owner}=${ownerLabel(owner)}`, signal: stopping.signal },
      ({ type, object }) => {
        if (type === 'DELETED') there.delete(object.metadata.uid ?? '');
        else if (type === 'ADDED' || type === 'MODIFIED') there.add(object.metadata.uid ?? '');
        most = Math.max(most, there.size);
      },
    );
    watching.catch(() => undefined);
    t.teardown(() => stopping.abort());
    return () => most;
  };
  const listed = async (s: Scene) => (await client.list<Sandbox>(SANDBOX, { namespace: s.namespace })).items;
  const settled = async (s: Scene, running: number, refused: number) =>
    until(
      `${running} running and ${refused} refused`,
      async () => {
        await s.pods();
        const all = await listed(s);
        const waits = all.filter((one) => reasonOf(one, 'Ready') === 'OwnerLimitReached');
        return all.filter(isReady).length === running && waits.length === refused ? { all, waits } : undefined;
        // A new API server's garbage collector looks for new kinds every half minute: until then pods of deleted sandboxes stay.
      },
      90_000,
    );

  await t.test('thirty at once, three may run; the operator restarts; whoever ends makes room', async (t) => {
    const s = await staged(t, { perOwner: 3 });
    const most = countPods(t, s.namespace, 'u');
    const names = Array.from({ length: 30 }, (_, index) => `n${index}`);
    await Promise.all(names.map((name) => s.sandbox(name, { owner: 'u' })));
    await s.sandbox('other', { owner: 'v' });
    const { all, waits } = await settled(s, 4, 27);
    t.match(waits[0]?.status, { phase: 'Pending' });
    t.match(conditionOf(waits[0] as Sandbox, 'Ready')?.message, /3 sandboxes of this owner/);
    await until('an event', async () =>
      (await client.list(EVENT, { namespace: s.namespace })).items.some(({ reason }) => reason === 'OwnerLimitReached'),
    );
    await s.restart();
    const running = all.filter((one) => isReady(one) && one.spec.owner === 'u').map(({ metadata }) => metadata.name);
    await s.patch(running[0] ?? '', { runState: 'Paused' });
    await client.delete(SANDBOX, { namespace: s.namespace, name: running[1] ?? '' });
    await settled(s, 4, 25);
    await s.patch(running[0] ?? '', { runState: 'Running' });
    const woken = await s.when('refused', running[0] ?? '', (one) => reasonOf(one, 'Ready') === 'OwnerLimitReached');
    t.match(woken.status, { phase: 'Paused', keyEpoch: 1 }, 'a resume needs a place too');
    t.equal(most(), 3, 'never more, not even for a moment');
  });

  await t.test('warm pods: claims count like starts', async (t) => {
    const s = await staged(t, { perOwner: 2 });
    await s.pool(4);
    await s.warmReady(4);
    const most = countPods(t, s.namespace, 'u');
    const names = Array.from({ length: 8 }, (_, index) => `n${index}`);
    await Promise.all(names.map((name) => s.sandbox(name, { owner: 'u', template: 'standard' })));
    const { all } = await settled(s, 2, 6);
    t.same([...new Set(all.filter(isReady).map(({ status }) => status?.pool))], ['warm']);
    await s.warmReady(4);
    t.equal(most(), 2);
  });

  await t.test('a namespace holds what it may, whoever asks', async (t) => {
    const s = await staged(t, { perNamespace: 2, overOwnerLimit: 'PauseLeastActive' });
    await Promise.all(['a', 'b', 'c'].map((name) => s.sandbox(name, { owner: name })));
    const refused = await until('one that is refused', async () => {
      await s.pods();
      const all = await listed(s);
      return all.filter(isReady).length === 2
        ? all.find((one) => reasonOf(one, 'Ready') === 'NamespaceLimitReached')
        : undefined;
    });
    const [first] = (await listed(s)).filter(isReady);
    await client.delete(SANDBOX, { namespace: s.namespace, name: first?.metadata.name ?? '' });
    await s.ready(refused.metadata.name);
  });

  await t.test('the least recently active one makes room, and says so', async (t) => {
    const s = await staged(t, { perOwner: 2, overOwnerLimit: 'PauseLeastActive' });
    const most = countPods(t, s.namespace, 'u');
    for (const name of ['first', 'second']) {
      await s.sandbox(name, { owner: 'u' });
      await s.ready(name);
    }
    await client.patch(
      SANDBOX,
      { namespace: s.namespace, name: 'first' },
      { metadata: { annotations: { 'sandlot.dev/last-traffic': new Date(Date.now() + 60_000).toISOString() } } },
      { type: 'merge' },
    );
    await until(
      'the traffic is known',
      () =>
        s.operator.world.sandboxes.get(`${s.namespace}/first`)?.metadata.annotations?.['sandlot.dev/last-traffic'] !==
        undefined,
    );
    await s.sandbox('third', { owner: 'u' });
    const victim = await s.when('paused', 'second', (one) => one.status?.phase === 'Paused');
    t.equal(victim.spec.runState, 'Paused');
    t.equal(reasonOf(victim, 'Paused'), 'TooManySandboxes');
    await s.ready('third');
    t.ok(isReady(await s.get('first')));
    t.equal(most(), 2);
    // Three more, one after the other: each takes the place of the least recently active one.
    await Promise.all(['x', 'y', 'z'].map((name) => s.sandbox(name, { owner: 'u' })));
    await until('all have been served, two are left', async () => {
      await s.pods();
      const all = await listed(s);
      const served = all.every((one) => isReady(one) || reasonOf(one, 'Paused') === 'TooManySandboxes');
      return served && all.filter(isReady).length === 2;
    });
    t.equal(most(), 2);
  });

  /** One sandbox takes the place of another; the operator dies after its `lifetime`-th write. False when it did not. */
  const makeRoomAndDie = async (t: Parameters<typeof countPods>[0], lifetime: number): Promise<boolean> => {
    const death = mortal(client, lifetime);
    const s = await startScene(cluster, death.client, {
      policy: { overOwnerLimit: 'PauseLeastActive', perOwner: 1 },
    });
    const most = countPods(t, s.namespace, 'u');
    let replaced: Promise<void> | undefined;
    const when = (name: string, match: (sandbox: Sandbox) => boolean) =>
      until(`${name} after a death at write ${lifetime}`, async () => {
        if (death.died()) await (replaced ??= s.restart());
        await s.pods();
        return match(await s.get(name));
      });
    try {
      await s.sandbox('one', { owner: 'u' });
      await when('one', isReady);
      await s.sandbox('two', { owner: 'u' });
      await when('two', isReady);
      await when('one', (one) => one.status?.phase === 'Paused' && reasonOf(one, 'Paused') === 'TooManySandboxes');
      if ((await s.pods()).length !== 1 || most() !== 1) throw new Error(`${most()} pods after write ${lifetime}`);
      return death.died();
    } finally {
      await s.close();
    }
  };

  await t.test('killed after any of its writes, the limit holds and the right one is paused', async (t) => {
    const AT_ONCE = 4;
    for (let lifetime = 1; lifetime < 60; lifetime += AT_ONCE) {
      const turns = Array.from({ length: AT_ONCE }, (_, index) => makeRoomAndDie(t, lifetime + index));
      const died = await Promise.all(turns);
      t.pass(`writes ${lifetime} to ${lifetime + AT_ONCE - 1}`);
      if (!died.every(Boolean)) return;
    }
    t.fail('more than 60 writes');
  });

  await t.test('the end', () => endSuite(cluster));
});
