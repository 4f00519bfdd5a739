/** Writes of a leader whose term runs out while nothing of the election runs. */
import t from 'tap';
import { KubeError, type KubeClient } from './client.js';
import { fencedClient } from './fence.js';
import { LEASE, POD } from './kinds.js';
import { createFakeClock } from './testing/clock.js';
import { electionOn, leaseServer } from './testing/lease-server.js';
import type { KubeObject } from './types.js';

/** Takes everything, and tells with which time-out. */
function recordingClient() {
  const calls: [string, number | undefined][] = [];
  const take =
    (verb: string, options: number) =>
    async (...args: unknown[]): Promise<KubeObject> => {
      calls.push([verb, (args[options] as { timeoutMs?: number } | undefined)?.timeoutMs]);
      return { metadata: { name: 'x' } };
    };
  const client = {
    get: take('get', 2),
    create: take('create', 2),
    replace: take('replace', 2),
    patch: take('patch', 3),
    apply: take('apply', 2),
    delete: take('delete', 2),
    raw: take('raw', 0),
  } as unknown as KubeClient;
  return { client, calls };
}

t.test('fence', async (t) => {
  const clock = createFakeClock();
  let frozen = 0;
  const election = electionOn(clock, {
    client: leaseServer().clientOf('a'),
    identity: 'a',
    monotonicNow: () => clock.now() + frozen,
  });
  const notLeading = new KubeError('', { code: 0, reason: 'NotLeading' });
  const { client, calls } = recordingClient();
  const fenced = fencedClient(client, () => election.writeTimeMs());
  const pod = { metadata: { name: 'p', namespace: 'n' } };
  const writes: [string, () => Promise<unknown>][] = [
    ['create', () => fenced.create(POD, pod as never)],
    ['replace', () => fenced.replace(LEASE, pod as never)],
    ['patch', () => fenced.patch(POD, pod.metadata, {}, { type: 'merge' })],
    ['apply', () => fenced.apply(POD, pod as never, { fieldManager: 'm' })],
    ['delete', () => fenced.delete(POD, pod.metadata)],
    ['raw', () => fenced.raw({ method: 'POST', path: '/x' })],
  ];
  await clock.advance(0);
  frozen = 4_000;
  for (const [, write] of writes) await write();
  t.same(
    calls.splice(0),
    writes.map(([verb]) => [verb, 11_000]),
    'what begins now ends before another may lead: 6 s of the term and the 5 s after it',
  );
  await fenced.patch(POD, pod.metadata, {}, { type: 'merge', timeoutMs: 10 });
  t.same(calls.splice(0), [['patch', 10]], 'an own, shorter time-out stays');

  // The machine stood still; no timer of the election has run yet.
  frozen = 10_000;
  for (const [verb, write] of writes) await t.rejects(write(), notLeading, `${verb} after the term`);
  await fenced.get(POD, pod.metadata);
  t.same(calls.splice(0), [['get', undefined]], 'reading is free');
  await election.stop();
});
