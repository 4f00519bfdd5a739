/** Wherever its connections are cut, in the middle of a list, before a watch, after any byte of one, a cache misses nothing. */
import { randomUUID } from 'node:crypto';
import assert from 'node:assert/strict';
import t from 'tap';
import { createClient } from '../kube/client.js';
import { createFreshCache } from '../kube/fresh.js';
import { SERVICE_ACCOUNT } from '../kube/kinds.js';
import { startReflector } from '../kube/reflector.js';
import type { KubeObject } from '../kube/types.js';
import { systemClock } from '../process/clock.js';
import { endSuite, startCluster } from '../test/support/cluster.js';
import { seeded, type Call, type Fault } from './testing/fault.js';
import { startFaultyApi } from './testing/faulty.js';
import { until } from './testing/until.js';

t.setTimeout(300_000);
const PATIENCE_MS = 90_000;
const SEEDS = [1, 2, 3, 5];
const WRITES = 100;
/** About three events. */
const MOST_BYTES = 2_000;
const SELECTOR = 'chosen=yes';
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** One in three watches is cut at once, the others after some bytes; one list in three is lost, cut or refused as expired. */
function weather(random: () => number): (call: Call) => Fault | undefined {
  return ({ verb }) => {
    const dice = random();
    const bytes = Math.floor(random() * MOST_BYTES);
    if (verb === 'watch')
      return dice < 0.1
        ? { kind: 'lose' }
        : dice < 0.15
          ? { kind: 'gone' }
          : { kind: 'cut', bytes: dice < 0.3 ? 0 : bytes };
    if (dice < 0.1) return { kind: 'cut', bytes };
    if (dice < 0.2) return { kind: 'lose' };
    return dice < 0.3 ? { kind: 'refuse', code: 410, reason: 'Expired' } : undefined;
  };
}

await t.test('cut anywhere', { timeout: 280_000 }, async (t) => {
  const cluster = await startCluster();
  const { client } = cluster;

  /** Creates, changes and deletes a few objects again and again; half of the changes move them into the selector or out of it. */
  const writeAll = async (namespace: string, random: () => number): Promise<void> => {
    for (let count = 0; count < WRITES; count++) {
      const ref = { namespace, name: `n${Math.floor(random() * 9)}` };
      const chosen = { chosen: random() < 0.5 ? 'yes' : 'no' };
      const deletes = random() < 0.3;
      const tolerant = (error: unknown) => {
        if (![404, 409].includes((error as { code?: number }).code ?? 0)) throw error;
      };
      if (deletes) await client.delete(SERVICE_ACCOUNT, ref).catch(tolerant);
      else
        await client
          .create(SERVICE_ACCOUNT, { metadata: { ...ref, labels: chosen } })
          .catch(() =>
            client.patch(
              SERVICE_ACCOUNT,
              ref,
              { metadata: { labels: chosen, annotations: { run: randomUUID() } } },
              { type: 'merge' },
            ),
          )
          .catch(tolerant);
    }
  };

  const misses = async (seed: number, labelSelector: string | undefined): Promise<string> => {
    const namespace = await cluster.newNamespace();
    const api = await startFaultyApi(cluster.kubeconfig);
    api.rule = weather(seeded(seed));
    const through = createClient(api.config);
    const cache = createFreshCache<KubeObject>({ clock: systemClock, changed: () => undefined });
    const told = new Map<string, number>();
    const note = ({ metadata }: KubeObject): void => {
      const [uid, version] = [metadata.uid ?? '', Number(metadata.resourceVersion)];
      assert.ok(version >= (told.get(uid) ?? 0), `${metadata.name} goes back to ${version}`);
      told.set(uid, version);
    };
    let backwards: unknown;
    const reflector = startReflector<KubeObject>({
      client: through,
      kind: SERVICE_ACCOUNT,
      namespace,
      labelSelector,
      pageSize: 2,
      clock: systemClock,
      // Answers that a test wants to see are not waited for.
      random: () => 0,
      log: { ...silent, error: ({ err }: { err: unknown }) => void (backwards ??= err) },
      handler: {
        upsert: (object) => (note(object), cache.handler.upsert(object)),
        remove: (object) => cache.handler.remove(object),
      },
    });
    try {
      await writeAll(namespace, seeded(seed + 1_000));
      api.rule = () => undefined;
      await until(
        `the cache of seed ${seed}`,
        async () => {
          const { items } = await client.list<KubeObject>(SERVICE_ACCOUNT, { namespace, labelSelector });
          const words = (objects: readonly KubeObject[]) =>
            objects
              .map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`)
              .sort()
              .join();
          const [is, should] = [words(cache.list()), words(items)];
          if (is !== should) throw new Error(`${is} instead of ${should}`);
          return true;
        },
        PATIENCE_MS,
      );
      assert.equal(backwards, undefined);
      return `${api.failed()} of ${api.calls.length} calls failed`;
    } finally {
      await reflector.stop();
      await through.close();
      await api.close();
    }
  };

  for (const selector of [undefined, SELECTOR])
    await t.test(selector ?? 'all objects', async (t) => {
      await Promise.all(SEEDS.map(async (seed) => t.pass(`seed ${seed}: ${await misses(seed, selector)}`)));
    });

  await t.test('the end', () => endSuite(cluster));
});
