/** The sandboxes that the API server knows: what a watch tells and what a write answers, in whatever order they come. */
import t, { type Test } from 'tap';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';
import type { KubeClient } from '../../kube/client.js';
import { createFakeClock } from '../../kube/testing/clock.js';
import type { KubeObject, WatchEvent } from '../../kube/types.js';
import { createLog } from '../../process/log.js';
import { startDirectory } from './directory.js';

const sandbox = (resourceVersion: string, phase?: 'Running'): Sandbox => ({
  metadata: { name: 'a', namespace: 'ns', uid: 'u', resourceVersion },
  spec: { owner: 'me', runState: 'Running' },
  ...(phase === undefined ? {} : { status: { phase } }),
});

/** A directory whose watch says what the test says. */
async function rig(t: Test) {
  let say: (event: WatchEvent<KubeObject>) => void = () => undefined;
  const client: Pick<KubeClient, 'list' | 'watch'> = {
    list: () => Promise.resolve({ metadata: { resourceVersion: '1' }, items: [] }),
    watch: (kind, { signal }, onEvent) => {
      t.equal(kind, SANDBOX);
      say = onEvent as typeof say;
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
    },
  };
  const clock = createFakeClock();
  const log = createLog({ name: 'test', level: 'silent' });
  const directory = startDirectory({ client, namespace: 'ns', secret: 'x'.repeat(32), clock, log });
  t.teardown(() => directory.stop());
  t.ok(await directory.synced);
  await new Promise(setImmediate);
  return { clock, directory, tell: (type: 'ADDED' | 'MODIFIED' | 'DELETED', object: Sandbox) => say({ type, object }) };
}

t.test('a write whose answer comes after what the watch told of it undoes nothing', async (t) => {
  const { directory, tell } = await rig(t);
  const ready = directory.waitFor(
    'a',
    (now) => (now?.status?.phase === 'Running' ? true : undefined),
    AbortSignal.timeout(30_000),
  );
  tell('ADDED', sandbox('2'));
  tell('MODIFIED', sandbox('3', 'Running'));
  directory.learn(sandbox('2'));
  t.equal(directory.get('a')?.status?.phase, 'Running');
  t.ok(await ready);
});

t.test('an answer that is quicker than the watch is known at once, and told', async (t) => {
  const { directory, tell } = await rig(t);
  const heard: unknown[] = [];
  directory.listen((now, before) => heard.push([now?.metadata.resourceVersion, before?.metadata.resourceVersion]));
  directory.learn(sandbox('2'));
  t.equal(directory.ownedBy('me').length, 1);
  tell('ADDED', sandbox('2'));
  tell('DELETED', sandbox('3'));
  t.same(heard.slice(0, 1), [['2', undefined]]);
  t.same(heard.at(-1), [undefined, '2']);
  t.equal(directory.get('a'), undefined);
});

t.test('an answer about what is gone already is dropped once the watch has spoken since', async (t) => {
  const { clock, directory, tell } = await rig(t);
  tell('ADDED', sandbox('2'));
  tell('DELETED', sandbox('4'));
  directory.learn(sandbox('3'));
  const gone = directory.waitFor('a', (now) => (now === undefined ? true : undefined), AbortSignal.timeout(30_000));
  await clock.advance(15_000);
  tell('ADDED', { ...sandbox('5'), metadata: { ...sandbox('5').metadata, name: 'b' } });
  await clock.advance(15_000);
  t.ok(await gone);
});
