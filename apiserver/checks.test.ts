import { Registry } from 'prom-client';
import t from 'tap';
import { createChecks } from './checks.js';

interface World {
  /** How the database answers from now on. */
  database: 'answers' | 'fails' | 'hangs';
  synced: boolean;
  contact: number;
}

async function watched(t: { teardown(end: () => Promise<void>): void }, world: World) {
  let now = 0;
  let looks = 0;
  const sleepers: (() => void)[] = [];
  const registry = new Registry();
  const said: string[] = [];
  const say = (message: unknown) => void said.push(String(message));
  const checks = createChecks({
    query: (async () => {
      looks++;
      if (world.database === 'fails') throw new Error('gone');
      if (world.database === 'hangs') await new Promise(() => undefined);
      return [];
    }) as never,
    directory: { hasSynced: () => world.synced, lastContact: () => world.contact },
    clock: {
      now: () => now,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted === true) return reject(new Error('aborted'));
          const abort = () => {
            sleepers.splice(sleepers.indexOf(wake), 1);
            reject(new Error('aborted'));
          };
          const wake = () => {
            signal?.removeEventListener('abort', abort);
            now += ms;
            resolve();
          };
          sleepers.push(wake);
          signal?.addEventListener('abort', abort);
        }),
    },
    registry,
    log: { warn: say, info: say } as never,
  });
  checks.start();
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  await settle();
  t.teardown(() => checks.stop());
  /** Lets the next sleep, or time-out, be over. */
  const pass = async () => {
    sleepers.shift()?.();
    await settle();
  };
  return { checks, pass, said, looks: () => looks, metrics: () => registry.metrics() };
}

t.test('a database that fails, and one that hangs, is told by its name; once lost is not', async (t) => {
  const world: World = { database: 'answers', synced: true, contact: 0 };
  const { checks, pass, said, metrics } = await watched(t, world);
  t.same(checks.failing(), {});
  world.database = 'fails';
  await pass();
  t.same(checks.failing(), {}, 'one answer may be lost');
  await pass();
  t.same(checks.failing(), { database: 'the database does not answer' });
  t.match(await metrics(), /sandlot_dependency_up\{dependency="database"\} 0\n[^]*dependency="cluster"\} 1/);
  world.database = 'answers';
  await pass();
  t.same(checks.failing(), {});
  world.database = 'hangs';
  for (let at = 0; at < 4; at++) await pass();
  t.same(checks.failing(), { database: 'the database does not answer' });
  t.same(said, ['the database does not answer', 'the database answers again', 'the database does not answer']);
});

t.test('the cluster', async (t) => {
  const world: World = { database: 'answers', synced: false, contact: 0 };
  const { checks, pass, metrics } = await watched(t, world);
  t.same(checks.failing(), { cluster: 'the list of sandboxes is not read yet' });
  world.synced = true;
  t.same(checks.failing(), {});
  for (let at = 0; at < 31; at++) await pass();
  t.same(checks.failing(), { cluster: 'the cluster has been silent for 155 s' });
  t.match(await metrics(), /dependency="cluster"\} 0/);
});
