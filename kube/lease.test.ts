/** Leader election on a clock that only the test moves. */
import t from 'tap';
import { KubeError } from './errors.js';
import { createVacantLease } from './lease.js';
import { createFakeClock } from './testing/clock.js';
import { electionOn, leaseServer } from './testing/lease-server.js';

t.test('lease: one leader, hand-over, loss', async (t) => {
  const clock = createFakeClock();
  const server = leaseServer();
  const working = new Set<string>();
  let most = 0;
  const start = (identity: string) =>
    electionOn(clock, {
      client: server.clientOf(identity),
      identity,
      lead: async (signal) => {
        working.add(identity);
        most = Math.max(most, working.size);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        working.delete(identity);
      },
    });
  const a = start('a');
  await clock.advance(0);
  const b = start('b');
  await clock.advance(30_000);
  t.same([[...working], a.leads(), b.leads(), b.holder()], [['a'], true, false, 'a']);
  t.match(server.spec(), { holderIdentity: 'a', leaseDurationSeconds: 15, leaseTransitions: 1 });
  t.match(server.spec()?.renewTime, /\.\d{6}Z$/);

  server.down.add('a');
  await clock.advance(9_000);
  t.ok(a.leads(), 'a failed renewal is not the end');
  await clock.advance(1_001);
  t.same([[...working], a.leads(), b.leads()], [[], false, false], 'steps down before anyone may take over');
  await clock.advance(8_000);
  t.same([[...working], b.leads()], [['b'], true], 'taken over after the lease duration');
  t.equal(server.spec()?.leaseTransitions, 2);

  server.down.delete('a');
  await clock.advance(20_000);
  t.same([[...working], a.holder()], [['b'], 'b']);
  await b.stop();
  t.equal(server.spec()?.holderIdentity, '', 'released');
  await clock.advance(2_500);
  t.same([...working], ['a'], 'a released lease is taken at the next try');
  t.equal(most, 1, 'never two');
  await a.stop();
  t.equal(clock.sleepers(), 0);
});

t.test('lease: a suspended machine does not believe that it leads', async (t) => {
  const clock = createFakeClock();
  let monotonic = 0;
  let wall = 0;
  const server = leaseServer();
  const election = electionOn(clock, {
    client: server.clientOf('a'),
    identity: 'a',
    clock: { now: () => clock.now() + wall, sleep: clock.sleep },
    monotonicNow: () => monotonic,
  });
  await clock.advance(0);
  t.ok(election.leads());
  wall = 60_000;
  t.notOk(election.leads(), 'by the wall clock');
  wall = 0;
  monotonic = 10_000;
  t.notOk(election.leads(), 'by the monotonic clock');
  await election.stop();
});

t.test('lease: a leader whose work fails does not lead on without working', async (t) => {
  const clock = createFakeClock();
  let terms = 0;
  let ending: AbortSignal | undefined;
  const election = electionOn(clock, {
    client: leaseServer().clientOf('a'),
    identity: 'a',
    lead: async (signal) => {
      terms += 1;
      if (terms === 1) throw new Error('no');
      ending = signal;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  await clock.advance(0);
  t.notOk(election.leads());
  await clock.advance(10_000);
  t.same([terms, election.leads(), ending?.aborted], [2, true, false], 'it works again');
  await election.stop();
});

t.test('lease: deleted under its holder, it is made anew and nobody else who saw it leads meanwhile', async (t) => {
  const clock = createFakeClock();
  const server = leaseServer();
  const start = (identity: string) =>
    electionOn(clock, {
      client: server.clientOf(identity),
      identity,
    });
  const a = start('a');
  await clock.advance(0);
  const b = start('b');
  await clock.advance(3_000);
  server.remove();
  await clock.advance(1_500);
  t.same([a.leads(), b.leads()], [true, false], 'the holder need not have noticed yet');
  await clock.advance(1_000);
  t.same([a.leads(), b.leads(), server.spec()?.holderIdentity], [true, false, 'a'], 'made anew in the same term');

  server.down.add('a');
  server.remove();
  await clock.advance(9_000);
  t.notOk(b.leads(), 'its holder may still lead');
  await clock.advance(8_000);
  t.same([a.leads(), b.leads(), server.spec()?.holderIdentity], [false, true, 'b']);
  await Promise.all([a.stop(), b.stop()]);
});

t.test('lease: a release whose renewal got no answer', async (t) => {
  const clock = createFakeClock();
  const server = leaseServer();
  const inner = server.clientOf('a');
  let mute = false;
  const election = electionOn(clock, {
    client: {
      ...inner,
      replace: async (kind, object) => {
        const answer = await inner.replace(kind, object);
        if (mute) throw new KubeError('cut', { code: 0, reason: 'ConnectionFailed' });
        return answer;
      },
    },
    identity: 'a',
  });
  await clock.advance(0);
  mute = true;
  await clock.advance(2_000);
  mute = false;
  await election.stop();
  t.equal(server.spec()?.holderIdentity, '', 'released all the same');
});

t.test('lease: a fresh process that finds none does not know whether it was deleted under a leader', async (t) => {
  const clock = createFakeClock();
  const server = leaseServer();
  const a = electionOn(clock, { client: server.clientOf('a'), identity: 'a' });
  await clock.advance(3_000);
  server.down.add('a');
  server.remove();
  const b = electionOn(clock, { client: server.clientOf('b'), identity: 'b' });
  for (let ms = 0; ms < 15_000; ms += 500) {
    t.notOk(b.leads() && a.writeTimeMs() > 0, `never two, ${ms} ms after`);
    await clock.advance(500);
  }
  await clock.advance(1_000);
  t.same([a.leads(), b.leads(), server.spec()?.holderIdentity], [false, true, 'b']);
  await Promise.all([a.stop(), b.stop()]);
});

t.test('lease: a leader whose Lease is deleted between two looks of a candidate is waited for', async (t) => {
  const clock = createFakeClock();
  const server = leaseServer();
  const b = electionOn(clock, { client: server.clientOf('b'), identity: 'b', random: () => 1 });
  await clock.advance(0);
  await b.stop();
  const c = electionOn(clock, { client: server.clientOf('c'), identity: 'c' });
  server.down.add('c');
  await clock.advance(100);
  const a = electionOn(clock, { client: server.clientOf('a'), identity: 'a' });
  await clock.advance(0);
  server.down.add('a');
  server.remove();
  server.down.delete('c');
  await clock.advance(9_000);
  t.same([a.leads(), c.leads()], [true, false]);
  await clock.advance(8_000);
  t.same([a.leads(), c.leads()], [false, true]);
  await Promise.all([a.stop(), c.stop()]);
});

t.test('lease: whoever knows that nobody leads says so, and the first one starts at once', async (t) => {
  const clock = createFakeClock();
  const server = leaseServer();
  const client = server.clientOf('a');
  server.remove();
  await createVacantLease(client, { namespace: 'n', name: 'l' });
  const a = electionOn(clock, { client, identity: 'a' });
  await clock.advance(0);
  t.ok(a.leads());
  await createVacantLease(client, { namespace: 'n', name: 'l' });
  t.equal(server.spec()?.holderIdentity, 'a', 'one that is there stays as it is');
  await a.stop();
});

t.test('lease: work that does not end at the end of its term', async (t) => {
  const clock = createFakeClock();
  const server = leaseServer();
  const deaf = (identity: string) =>
    electionOn(clock, { client: server.clientOf(identity), identity, lead: () => new Promise(() => undefined) });
  const a = deaf('a');
  await clock.advance(0);
  let stopped = false;
  const stopping = a.stop().then(() => (stopped = true));
  await clock.advance(14_000);
  t.notOk(stopped, 'its last write may still be under way');
  await clock.advance(1_001);
  t.ok(stopped, 'whoever stops it is not held up for longer');
  t.equal(server.spec()?.holderIdentity, 'a', 'not given back, it runs out');
  await stopping;

  const b = deaf('b');
  await clock.advance(20_000);
  t.ok(b.leads());
  server.down.add('b');
  let told: unknown;
  b.over.catch((error: unknown) => (told = error));
  await clock.advance(60_000);
  t.equal(told, undefined, 'calls that are under way may take their time');
  await clock.advance(20_000);
  t.match(told, { message: /does not end/ }, 'a process in this state can never lead again: it has to end');
  t.notOk(b.leads());
  await b.stop();
  t.equal(clock.sleepers(), 0);
});
