/** Pools that scale to demand: what is remembered, what follows from it, and pools that say themselves where their pods run. */
import t from 'tap';
import type { SandboxPool } from '../../contracts/resources.js';
import { timestamp } from '../durations.js';
import { NOW, podOf, sandboxOf } from '../testing/situations.js';
import { createAsks } from './asks.js';
import { demandOf, peakAfter, peakOf, startTimeMs, untilFewer, worth, type Peak } from './demand.js';
import { placedTemplate } from './placed.js';
import { mayHavePods, targetOf } from './target.js';
import { countWaiting } from './waiting.js';

const HALF = 600_000;
const rules = { startMs: 10_000, halfLife: HALF };
const peak = (claims: number, agoMs = 0): Peak => ({ claims, at: NOW - agoMs, startMs: 10_000 });
/** Ms before NOW. */
const times = (...ago: number[]) => ago.map((ms) => NOW - ms);

t.test('the busiest start-up time', async (t) => {
  const rows: [string, Peak | undefined, number[], Peak | undefined][] = [
    ['nobody asked', undefined, [], undefined],
    ['one', undefined, times(500), peak(1, 500)],
    ['three at once', undefined, times(900, 700, 500), peak(3, 500)],
    ['what is further apart than a start does not add up', undefined, times(25_000, 12_000, 500), peak(1, 500)],
    ['the busiest span of several', undefined, times(60_000, 59_000, 30_000, 29_000, 28_000, 500), peak(3, 28_000)],
    ['a busier one before counts on', peak(8, 30_000), times(900, 700, 500), peak(8, 30_000)],
    ['until it has faded', peak(8, 2 * HALF), times(900, 700, 500), peak(3, 500)],
    ['the same asks again change nothing', peak(3, 500), times(900, 700, 500), peak(3, 500)],
  ];
  for (const [name, before, asked, expected] of rows) t.same(peakAfter(before, asked, rules), expected, name);
});

t.test('a peak fades by half each half-life, and is kept by the status', async (t) => {
  t.equal(worth(undefined, NOW, HALF), 0);
  t.equal(worth(peak(8), NOW, HALF), 8);
  t.equal(worth(peak(8, HALF), NOW, HALF), 4);
  t.equal(worth(peak(8, 3 * HALF), NOW, HALF), 1);
  t.equal(worth(peak(8, -5_000), NOW, HALF), 8, 'a clock that jumps back adds nothing');
  const ms = untilFewer(peak(8), 8, NOW, HALF);
  t.equal(Math.round(worth(peak(8), NOW + ms, HALF)), 7, 'it says when it is one less');
  t.equal(Math.round(worth(peak(8), NOW + ms - 100, HALF)), 8);
  t.same(peakOf({ demand: demandOf(peak(8, 5_000)) }), peak(8, 5_000));
  t.equal(peakOf({}), undefined);
});

t.test('how long pods take to start', async (t) => {
  const pod = (seconds: number) =>
    podOf(
      { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: timestamp(NOW) }] },
      { meta: { creationTimestamp: timestamp(NOW - seconds * 1_000) } },
    );
  t.equal(startTimeMs([]), undefined);
  t.equal(startTimeMs([pod(4), pod(90), pod(5)]), 5_000, 'the median');
  t.equal(startTimeMs([pod(0)]), 1_000, 'times are in whole seconds');
  t.equal(startTimeMs([pod(90_000)]), 600_000);
});

t.test('how many warm pods are wanted, and why', async (t) => {
  const pool = (spec: Partial<SandboxPool['spec']>): SandboxPool => ({
    metadata: { name: 'p' },
    spec: { template: 't', replicas: 2, maxReplicas: 10, scaleToDemand: {}, ...spec },
  });
  const fixed = (replicas: number): SandboxPool => ({ metadata: { name: 'p' }, spec: { template: 't', replicas } });
  const none = { forPool: 0, forOwner: 0, forNamespace: 0 };
  const waiting = (forPool: number) => ({ ...none, forPool });
  const rows: [string, SandboxPool, Peak | undefined, number, number, RegExp][] = [
    ['without the rule replicas count', fixed(2), peak(8), 5, 2, /^$/],
    ['nobody asks', pool({}), undefined, 0, 2, /^the minimum; minimum 2, maximum 10$/],
    ['fewer ask than the minimum', pool({}), peak(1), 0, 2, /^the minimum/],
    ['more ask', pool({}), peak(7), 0, 7, /^7 wanted: 7 were asked for within one start-up time \(10 s\) at 2026-/],
    ['a while ago', pool({}), peak(7, HALF), 0, 4, /^4 wanted: 7 .*counts half every 10 min/],
    ['long ago', pool({}), peak(7, 10 * HALF), 0, 2, /^the minimum/],
    ['its own half-life', pool({ scaleToDemand: { halfLife: '1h' } }), peak(8, 3_600_000), 0, 4, /half every 60 min/],
    ['more than the maximum', pool({}), peak(50), 0, 10, /^10 wanted: 50 /],
    ['some wait', pool({ replicas: 0 }), undefined, 3, 3, /^3 wanted: 3 sandboxes wait; minimum 0/],
    ['more wait than the maximum', pool({}), peak(3), 40, 10, /^10 wanted: 40 sandboxes wait/],
    ['a maximum of zero', pool({ maxReplicas: 0, replicas: 0 }), peak(3), 4, 0, /maximum 0/],
  ];
  for (const [name, of, before, waits, wanted, why] of rows) {
    const target = targetOf(of, before, waiting(waits), NOW);
    t.equal(target.wanted, wanted, name);
    t.match(target.why, why, name);
  }
  t.equal(targetOf(pool({}), peak(50), none, NOW).asked, 50);
  const { fewerInMs = 0 } = targetOf(pool({}), peak(7), none, NOW);
  t.equal(targetOf(pool({}), peak(7), none, NOW + fewerInMs).wanted, 6, 'it looks again when it wants one less');
  t.equal(mayHavePods(pool({ replicas: 0 })), true);
  t.equal(mayHavePods(fixed(0)), false);
  t.equal(mayHavePods(pool({ maxReplicas: 0 })), false);
});

t.test('asks are forgotten when they no longer matter, and are bounded', async (t) => {
  let now = NOW;
  const asks = createAsks({ now: () => now });
  asks.note('ns/p');
  now += 5_000;
  asks.note('ns/p');
  t.same(asks.since('ns/p', NOW - 1), [NOW, NOW + 5_000]);
  t.same(asks.since('ns/p', NOW), [NOW + 5_000]);
  t.same(asks.since('ns/p', NOW - 1), [NOW + 5_000], 'the older one is gone');
  for (let index = 0; index < 30_000; index++) asks.note('ns/p');
  t.ok(asks.since('ns/p', 0).length <= 20_000);
  asks.forget('ns/p');
  t.same(asks.since('ns/p', 0), []);
});

t.test('who waits for what', async (t) => {
  const waits = (reason: string, more = {}) =>
    sandboxOf(
      {},
      { ...more, conditions: [{ type: 'Ready', status: 'False', reason, message: '', lastTransitionTime: '' }] },
    );
  t.same(
    countWaiting([
      waits('WaitingForPool'),
      waits('OwnerLimitReached'),
      waits('NamespaceLimitReached'),
      waits('Creating'),
      waits('constructor'),
      waits('OwnerLimitReached', { slot: 's' }),
      sandboxOf(),
    ]),
    { forPool: 1, forOwner: 1, forNamespace: 1 },
  );
});

t.test('a pool may say where its pods run', async (t) => {
  const template = { image: 'x', nodeSelector: { a: 'b' }, runtimeClassName: 'runc' };
  const plain = { template: 't', replicas: 3 };
  t.equal(placedTemplate(template, plain), template);
  const own = { ...plain, nodeSelector: { pool: 'spot' }, tolerations: [{ key: 'spot' }], runtimeClassName: 'gvisor' };
  const placed = placedTemplate(template, own);
  t.same(placed, {
    image: 'x',
    nodeSelector: { pool: 'spot' },
    tolerations: [{ key: 'spot' }],
    runtimeClassName: 'gvisor',
  });
  t.equal(placedTemplate(template, own), placed, 'the same object each time: hashes are kept by it');
  t.not(placedTemplate({ ...template }, own), placed, 'until the template changes');
});
