/** Several operators on one namespace: each sandbox has exactly one, and a change of their number has no moment with two. */
import t from 'tap';
import { LABEL } from '../contracts/labels.js';
import { SANDBOX, SANDBOX_POOL, type Sandbox, type SandboxPool } from '../contracts/resources.js';
import type { LeaseObject } from '../kube/objects.js';
import { createFakeClock } from '../kube/testing/clock.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { otherLayoutsGone } from './layout.js';
import { countOf, holderIdentity, leaseName, newShard, parseShard, shardKey, shardSelector } from './shard.js';
import { sandboxOf } from './testing/situations.js';
import { startScene, type Scene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(300_000);
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const labelled = (shard: string) => ({ labels: { [LABEL.shard]: shard } });

t.test('shares, selectors, leases', async (t) => {
  t.same(parseShard('1/4'), { index: 1, count: 4 });
  for (const wrong of ['', '1', '4/4', '-1/2', '0/0', '0/65', '1/2/3', ' 0/2'])
    t.equal(parseShard(wrong), undefined, wrong);
  t.equal(shardSelector({ index: 0, count: 1 }), undefined);
  t.equal(shardSelector({ index: 0, count: 3 }), 'sandlot.dev/shard notin (1,2)');
  t.equal(shardSelector({ index: 2, count: 3 }), 'sandlot.dev/shard=2');
  const two = { index: 0, count: 2 };
  const home = (owner: string, more: Partial<Sandbox> = {}) => newShard({ ...sandboxOf({ owner }), ...more }, two);
  const owners = Array.from({ length: 200 }, (_, index) => `user-${index}`);
  const moved = owners.filter((owner) => home(owner) === '1').length;
  t.ok(moved > 60 && moved < 140, 'about half of the owners');
  const [first = ''] = owners.filter((owner) => home(owner) === '1');
  t.equal(home(first, { metadata: sandboxOf({}, undefined, labelled('1')).metadata }), undefined, 'it is at home');
  t.equal(
    home(first, { metadata: sandboxOf({}, undefined, labelled('7')).metadata }),
    '1',
    'whatever somebody wrote there',
  );
  t.equal(home(first, { status: { slot: 's' } }), undefined, 'with a slot it stays');
  t.equal(newShard(sandboxOf({ owner: first }), { index: 0, count: 1 }), undefined);
  t.equal(shardKey({ metadata: { name: 'x' } }), shardKey({ metadata: { name: 'x', ...labelled('0') } }));
  t.same([leaseName(two), leaseName({ index: 1, count: 2 })], ['sandlot-operator', 'sandlot-operator-1']);
  t.same([countOf(holderIdentity('pod', two)), countOf(holderIdentity('pod', { index: 0, count: 1 }))], [2, 1]);
});

t.test('operators of another number of shards are waited for', async (t) => {
  const leases = new Map<string, LeaseObject>();
  const put = (name: string, version: string, holderIdentity: string) =>
    leases.set(name, {
      metadata: { name, resourceVersion: version },
      spec: { holderIdentity, leaseDurationSeconds: 15 },
    });
  const clock = createFakeClock(0);
  let down = false;
  const client = {
    list: async () => {
      if (down) throw new Error('down');
      return { metadata: {}, items: [...leases.values()] };
    },
  } as never;
  const begin = (count: number) => {
    const state = { begun: false };
    const { signal } = new AbortController();
    const options = {
      client,
      namespace: 'ns',
      shard: { index: 0, count },
      clock,
      monotonicNow: clock.now,
      log: silent,
    };
    void otherLayoutsGone(options, signal).then(() => (state.begun = true));
    return state;
  };
  put('sandlot-operator-1', '1', 'pod/1of2');
  put('somebody-else', '1', 'pod');
  await clock.advance(0);
  const same = begin(2);
  await clock.advance(0);
  t.equal(same.begun, true, 'those of the own number are no others');
  put('sandlot-operator', '1', 'pod');
  const other = begin(2);
  await clock.advance(10_000);
  put('sandlot-operator', '2', 'pod');
  await clock.advance(10_000);
  t.equal(other.begun, false, 'it renews');
  await clock.advance(10_000);
  t.equal(other.begun, true, 'it is gone without a word');
  const released = begin(3);
  await clock.advance(2_000);
  t.equal(released.begun, false);
  down = true;
  await clock.advance(20_000);
  t.equal(released.begun, false, 'silence of the API server proves nothing');
  down = false;
  for (const name of ['sandlot-operator', 'sandlot-operator-1']) put(name, '9', '');
  await clock.advance(2_000);
  t.equal(released.begun, true, 'given back');
});

await t.test('shards on a Kubernetes API', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;
  const two = (index: number) => ({ index, count: 2 });
  const staged = async (t: { teardown(run: () => Promise<void>): void }, shard = two(0)): Promise<Scene> => {
    const one = await startScene(cluster, client, { shard });
    t.teardown(() => one.close());
    return one;
  };
  const owners = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank'];
  const homeOf = (owner: string) => newShard(sandboxOf({ owner }), two(0)) ?? '0';
  const inSecond = owners.find((owner) => homeOf(owner) === '1') ?? '';

  await t.test('two share a namespace: each sandbox has one, pools and children go with it', async (t) => {
    const s = await staged(t);
    const second = s.beside({ shard: two(1) });
    await s.pool(1);
    await client.create<SandboxPool>(SANDBOX_POOL, {
      metadata: { name: 'warm-1', namespace: s.namespace, ...labelled('1') },
      spec: { template: 'standard', replicas: 1 },
    });
    await until('both pools', async () => {
      await s.pods();
      const { items } = await client.list<SandboxPool>(SANDBOX_POOL, { namespace: s.namespace });
      return items.every(({ status }) => status?.readyReplicas === 1);
    });
    const names = owners.flatMap((owner) => [`${owner}-1`, `${owner}-2`]);
    for (const name of names) await s.sandbox(name, { template: 'standard', owner: name.split('-')[0] ?? '' });
    const all = await Promise.all(names.map((name) => s.ready(name)));
    for (const { metadata, spec, status } of all) {
      t.equal(shardKey({ metadata }), homeOf(spec.owner ?? ''), `${metadata.name} is with its owner's others`);
      if (status?.pool !== undefined) t.equal(status.pool, shardKey({ metadata }) === '1' ? 'warm-1' : 'warm');
    }
    t.same(new Set(all.map(({ status }) => status?.pool)), new Set(['warm', 'warm-1', undefined]));
    const pods = await s.pods();
    for (const { metadata, status } of all)
      t.equal(
        pods.find((pod) => pod.metadata.name === status?.slot)?.metadata.labels?.[LABEL.shard],
        metadata.labels?.[LABEL.shard],
      );
    const seen = [s.operator, second].map(({ world }) => world.sandboxes.list().map(({ metadata }) => metadata.name));
    t.same(seen.flat().sort(), names.sort(), 'together they see all, and none twice');
    t.ok(seen.every(({ length }) => length > 0));
    t.equal(second.world.pods.list().length + s.operator.world.pods.list().length, pods.length);
  });

  await t.test('from one to two: the new one waits, and live sandboxes are left alone', async (t) => {
    const s = await staged(t, { index: 0, count: 1 });
    await s.sandbox('before', { owner: inSecond });
    const before = await s.ready('before');
    const second = s.beside({ shard: two(1) });
    await until('it has its lease', async () => second.leads());
    await client.create<Sandbox>(SANDBOX, {
      metadata: { name: 'meanwhile', namespace: s.namespace, ...labelled('1') },
      spec: { owner: owners.find((owner) => homeOf(owner) === '0') ?? '' },
    });
    t.equal(shardKey(await s.ready('meanwhile')), '1', 'the second would have moved it; only the first one acted');
    await s.restart(client, two(0));
    await s.sandbox('after', { owner: inSecond });
    t.equal(shardKey(await s.ready('after')), '1');
    t.equal((await s.get('before')).status?.podUID, before.status?.podUID);
    t.equal(shardKey(await s.get('before')), '0', 'with a slot it stays where it is');
  });

  await t.test('the end', () => endSuite(cluster));
});
