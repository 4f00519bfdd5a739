/**
 * Each way in which an API server is known to fail, during a working day of the operator: it ends at one pod per sandbox
 * with nothing orphaned, asks no more than it has to, and is quiet afterwards.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { isReady, SANDBOX, type Sandbox } from '../contracts/resources.js';
import { createClient } from '../kube/client.js';
import { systemClock } from '../process/clock.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { consistent } from './testing/consistent.js';
import { CONFLICT, isWrite, seeded, UNAVAILABLE, type Call, type Fault } from './testing/fault.js';
import { startFaultyApi, type FaultyApi } from './testing/faulty.js';
import { startScene, type Scene } from './testing/scene.js';
import { until } from './testing/until.js';

t.setTimeout(600_000);
const PATIENCE_MS = 90_000;
const KINDS = 7;
const QUIET_MS = 3_000;

type Test = { teardown(run: () => Promise<void>): unknown; ok(value: boolean, message: string): unknown };

await t.test('an API server that fails', { timeout: 580_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;

  const staged = async (t: Test, options: Parameters<typeof startScene>[2] = {}, rule?: FaultyApi['rule']) => {
    const api = await startFaultyApi(cluster.kubeconfig);
    if (rule !== undefined) api.rule = rule;
    const through = createClient(api.config, { userAgent: 'sandlot-faults', wallNow: options.clock?.now ?? Date.now });
    const s = await startScene(cluster, through, options);
    t.teardown(async () => {
      api.rule = () => undefined;
      await s.close();
      await through.close();
      await api.close();
    });
    return { s, api };
  };
  const when = (s: Scene, what: string, name: string, match: (sandbox: Sandbox) => boolean) =>
    until(
      `${name} ${what}`,
      async () => {
        await s.pods();
        const sandbox = await s.get(name);
        if (!match(sandbox)) throw new Error(JSON.stringify(sandbox.status));
        return sandbox;
      },
      PATIENCE_MS,
    );
  /** Claims, cold starts, an eviction, a pause with its resume, a deletion: all of it in the weather that there is. */
  const workday = async (s: Scene): Promise<void> => {
    await s.pool(2);
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map((name) => s.sandbox(name, { template: 'standard' })));
    const [, lost] = await Promise.all(names.map((name) => when(s, 'ready', name, isReady)));
    await s.kubelet.fail(lost?.status?.slot ?? '', { reason: 'Evicted', message: 'by the test' });
    await s.patch('c', { runState: 'Paused' });
    await client.delete(SANDBOX, { namespace: s.namespace, name: 'd' });
    await when(s, 'paused', 'c', ({ status }) => status?.phase === 'Paused');
    await s.patch('c', { runState: 'Running' });
    await when(s, 'resumed', 'c', (one) => isReady(one) && one.status?.keyEpoch === 2);
    await when(s, 'repaired', 'b', (one) => isReady(one) && one.status?.podUID !== lost?.status?.podUID);
  };
  /** The fault is over: the state is right, and then nothing is asked but the Lease and watches. */
  const calm = async (t: Test, s: Scene, api: FaultyApi): Promise<void> => {
    api.rule = () => undefined;
    await consistent({
      client,
      namespace: s.namespace,
      sandboxes: ['a', 'b', 'c'],
      warm: 2,
      patience: PATIENCE_MS,
    });
    const busy = ({ resource, verb }: Call) => resource !== 'leases' && verb !== 'watch';
    await until(
      'a quiet operator',
      () => {
        const late = api.calls.filter((call) => busy(call) && call.at > performance.now() - QUIET_MS);
        if (late.length > 0) throw new Error(JSON.stringify(late));
        return true;
      },
      30_000,
    );
    t.ok(true, `quiet after ${api.calls.length} calls, ${api.failed()} of them failed, ${lists(api)} lists`);
  };
  const lists = ({ calls }: FaultyApi) => calls.filter(({ verb }) => verb === 'list').length;
  /** Does it again and again until the day is over. */
  const during = async (day: Promise<void>, everyMs: number, act: () => void): Promise<number> => {
    const over = new AbortController();
    let times = 0;
    const acting = (async () => {
      while (!over.signal.aborted) {
        act();
        times += 1;
        await sleep(everyMs, undefined, { signal: over.signal }).catch(() => undefined);
      }
    })();
    await day.finally(() => over.abort());
    await acting;
    return times;
  };

  await t.test('fair weather', async (t) => {
    const { s, api } = await staged(t);
    await workday(s);
    await calm(t, s, api);
    t.ok(lists(api) <= KINDS + 3, `${lists(api)} lists`);
  });

  await t.test('watches end with 410 Gone, again and again', async (t) => {
    const { s, api } = await staged(t);
    const random = seeded(410);
    api.rule = ({ verb }) =>
      verb !== 'watch' || random() > 0.3
        ? undefined
        : random() < 0.5
          ? { kind: 'gone' }
          : { kind: 'refuse', code: 410, reason: 'Expired', message: 'too old resource version' };
    const times = await during(workday(s), 400, () => api.expireWatches());
    await calm(t, s, api);
    t.ok(lists(api) <= KINDS * (times * 4 + 4), `${lists(api)} lists for ${times} times`);
  });

  await t.test('watch connections are cut again and again: resumed, never listed anew', async (t) => {
    const { s, api } = await staged(t);
    await until('its caches are full', () => s.operator.unready().length === 0 && s.operator.leads());
    const times = await during(workday(s), 200, () => api.cut('watches'));
    await calm(t, s, api);
    t.ok(lists(api) <= KINDS + 3, `${lists(api)} lists, ${times} cuts`);
    const opened = api.calls.filter(({ verb }) => verb === 'watch').length;
    t.ok(opened <= KINDS * (times + 2), `${opened} watches`);
  });

  await t.test('429 with Retry-After, and a storage that is being initialised', async (t) => {
    const initialising: Fault = {
      kind: 'refuse',
      code: 429,
      reason: 'TooManyRequests',
      message: 'storage is (re)initializing',
      retryAfter: 1,
    };
    const began = performance.now();
    const { s, api } = await staged(t, {}, ({ verb, at }) =>
      verb === 'list' && at < began + 2_500 ? initialising : undefined,
    );
    await until('its caches are full', () => s.operator.unready().length === 0 && s.operator.leads());
    t.ok(lists(api) <= KINDS * 5, `${lists(api)} lists`);
    let late = 0;
    let first: number | undefined;
    api.rule = (call) => {
      if (!isWrite(call)) return undefined;
      // From the first write on, of each two seconds one is closed for writes.
      first ??= call.at;
      const closed = Math.floor((call.at - first) / 1_000) % 2 === 0;
      if (closed) late += 1;
      return closed ? { kind: 'refuse', code: 429, reason: 'TooManyRequests', retryAfter: 1 } : undefined;
    };
    await workday(s);
    await calm(t, s, api);
    t.ok(late > 0 && late < 150, `${late} writes were refused`);
  });

  await t.test('a storm of conflicts: refused, and real ones by somebody who writes all the time', async (t) => {
    const { s, api } = await staged(t);
    const random = seeded(409);
    api.rule = (call) => (isWrite(call) && call.verb !== 'create' && random() < 0.6 ? { ...CONFLICT } : undefined);
    const day = workday(s);
    await during(day, 400, () => {
      for (const name of ['a', 'b', 'c'])
        void client
          .patch(
            SANDBOX,
            { namespace: s.namespace, name },
            { metadata: { annotations: { touched: String(performance.now()) } } },
            { type: 'merge' },
          )
          .catch(() => undefined);
    });
    await calm(t, s, api);
    t.ok(api.calls.length < 3_000, `${api.calls.length} calls`);
  });

  await t.test('a pod whose deletion conflicts refuse is lost once', async (t) => {
    const { s, api } = await staged(t);
    let refused = 0;
    api.rule = ({ verb, resource }) =>
      verb === 'delete' && resource === 'pods' && refused++ < 4 ? { ...CONFLICT } : undefined;
    await s.pool(1);
    await s.sandbox('a', { template: 'standard' });
    const before = await when(s, 'ready', 'a', isReady);
    await s.kubelet.fail(before.status?.slot ?? '', { reason: 'Evicted', message: 'by the test' });
    const after = await when(s, 'repaired', 'a', (one) => isReady(one) && one.status?.podUID !== before.status?.podUID);
    t.ok(refused > 4, `${refused} deletions`);
    t.equal(after.status?.consecutiveFailures, 1);
  });

  await t.test('slow answers', async (t) => {
    const { s, api } = await staged(t);
    const random = seeded(800);
    api.rule = ({ verb }) => (verb === 'watch' ? undefined : { kind: 'delay', ms: 1_000 * random() ** 2 });
    await workday(s);
    await calm(t, s, api);
    t.ok(api.calls.length < 400, `${api.calls.length} calls`);
  });

  await t.test('stopped for a time and back', async (t) => {
    const { s, api } = await staged(t);
    await until('it leads', () => s.operator.leads());
    const day = workday(s);
    await sleep(700);
    const before = api.calls.length;
    api.rule = () => UNAVAILABLE;
    const away = sleep(16_000).then(() => (api.rule = () => undefined));
    await during(
      away.then(() => undefined),
      100,
      () => api.cut('all'),
    );
    t.ok(api.calls.length - before < 400, `${api.calls.length - before} calls while it was away`);
    await day;
    await calm(t, s, api);
  });

  await t.test('a clock that jumps, both ways', async (t) => {
    const hour = 3_600_000;
    let offset = hour;
    const clock = { ...systemClock, now: () => Date.now() + offset };
    const { s, api } = await staged(t, { clock });
    const jumps = [hour, 0, hour, -hour, 0, -24 * hour];
    const day = workday(s);
    await during(day, 700, () => {
      offset = jumps.shift() ?? -24 * hour;
    });
    await s.patch('a', { lifecycle: { idleTimeout: '30m' } });
    offset = hour;
    await calm(t, s, api);
    const { status } = await s.get('a');
    t.ok(
      status?.phase === 'Running' && Date.parse(status.claimedAt ?? '') < Date.now() + 60_000,
      'an hour is no idle time',
    );
    t.ok(api.calls.length < 800, `${api.calls.length} calls`);
  });

  await t.test('the end', () => endSuite(cluster));
});
