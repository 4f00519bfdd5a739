/** Pools: decisions as tables and the token bucket. */
import t from 'tap';
import type { SandboxPool, SandboxPoolStatus } from '../../contracts/resources.js';
import type { KubeClient } from '../../kube/client.js';
import { KubeError } from '../../kube/errors.js';
import type { Pod } from '../../kube/kinds.js';
import { createFakeClock } from '../../kube/testing/clock.js';
import { createFreshCache } from '../../kube/fresh.js';
import { createClaimer, type ClaimerOptions } from '../claim/claim.js';
import { timestamp } from '../durations.js';
import { podIndexes } from '../world.js';
import { container, NOW, podOf, READY, sandboxOf } from '../testing/situations.js';
import { filled, untilToken } from './bucket.js';
import { decidePool, statusDelayMs } from './decide.js';
import type { PoolDecision, PoolMemory, PoolSituation } from './situation.js';

const STARTING = { conditions: [{ type: 'PodScheduled', status: 'True' as const }] };
let names = 0;
function warm(
  state: 'ready' | 'starting' | 'ended' | 'going' | 'stuck',
  more: { hash?: string; age?: number; fit?: string } = {},
): Pod {
  const stuck = {
    ...STARTING,
    containerStatuses: [container({ state: { waiting: { reason: 'ErrImagePull', message: 'no' } } })],
  };
  const status = { ready: READY, starting: STARTING, ended: { phase: 'Failed' as const }, going: READY, stuck }[state];
  const name = `w${String(++names).padStart(4, '0')}`;
  return podOf(status, {
    slot: name,
    pool: 'p',
    meta: {
      creationTimestamp: timestamp(NOW - (more.age ?? 10) * 1_000),
      annotations: { 'sandlot.dev/template-hash': more.hash ?? 'h', 'sandlot.dev/template-fit': more.fit ?? 'f' },
      ...(state === 'going' ? { deletionTimestamp: timestamp(NOW) } : {}),
    },
  });
}
const many = (count: number, state: Parameters<typeof warm>[0], more = {}) =>
  Array.from({ length: count }, () => warm(state, more));
function memoryOf(more: Partial<PoolMemory> = {}): PoolMemory {
  return { pending: new Map(), failures: 0, wroteAt: 0, ...more };
}
function situation(spec: Partial<SandboxPool['spec']>, pods: Pod[], more: Partial<PoolSituation> = {}): PoolSituation {
  return {
    pool: { metadata: { name: 'p', namespace: 'ns', generation: 1 }, spec: { template: 't', replicas: 3, ...spec } },
    now: NOW,
    template: { image: 'x' },
    waiting: { forPool: 0, forOwner: 0, forNamespace: 0 },
    hash: { whole: 'h', fit: 'f' },
    budget: 1_000,
    warm: pods,
    orphans: [],
    memory: memoryOf(),
    startDeadlineMs: 600_000,
    crashBudget: 5,
    ...more,
  };
}

const conditionOf = ({ status }: PoolDecision, type: string) =>
  status.conditions?.find((condition) => condition.type === type);

t.test('how many to create and to delete', async (t) => {
  const rows: [string, PoolSituation, number, number][] = [
    ['empty', situation({}, []), 3, 0],
    ['full', situation({}, many(3, 'ready')), 0, 0],
    ['starting ones count', situation({}, [...many(1, 'ready'), ...many(2, 'starting')]), 0, 0],
    ['going ones do not', situation({}, [...many(2, 'ready'), warm('going')]), 1, 0],
    ['but they count under the cap', situation({ maxReplicas: 3 }, [...many(2, 'ready'), warm('going')]), 0, 0],
    ['the cap wins over replicas', situation({ replicas: 10, maxReplicas: 2 }, []), 2, 0],
    ['surplus', situation({ replicas: 1 }, many(3, 'ready')), 0, 2],
    ['zero', situation({ replicas: 0 }, many(3, 'ready')), 0, 3],
    ['stale ones that fit go by steps: first a surge', situation({}, many(3, 'ready', { hash: 'old' })), 1, 0],
    ['then, one by one', situation({}, [...many(3, 'ready', { hash: 'old' }), warm('ready')]), 1, 1],
    [
      'a new one that starts replaces none yet',
      situation({}, [...many(3, 'ready', { hash: 'old' }), warm('starting')]),
      0,
      0,
    ],
    [
      'without room for a surge one may be missing',
      situation({ maxReplicas: 3 }, many(3, 'ready', { hash: 'old' })),
      0,
      1,
    ],
    [
      'all at once, when told so',
      situation({ rollout: { maxUnavailable: '100%' } }, many(3, 'ready', { hash: 'old' })),
      3,
      3,
    ],
    [
      'a share',
      situation(
        { replicas: 100, refill: { perSecond: 90, burst: 90 }, rollout: { maxSurge: '10%', maxUnavailable: 5 } },
        many(100, 'ready', { hash: 'old' }),
      ),
      15,
      5,
    ],
    ['stale ones that do not fit go at once', situation({}, many(3, 'ready', { hash: 'old', fit: 'other' })), 3, 3],
    ['stale ones that are not ready too', situation({}, many(3, 'starting', { hash: 'old' })), 3, 3],
    ['the budget of all pools limits', situation({ replicas: 100 }, [], { budget: 7.5 }), 7, 0],
    ['and may be spent', situation({}, [], { budget: -3 }), 0, 0],
    ['ended ones are replaced', situation({}, [...many(2, 'ready'), warm('ended')]), 1, 1],
    ['so are those that never start', situation({}, [...many(2, 'ready'), warm('starting', { age: 700 })]), 1, 1],
    ['young ones get their time', situation({}, [...many(2, 'ready'), warm('starting', { age: 500 })]), 0, 0],
    ['unanswered creates count', situation({}, [], { memory: memoryOf({ pending: new Map([['a', NOW + 1]]) }) }), 2, 0],
    ['the bucket limits', situation({ replicas: 100, refill: { perSecond: 5, burst: 5 } }, []), 5, 0],
    ['an empty bucket waits', situation({}, [], { memory: memoryOf({ bucket: { tokens: 0.2, at: NOW } }) }), 0, 0],
    ['refused creates wait', situation({}, [], { memory: memoryOf({ pausedUntil: NOW + 1_000 }) }), 0, 0],
    [
      'a template that cannot start dormant',
      situation({}, many(1, 'ready'), { template: { image: 'x', deferredInit: false } }),
      0,
      1,
    ],
    [
      'no template, no pods',
      situation({}, many(2, 'ready'), { template: undefined, hash: { whole: '', fit: '' } }),
      0,
      2,
    ],
  ];
  for (const [name, s, create, remove] of rows) {
    const decision = decidePool(s);
    t.same([decision.create, decision.remove.length], [create, remove], name);
  }
  const [ready, young, old] = [warm('ready'), warm('starting', { age: 1 }), warm('starting', { age: 50 })];
  const order = decidePool(situation({ replicas: 1 }, [ready, old, young])).remove.map(({ pod }) => pod);
  t.same(order, [young, old], 'what serves stays, the youngest goes first');
  const waiting = decidePool(situation({}, [], { memory: memoryOf({ bucket: { tokens: 0, at: NOW } }) }));
  t.match(waiting.ending, { type: 'wait', reason: 'refill rate' });
});

t.test('orphans are swept, but not while a create is under way', async (t) => {
  const orphans = [{ kind: 'workspace' as const, object: { metadata: { name: 'x-workspace' } } }];
  t.equal(decidePool(situation({}, [], { orphans })).sweep.length, 1);
  const memory = memoryOf({ pending: new Map([['x', NOW + 1]]) });
  t.equal(decidePool(situation({}, [], { orphans, memory })).sweep.length, 0);
  const keys = (age: number) => [
    { kind: 'initKeys' as const, object: { metadata: { name: 'k', creationTimestamp: timestamp(NOW - age * 1_000) } } },
  ];
  t.equal(decidePool(situation({}, many(3, 'ready'), { orphans: keys(61) })).sweep.length, 1);
  const young = decidePool(situation({}, many(3, 'ready'), { orphans: keys(20) }));
  t.equal(young.sweep.length, 0, 'the pod may be on its way');
  t.match(young.ending, { type: 'wait', ms: 40_000 });
});

t.test('status and conditions', async (t) => {
  const words = (s: PoolSituation) =>
    decidePool(s)
      .status.conditions?.filter(({ type, status }) => !(type.endsWith('Limited') && status === 'False'))
      .map(({ type, status, reason }) => `${type}=${status} ${reason}`);
  t.same(words(situation({}, many(3, 'ready'))), [
    'Ready=True Full',
    'TemplateFound=True Found',
    'Progressing=True Full',
  ]);
  t.same(words(situation({}, many(2, 'ready'))), [
    'Ready=False Filling',
    'TemplateFound=True Found',
    'Progressing=True Filling',
  ]);
  t.same(words(situation({}, many(2, 'stuck'))), [
    'Ready=False ImagePullFailed',
    'TemplateFound=True Found',
    'Progressing=False ImagePullFailed',
  ]);
  t.match(words(situation({}, [], { template: undefined })), [
    'Ready=False TemplateNotFound',
    'TemplateFound=False TemplateNotFound',
  ]);
  t.match(words(situation({}, [], { template: { image: 'x', deferredInit: false } })), ['Ready=False DeferredInitOff']);
  const quota = memoryOf({ trouble: { reason: 'QuotaExceeded', message: 'exceeded quota' } });
  t.match(words(situation({}, [], { memory: quota })), ['Ready=False QuotaExceeded']);
  t.match(words(situation({}, [], { memory: quota }))?.at(-1), 'ScalingLimited=True QuotaExceeded');
  const waits = (forOwner: number, forNamespace: number) => ({ waiting: { forPool: 0, forOwner, forNamespace } });
  t.match(words(situation({}, many(3, 'ready'), waits(2, 0)))?.at(-1), 'ClaimsLimited=True OwnerLimitReached');
  t.match(words(situation({}, many(3, 'ready'), waits(1, 1)))?.at(-1), 'ClaimsLimited=True NamespaceLimitReached');
  t.match(decidePool(situation({}, many(3, 'ready'), waits(1, 0))).ending, { type: 'wait' }, 'it looks again');
  const decision = decidePool(situation({}, [...many(2, 'ready'), warm('starting')]));
  t.match(decision.status, {
    replicas: 3,
    readyReplicas: 2,
    selector: 'sandlot.dev/pool=p,sandlot.dev/state=warm',
    observedGeneration: 1,
  });
  const stuck = situation({}, many(1, 'stuck'));
  t.match(decidePool(stuck).reports, [{ type: 'Warning', reason: 'ImagePullFailed' }]);
  stuck.pool.status = decidePool(stuck).status;
  t.same(decidePool(stuck).reports, [], 'told once');
});

t.test('a pool says which pod hangs, how many alike, why and what to do', async (t) => {
  const ready = (s: PoolSituation) => conditionOf(decidePool(s), 'Ready');
  const stuck = many(2, 'stuck', { age: 60 });
  const one = situation({}, [...many(2, 'ready'), ...stuck.slice(0, 1)]);
  const name = stuck[0]?.metadata.name ?? '';
  t.match(ready(one)?.message, new RegExp(`^pod ${name}: ErrImagePull: no; check the image's name`));
  t.match(ready(situation({}, stuck))?.message, new RegExp(`^pod ${name} and 1 more: ErrImagePull`));
  const mixed = decidePool(situation({}, [...many(1, 'starting'), ...stuck]));
  t.match(conditionOf(mixed, 'Ready'), { status: 'False', reason: 'ImagePullFailed' });
  t.match(conditionOf(mixed, 'Progressing'), { status: 'True' }, 'the others start: a sandbox may wait for them');
});

t.test('events are read for one pod at a time that hangs without a word, and tell why', async (t) => {
  const ready = (s: PoolSituation) => conditionOf(decidePool(s), 'Ready');
  const young = decidePool(situation({}, many(3, 'starting', { age: 4 })));
  t.equal(young.readEvents, undefined);
  t.match(young.ending, { type: 'wait', ms: 6_000 }, 'not before ten seconds');
  const pods = [warm('starting', { age: 11 }), warm('starting', { age: 20 }), warm('ready')];
  const silent = decidePool(situation({}, pods));
  t.equal(silent.readEvents, pods[1], 'of the oldest');
  t.match(conditionOf(silent, 'Ready'), { reason: 'Filling' });
  const trouble = { reason: 'FailedMount', message: 'configmap "gone" not found' };
  const told = { pod: pods[1]?.metadata.uid, readAt: NOW - 1_000, trouble };
  const memory = memoryOf({ podEvents: told });
  const knows = decidePool(situation({}, pods, { memory }));
  t.equal(knows.readEvents, undefined, 'not again at once');
  t.match(knows.ending, { type: 'wait', ms: 29_000 });
  t.match(conditionOf(knows, 'Ready'), { reason: 'FailedMount', message: /gone" not found; check that the claim/ });
  t.match(conditionOf(knows, 'Progressing'), { status: 'True' }, 'the other one may only start');
  const alone = decidePool(situation({}, pods.slice(1), { memory }));
  t.match(conditionOf(alone, 'Progressing'), { status: 'False', reason: 'FailedMount' });
  const [, hung = warm('ready')] = pods;
  const going = { ...hung, status: READY };
  t.match(ready(situation({}, [going, warm('ready')], { memory })), { reason: 'Filling' }, 'forgotten when it goes on');
});

t.test('a status that differs in counts only waits its second', async (t) => {
  const of = (reason: string, replicas: number): SandboxPoolStatus => ({
    replicas,
    conditions: [{ type: 'Ready', status: 'True', reason, message: '', lastTransitionTime: '' }],
  });
  t.equal(statusDelayMs(of('Full', 1), of('Filling', 2), 300), 700);
  t.equal(statusDelayMs(of('Full', 1), of('Filling', 2), 2_000), 0);
  t.equal(statusDelayMs(of('Full', 1), of('QuotaExceeded', 1), 300), 0);
  t.equal(statusDelayMs(undefined, of('Full', 1), 0), 0);
});

t.test('token bucket', async (t) => {
  const rate = { perSecond: 10, burst: 5 };
  t.same(filled(undefined, rate, NOW), { tokens: 5, at: NOW });
  t.same(filled({ tokens: 0, at: NOW }, rate, NOW + 200), { tokens: 2, at: NOW + 200 });
  t.equal(filled({ tokens: 4, at: NOW }, rate, NOW + 60_000).tokens, 5);
  t.equal(filled({ tokens: 4, at: NOW }, rate, NOW - 60_000).tokens, 4, 'a clock that jumps back gives nothing');
  t.equal(untilToken({ tokens: 0.5, at: NOW }, rate), 50);
  t.equal(untilToken({ tokens: 1, at: NOW }, rate), 0);
});

function claimerOf(
  pods: Pod[],
  patch: ClaimerOptions['client']['patch'],
  initialise: () => 'ready' | 'refused' = () => 'ready',
) {
  const clock = createFakeClock();
  const world = createFreshCache({ clock, indexes: podIndexes, changed: () => undefined });
  for (const pod of pods) {
    delete pod.metadata.labels?.['sandlot.dev/sandbox'];
    Object.assign(pod.metadata.labels ?? {}, { 'sandlot.dev/state': 'warm' });
    pod.metadata.ownerReferences = [{ apiVersion: 'sandlot.dev/v1alpha1', kind: 'SandboxPool', name: 'p', uid: 'u' }];
    world.handler.upsert(pod);
  }
  const counts: string[] = [];
  const deleted: string[] = [];
  const claimer = createClaimer({
    client: { patch, get: () => Promise.reject(new KubeError('gone', { code: 404, reason: 'NotFound' })) },
    world: { pods: world },
    children: { deletePod: async ({ name }) => void deleted.push(name) },
    agents: { initialise: async () => initialise() },
    secret: 's'.repeat(32),
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    taken: () => undefined,
    count: (result) => counts.push(result),
  });
  return { claimer, counts, deleted };
}
/** What the server answers to a claim's merge patch, on its next turn. */
const serverPatch = (pods: Pod[]): KubeClient['patch'] =>
  (async (_kind: unknown, ref: { name: string }, body: { metadata: object }) => {
    await new Promise((resolve) => setImmediate(resolve));
    const pod = pods.find(({ metadata }) => metadata.name === ref.name) as Pod;
    const labels = { ...pod.metadata.labels, 'sandlot.dev/sandbox': 'one', 'sandlot.dev/state': 'claimed' };
    return { ...pod, metadata: { ...pod.metadata, ...body.metadata, resourceVersion: '99', labels } };
  }) as never;
const request = (signal = new AbortController().signal) => ({
  sandbox: sandboxOf(),
  pool: 'ns/p',
  hash: { whole: 'h', fit: 'f' },
  epoch: 1,
  signal,
});

t.test('claims: at once, never the same pod; none left is no error', async (t) => {
  const pods = many(5, 'ready').map((pod) => ({ ...pod, metadata: { ...pod.metadata, resourceVersion: '1' } }));
  const { claimer, counts } = claimerOf(pods, serverPatch(pods));
  t.equal(claimer.available('ns/p', 'f'), 5);
  t.equal(claimer.available('ns/p', 'other'), 0, 'pods that do not fit are not given away');
  const claimed = await Promise.all(Array.from({ length: 8 }, () => claimer.claim(request())));
  const got = claimed.flatMap((pod) => (pod === undefined ? [] : [pod.metadata.name]));
  t.equal(new Set(got).size, 5);
  t.equal(got.length, 5);
  t.same(counts.sort(), [...Array<string>(5).fill('claimed'), 'dry', 'dry', 'dry']);
});

t.test('claims: refused pods are thrown away, three at most; conflicts move on; errors go up', async (t) => {
  const pods = many(5, 'ready').map((pod) => ({ ...pod, metadata: { ...pod.metadata, resourceVersion: '1' } }));
  const refusing = claimerOf(pods, serverPatch(pods), () => 'refused');
  t.equal(await refusing.claimer.claim(request()), undefined);
  t.equal(refusing.deleted.length, 3);
  const conflict = () => Promise.reject(new KubeError('changed', { code: 404, reason: 'NotFound' }));
  const lost = claimerOf(pods, conflict);
  t.equal(await lost.claimer.claim(request()), undefined, 'pods that are gone are no error');
  const down = claimerOf(pods, () =>
    Promise.reject(new KubeError('down', { code: 503, reason: 'ServiceUnavailable' })),
  );
  await t.rejects(down.claimer.claim(request()), { code: 503 });
  t.equal(down.claimer.available('ns/p', 'f'), 5, 'nothing stays reserved');
  const kept = claimerOf(pods, serverPatch(pods));
  const [first] = pods;
  t.ok(first !== undefined && kept.claimer.reserve(first));
  t.notOk(first !== undefined && kept.claimer.reserve(first));
  t.equal(kept.claimer.available('ns/p', 'f'), 4);
});
