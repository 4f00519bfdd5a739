/** Against a real API server: set SANDLOT_TEST_KUBECONFIG. Everything happens in a namespace of its own, deleted at the end. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createApplier } from './apply.js';
import { createCache, keyOf } from './cache.js';
import {
  createClient,
  isAlreadyExists,
  isConflict,
  isGone,
  isInvalid,
  isNotFound,
  KubeError,
  loadKubeConfig,
} from './client.js';
import { createEventRecorder } from './events.js';
import { CONFIG_MAP, EVENT, LEASE, NAMESPACE, POD } from './kinds.js';
import { createVacantLease, startLeaderElection } from './lease.js';
import type { ConfigMap } from './objects.js';
import { startReflector } from './reflector.js';
import { createStatusWriter } from './status.js';
import type { Clock, WatchEvent } from './types.js';

const kubeconfig = process.env['SANDLOT_TEST_KUBECONFIG'];
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const clock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    const { setTimeout: sleep } = await import('node:timers/promises');
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  },
};
const options =
  kubeconfig === undefined || kubeconfig === '' ? { skip: 'SANDLOT_TEST_KUBECONFIG is not set' } : { timeout: 90_000 };

await t.test('a real API server', options, async (t) => {
  const client = createClient(loadKubeConfig({ KUBECONFIG: kubeconfig }));
  const namespace = `kube-test-${randomBytes(4).toString('hex')}`;
  await client.create(NAMESPACE, { metadata: { name: namespace } });
  t.teardown(async () => {
    await client.delete(NAMESPACE, { name: namespace });
    await client.close();
  });
  const map = (name: string, data: Record<string, string> = {}): ConfigMap => ({
    metadata: { namespace, name, labels: { test: 'kube' } },
    data,
  });
  const failure = (run: Promise<unknown>) =>
    run.then(
      () => undefined,
      (error: unknown) => error,
    );
  const becomes = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
    const end = Date.now() + 20_000;
    while (!(await condition())) {
      if (Date.now() > end) throw new Error(`timed out: ${what}`);
      await clock.sleep(20);
    }
  };

  await t.test('verbs and errors', async (t) => {
    const ref = { namespace, name: 'verbs' };
    const created = await client.create(CONFIG_MAP, map('verbs', { a: '1' }));
    t.ok(isAlreadyExists(await failure(client.create(CONFIG_MAP, map('verbs')))));
    const patched = await client.patch(CONFIG_MAP, ref, { data: { b: '2' } }, { type: 'merge' });
    t.same(patched.data, { a: '1', b: '2' });
    t.ok(isConflict(await failure(client.replace(CONFIG_MAP, created))));
    const conditional = { metadata: { resourceVersion: created.metadata.resourceVersion }, data: { c: '3' } };
    t.ok(isConflict(await failure(client.patch(CONFIG_MAP, ref, conditional, { type: 'merge' }))));
    await client.patch(CONFIG_MAP, ref, [{ op: 'remove', path: '/data/a' }], { type: 'json' });
    t.same((await client.get(CONFIG_MAP, ref)).data, { b: '2' });
    t.ok(isConflict(await failure(client.delete(CONFIG_MAP, ref, { preconditions: { uid: 'another' } }))));
    t.ok(isInvalid(await failure(client.create(CONFIG_MAP, map('Not_A_Name')))));
    await client.delete(CONFIG_MAP, ref);
    t.ok(isNotFound(await failure(client.get(CONFIG_MAP, ref))));
    t.match(await failure(client.raw({ path: '/apis/no.such.group/v1/things' })), { code: 404 });
    t.ok((await client.raw({ path: '/version' })).text.includes('gitVersion'));
  });

  await t.test('server-side apply', async (t) => {
    const applier = createApplier({ client, fieldManager: 'kube-test', hashAnnotation: 'example.org/applied' });
    const first = await applier.apply(CONFIG_MAP, map('applied', { a: '1', b: '2' }));
    const again = await applier.apply(CONFIG_MAP, map('applied', { a: '1', b: '2' }), first);
    t.equal(again.metadata.resourceVersion, first.metadata.resourceVersion);
    const less = await applier.apply(CONFIG_MAP, map('applied', { a: '1' }), again);
    t.same(less.data, { a: '1' }, 'what is no longer declared goes');
    const other = client.apply(CONFIG_MAP, map('applied', { a: '9' }), { fieldManager: 'other' });
    t.ok(isConflict(await failure(other)), 'fields have owners');
  });

  await t.test('paged lists and old versions', async (t) => {
    for (let n = 0; n < 5; n++) await client.create(CONFIG_MAP, map(`page-${n}`));
    const page = await client.list(CONFIG_MAP, { namespace, labelSelector: 'test=kube', limit: 2 });
    t.equal(page.items.length, 2);
    const next = await client.list(CONFIG_MAP, {
      namespace,
      labelSelector: 'test=kube',
      limit: 2,
      continue: page.metadata.continue,
    });
    t.equal(next.metadata.resourceVersion, page.metadata.resourceVersion, 'pages are of one moment');
    const old = client.watch(CONFIG_MAP, { namespace, resourceVersion: '1', timeoutSeconds: 2 }, () => undefined);
    const error = await failure(old);
    t.ok(error === undefined || isGone(error), 'an old version is served or answered by 410');
  });

  await t.test('watch ends cleanly with a bookmark', async (t) => {
    const { metadata } = await client.list(CONFIG_MAP, { namespace, limit: 1 });
    const events: WatchEvent<ConfigMap>[] = [];
    await client.watch(
      CONFIG_MAP,
      { namespace, resourceVersion: metadata.resourceVersion, timeoutSeconds: 3 },
      (event) => events.push(event),
    );
    t.same(
      events.filter(({ type }) => type !== 'BOOKMARK'),
      [],
    );
  });

  await t.test('reflector follows', async (t) => {
    const cache = createCache<ConfigMap, 'colour'>({ indexes: { colour: ({ data }) => data?.['colour'] } });
    const reflector = startReflector({
      client,
      kind: CONFIG_MAP,
      namespace,
      labelSelector: 'test=kube',
      pageSize: 2,
      clock,
      log: silent,
      handler: { upsert: (object) => void cache.upsert(object), remove: (object) => void cache.remove(object) },
    });
    t.ok(await reflector.synced);
    t.ok(cache.size >= 6);
    await client.create(CONFIG_MAP, map('seen', { colour: 'red' }));
    await becomes('red', () => cache.count('colour', 'red') === 1);
    await client.patch(CONFIG_MAP, { namespace, name: 'seen' }, { data: { colour: 'blue' } }, { type: 'merge' });
    await becomes('blue', () => cache.count('colour', 'blue') === 1 && cache.count('colour', 'red') === 0);
    t.equal(cache.get(keyOf({ metadata: { namespace, name: 'seen' } }))?.metadata.managedFields, undefined);
    await client.patch(
      CONFIG_MAP,
      { namespace, name: 'seen' },
      { metadata: { labels: { test: null } } },
      { type: 'merge' },
    );
    await becomes('gone from the selector', () => cache.count('colour', 'blue') === 0);
    await reflector.stop();
  });

  await t.test('status writer on a pod', async (t) => {
    const pod = await client
      .create(POD, {
        metadata: { namespace, name: 'p' },
        spec: {
          containers: [{ name: 'c', image: 'none' }],
          nodeName: 'no-such-node',
          automountServiceAccountToken: false,
          serviceAccountName: 'default',
        },
      })
      .catch(async (error: unknown) => {
        // The default service account is made by a controller a moment after the namespace.
        if (!(error instanceof KubeError) || error.code !== 403) throw error;
        await clock.sleep(1000);
        return client.create(POD, {
          metadata: { namespace, name: 'p' },
          spec: { containers: [{ name: 'c', image: 'none' }], nodeName: 'no-such-node' },
        });
      });
    const writer = createStatusWriter<typeof pod, NonNullable<typeof pod.status>>({
      client,
      kind: POD,
      fieldManager: 'kube-test',
    });
    await client.patch(POD, pod.metadata, { metadata: { labels: { moved: 'on' } } }, { type: 'merge' });
    const after = await writer.write(pod, (latest) => ({ ...latest.status, message: 'written' }));
    t.equal(after?.status?.message, 'written', 'through a conflict');
    t.equal(after?.metadata.labels?.['moved'], 'on');
    const same = await writer.write(after ?? pod, (latest) => ({ ...latest.status, message: 'written' }));
    t.equal(same?.metadata.resourceVersion, after?.metadata.resourceVersion);
    await client.delete(POD, pod.metadata, { gracePeriodSeconds: 0 });
    await becomes('pod deleted', async () => isNotFound(await failure(client.get(POD, pod.metadata))));
  });

  await t.test('leader election hands over', async (t) => {
    const terms: string[] = [];
    const start = (identity: string) =>
      startLeaderElection({
        client,
        namespace,
        name: 'leader',
        identity,
        clock,
        log: silent,
        leaseDurationMs: 3000,
        renewDeadlineMs: 2000,
        retryPeriodMs: 200,
        lead: async (signal) => {
          terms.push(`+${identity}`);
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          terms.push(`-${identity}`);
        },
      });
    await createVacantLease(client, { namespace, name: 'leader' });
    const a = start('a');
    await becomes('a leads', () => a.leads());
    const b = start('b');
    await becomes('b knows', () => b.holder() === 'a');
    t.notOk(b.leads());
    await a.stop();
    await becomes('b leads', () => b.leads());
    t.equal((await client.get(LEASE, { namespace, name: 'leader' })).spec?.holderIdentity, 'b');
    await b.stop();
    t.same(terms, ['+a', '-a', '+b', '-b']);
  });

  await t.test('events are counted', async (t) => {
    const about = await client.create(CONFIG_MAP, map('about'));
    const recorder = createEventRecorder({ client, clock, log: silent, component: 'kube-test', instance: 'one' });
    for (let n = 0; n < 3; n++) recorder.record(CONFIG_MAP, about, { reason: 'Tested', message: 'by a test' });
    await becomes('one event, three times', async () => {
      const { items } = await client.list(EVENT, { namespace, fieldSelector: `involvedObject.name=about` });
      return items.length === 1 && items[0]?.count === 3;
    });
    await recorder.stop();
    t.equal(recorder.dropped(), 0);
  });
});
