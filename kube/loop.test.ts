/** Queue, controller, status writer and events on a clock that only the test moves. */
import { Registry } from 'prom-client';
import t from 'tap';
import { createApplier } from './apply.js';
import { KubeError } from './client.js';
import { done, retry, stalled, startController, wait, type Outcome } from './controller.js';
import { createEventRecorder } from './events.js';
import { CONFIG_MAP, POD } from './kinds.js';
import { createKubeMetrics } from './metrics.js';
import { createQueue } from './queue.js';
import { createStatusWriter } from './status.js';
import { createFakeClock, settled } from './testing/clock.js';
import type { KubeObject } from './types.js';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const random = () => 0;
const conflict = () => new KubeError('c', { code: 409, reason: 'Conflict' });
const notFound = () => new KubeError('n', { code: 404, reason: 'NotFound' });

t.test('queue: merge rules', async (t) => {
  const clock = createFakeClock();
  const queue = createQueue({ clock, random });
  const take = async () => (await queue.take())?.key;

  queue.add('a');
  queue.add('b');
  queue.add('a');
  t.equal(queue.depth(), 2, 'one entry per key');
  queue.add('c', { priority: 5 });
  queue.add('b', { priority: 9 });
  t.same([await take(), await take(), await take()], ['b', 'c', 'a'], 'highest priority, then order');
  queue.add('a', { priority: 1 });
  t.equal(queue.depth(), 0, 'never two workers on one key');
  queue.done('a');
  t.equal(await take(), 'a', 'again after done');
  for (const key of ['a', 'b', 'c']) queue.done(key);

  queue.add('late', { afterMs: 1000 });
  queue.add('late', { afterMs: 5000 });
  queue.add('soon', { afterMs: 500 });
  queue.add('soon', { afterMs: 100 });
  t.same([queue.depth(), queue.size()], [0, 2]);
  const first = take();
  const second = take();
  await clock.advance(99);
  t.equal(queue.size(), 2);
  await clock.advance(1);
  t.equal(await first, 'soon', 'earliest time wins');
  await clock.advance(899);
  t.equal(queue.size(), 1);
  await clock.advance(1);
  t.equal(await second, 'late');
  queue.add('late', { afterMs: 50 });
  await clock.advance(60);
  t.equal(queue.depth(), 0, 'due, but its worker is not done');
  queue.done('late');
  t.equal(await take(), 'late');
  queue.add('x', { afterMs: 1000 });
  queue.add('x');
  t.equal(await take(), 'x', 'now beats later');
  await clock.advance(2000);
  queue.done('x');
  t.equal(queue.size(), 0, 'the later time is forgotten');

  const waiting = queue.take();
  queue.close();
  t.equal(await waiting, undefined);
  queue.add('z');
  t.equal(queue.size(), 0);
  t.equal(clock.sleepers(), 0, 'no timer is left');
});

t.test('queue: a wall clock that is set back or forward moves no visit', async (t) => {
  for (const jump of [-3_600_000, 3_600_000]) {
    const clock = createFakeClock();
    let skew = 0;
    const queue = createQueue({
      clock: { now: () => clock.now() + skew, monotonic: clock.now, sleep: clock.sleep },
      random,
    });
    queue.add('a', { afterMs: 1_000 });
    skew = jump;
    let taken: string | undefined;
    const taking = queue.take().then((item) => (taken = item?.key));
    queue.add('b', { afterMs: 2_000 });
    await clock.advance(999);
    t.equal(taken, undefined);
    await clock.advance(1);
    t.equal(taken, 'a');
    await taking;
    queue.close();
  }
});

t.test('queue: backoff per key', async (t) => {
  const queue = createQueue({ clock: createFakeClock(), random, backoff: { baseMs: 100, capMs: 500 } });
  t.same(
    [1, 2, 3, 4].map(() => queue.retry('a')),
    [100, 200, 400, 500],
  );
  t.equal(queue.retry('b'), 100);
  queue.forget('a');
  t.equal(queue.retry('a'), 100);
  t.equal(queue.retry('b', { afterMs: 9000 }), 9000, 'the server may ask for more');
  queue.close();
});

t.test('controller: outcomes become visits', async (t) => {
  const clock = createFakeClock();
  const start = clock.now();
  const visits: string[] = [];
  const answers: Record<string, Outcome[]> = {
    done: [done],
    wait: [wait(1000, 'w'), done],
    stalled: [stalled('s'), done],
    retry: [retry(new Error('1')), retry(new Error('2')), done],
    busy: [retry(new KubeError('b', { code: 429, reason: 'TooManyRequests', retryAfterMs: 7000 })), done],
  };
  const controller = startController({
    name: 'test',
    workers: 2,
    clock,
    log: silent,
    queue: createQueue({ clock, random, backoff: { baseMs: 100, capMs: 10_000 } }),
    reconcile: async (key) => {
      visits.push(`${key}@${clock.now() - start}`);
      const answer = answers[key]?.shift();
      if (answer === undefined) throw new Error('visited too often');
      return answer;
    },
  });
  for (const key of Object.keys(answers)) controller.add(key);
  await clock.advance(60_000);
  t.same(visits.sort(), [
    'busy@0',
    'busy@7000',
    'done@0',
    'retry@0',
    'retry@100',
    'retry@300',
    'stalled@0',
    'wait@0',
    'wait@1000',
  ]);
  controller.add('stalled');
  await clock.advance(1);
  t.equal(visits.at(-1), 'stalled@60000', 'a change brings it back');
  await controller.stop();
  t.equal(clock.sleepers(), 0);
});

t.test('controller: however many conflicts in a row, the next visit is soon', async (t) => {
  const clock = createFakeClock();
  let visits = 0;
  const reconcile = async (): Promise<Outcome> => (++visits < 30 ? retry(conflict()) : done);
  const controller = startController({ name: 'c', clock, log: silent, reconcile });
  controller.add('a');
  await clock.advance(40_000);
  t.equal(visits, 30);
  await controller.stop();
});

t.test('controller: time limit, exclusivity and stop', async (t) => {
  const clock = createFakeClock();
  let running = 0;
  let most = 0;
  const reasons: unknown[] = [];
  const controller = startController({
    name: 'test',
    workers: 3,
    clock,
    log: silent,
    timeoutMs: 5000,
    reconcile: async (_key, signal) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      running--;
      reasons.push((signal.reason as Error).message);
      return done;
    },
  });
  controller.add('a');
  await settled();
  controller.add('a');
  await clock.advance(4999);
  t.same([running, reasons.length], [1, 0]);
  await clock.advance(1);
  t.same(reasons, ['the reconcile took longer than 5000 ms']);
  t.equal(running, 1, 'visited again');
  const stopped = controller.stop(1000);
  await clock.advance(1000);
  await stopped;
  t.same([most, running, reasons[1]], [1, 0, 'the controller stops']);
  t.equal(clock.sleepers(), 0);
});

interface Thing extends KubeObject {
  status?: { n?: number; word?: string };
}

t.test('status writer: silent when equal, again after a conflict, quiet when gone', async (t) => {
  const patches: unknown[] = [];
  let stored: Thing | undefined = {
    metadata: { name: 'x', uid: 'u', resourceVersion: '7' },
    status: { n: 5, word: 'w' },
  };
  const writer = createStatusWriter<Thing, NonNullable<Thing['status']>>({
    kind: CONFIG_MAP as never,
    fieldManager: 'm',
    client: {
      get: async <T extends KubeObject>() => {
        if (stored === undefined) throw notFound();
        return stored as unknown as T;
      },
      patch: async <T extends KubeObject>(_kind: unknown, _ref: unknown, body: unknown) => {
        const { metadata } = body as Thing;
        if (stored === undefined) throw notFound();
        if (metadata.resourceVersion !== stored.metadata.resourceVersion) throw conflict();
        patches.push(body);
        return { ...stored, status: { ...stored.status, ...(body as Thing).status } } as unknown as T;
      },
    },
  });
  const stale: Thing = { metadata: { name: 'x', uid: 'u', resourceVersion: '6' }, status: { n: 1, word: 'w' } };
  await writer.write(stale, (latest) => ({ ...latest.status }));
  t.same(patches, []);
  const after = await writer.write(stale, (latest) => ({ n: (latest.status?.n ?? 0) + 1, word: 'w' }));
  t.same(patches, [{ metadata: { resourceVersion: '7', uid: 'u' }, status: { n: 6 } }]);
  t.equal(after?.status?.n, 6);
  stored = { metadata: { name: 'x', uid: 'another', resourceVersion: '9' } };
  t.equal(await writer.write(stale, () => ({ n: 2 })), undefined, 'another object of that name');
  stored = undefined;
  t.equal(await writer.write(stale, () => ({ n: 2 })), undefined);
});

t.test('applier: nothing is written twice', async (t) => {
  const applied: KubeObject[] = [];
  const applier = createApplier({
    fieldManager: 'm',
    hashAnnotation: 'example.org/applied',
    client: {
      apply: async (_kind, object) => {
        applied.push(object);
        return object;
      },
    },
  });
  const desired = { metadata: { namespace: 'a', name: 'x' }, data: { k: '1' } };
  const first = await applier.apply(CONFIG_MAP, desired);
  await applier.apply(CONFIG_MAP, desired, first);
  t.equal(applied.length, 1);
  await applier.apply(CONFIG_MAP, { ...desired, data: { k: '2' } }, first);
  t.equal(applied.length, 2);
});

t.test('events: repeats are counted, floods are dropped, failures are swallowed', async (t) => {
  const clock = createFakeClock();
  const calls: string[] = [];
  let fail = false;
  const recorder = createEventRecorder({
    clock,
    log: silent,
    component: 'c',
    instance: 'i',
    client: {
      create: async (_kind, object) => {
        if (fail) throw new KubeError('down', { code: 0, reason: 'Timeout' });
        calls.push(`create ${(object as { message?: string }).message}`);
        return object;
      },
      patch: async <T extends KubeObject>(_kind: unknown, _ref: unknown, body: unknown) => {
        calls.push(`count ${(body as { count: number }).count}`);
        return {} as T;
      },
    },
  });
  const pod = { metadata: { name: 'p', namespace: 'n', uid: 'u' } };
  const say = (message: string) => recorder.record(POD, pod, { reason: 'R', message });
  say('a');
  say('a');
  say('b');
  await settled();
  t.same(calls, ['create a', 'count 2', 'create b']);
  await clock.advance(700_000);
  say('a');
  await settled();
  t.equal(calls.at(-1), 'create a', 'an old one is not revived');
  for (let n = 0; n < 100; n++) say(`m${n}`);
  await settled();
  t.equal(calls.length + recorder.dropped(), 104, 'every event is accounted for');
  t.ok(recorder.dropped() >= 74);
  fail = true;
  recorder.record(POD, { metadata: { name: 'q', namespace: 'n', uid: 'v' } }, { reason: 'R', message: 'x' });
  await recorder.stop();
  t.equal(calls.length + recorder.dropped(), 105);
});

t.test('metrics have the names that dashboards know', async (t) => {
  const registry = new Registry();
  const metrics = createKubeMetrics(registry);
  metrics.controller('c', 2);
  metrics.reconcile({ name: 'c', result: 'terminal_error', seconds: 1 });
  metrics.request({ method: 'GET', host: 'h:1', code: 200, seconds: 0.1 });
  metrics.request({ method: 'GET', host: 'h:1', code: 0, seconds: 0.1 });
  metrics.leader('l', true);
  const text = await registry.metrics();
  for (const line of [
    'controller_runtime_reconcile_total{controller="c",result="error"} 1',
    'controller_runtime_reconcile_total{controller="c",result="success"} 0',
    'controller_runtime_terminal_reconcile_errors_total{controller="c"} 1',
    'controller_runtime_max_concurrent_reconciles{controller="c"} 2',
    'controller_runtime_active_workers{controller="c"} 0',
    'rest_client_requests_total{code="200",method="GET",host="h:1"} 1',
    'rest_client_requests_total{code="<error>",method="GET",host="h:1"} 1',
    'leader_election_master_status{name="l"} 1',
  ]) {
    t.ok(text.includes(line), line);
  }
});

t.test('metrics of a queue: what waits by priority, what runs and for how long, merged adds once', async (t) => {
  const registry = new Registry();
  const clock = createFakeClock();
  const queue = createQueue({ clock, name: 'q', metrics: createKubeMetrics(registry), random });
  const value = async (name: string, priority?: string): Promise<number | undefined> =>
    (await registry.getSingleMetric(name)?.get())?.values.find(
      ({ labels }) => labels.name === 'q' && labels.controller === 'q' && labels.priority === priority,
    )?.value;
  queue.add('a');
  await queue.take();
  await clock.advance(2_000);
  queue.add('b');
  await queue.take();
  await clock.advance(1_000);
  for (const key of ['c', 'c', 'd', 'a']) queue.add(key);
  queue.add('d', { priority: 5 });
  queue.add('later', { afterMs: 60_000 });
  t.equal(await value('workqueue_depth', '0'), 1, 'c');
  t.equal(await value('workqueue_depth', '5'), 1, 'd');
  t.equal(await value('workqueue_unfinished_work_seconds'), 4, 'a for 3 s and b for 1 s');
  t.equal(await value('workqueue_longest_running_processor_seconds'), 3);
  t.equal(await value('workqueue_adds_total'), 4, 'a, b, c, d: what is not due yet does not count');
  queue.done('a');
  t.equal(await value('workqueue_adds_total'), 5, 'a, which came while it ran');
  t.equal(await value('workqueue_longest_running_processor_seconds'), 1, 'b');
  queue.close();
  t.equal(await value('workqueue_depth', '0'), undefined, 'a queue that is closed is not looked at');
});
