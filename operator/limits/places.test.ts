/** Who may run: the count, what is taken at the same moment, and who makes room. */
import t from 'tap';
import { LABEL, STATE_CLAIMED } from '../../contracts/labels.js';
import { ownerLabel } from '../../contracts/names.js';
import type { Sandbox, SandboxSpec, SandboxStatus } from '../../contracts/resources.js';
import { createCache, keyOf } from '../../kube/cache.js';
import type { Pod } from '../../kube/kinds.js';
import { ago, condition, NOW } from '../testing/situations.js';
import { podIndexes, placesOf } from '../world.js';
import { hasPlace, type LimitPolicy } from './place.js';
import { createPlaces } from './places.js';

const LOST_MS = 60_000;

function hall(policy: Partial<LimitPolicy>) {
  const sandboxes = createCache<Sandbox, 'placed'>({ indexes: { placed: placesOf } });
  const pods = createCache<Pod, keyof typeof podIndexes>({ indexes: podIndexes });
  const woken: string[] = [];
  const places = createPlaces({
    world: { sandboxes, pods } as unknown as Parameters<typeof createPlaces>[0]['world'],
    policy: { overOwnerLimit: 'Refuse', ...policy },
    lostMs: LOST_MS,
    wake: (key) => woken.push(key),
  });
  const put = (sandbox: Sandbox): Sandbox => (sandboxes.upsert(sandbox), sandbox);
  const ask = (sandbox: Sandbox): string => {
    const place = places.ask(sandbox, NOW);
    return place.kind === 'refused' ? place.reason : 'free';
  };
  return { sandboxes, pods, places, woken, put, ask };
}

const named = (name: string, owner: string, spec: SandboxSpec = {}, status?: SandboxStatus): Sandbox => ({
  metadata: { name, namespace: 'ns', uid: `uid-${name}`, generation: 1 },
  spec: { owner, ...spec },
  ...(status === undefined ? {} : { status }),
});
const PLACED: SandboxStatus = { slot: 's', phase: 'Starting' };
const placed = (name: string, owner: string, more: SandboxStatus = {}) =>
  named(name, owner, {}, { ...PLACED, ...more });
const podOf = ({ metadata, spec }: Sandbox, meta: object = {}): Pod => ({
  metadata: {
    name: `pod-${metadata.name}`,
    namespace: metadata.namespace ?? '',
    labels: { [LABEL.state]: STATE_CLAIMED, [LABEL.owner]: ownerLabel(spec.owner ?? '') },
    ownerReferences: [
      { apiVersion: 'v1', kind: 'Sandbox', name: metadata.name, uid: metadata.uid ?? '', controller: true },
    ],
    ...meta,
  },
  spec: { containers: [] },
});

t.test('what has a place: by the status alone', async (t) => {
  const conditions = (type: string, status: 'True' | 'False', reason: string) => [
    { ...condition(type, status), reason, message: '', lastTransitionTime: ago(1) },
  ];
  const rows: [string, Sandbox, boolean][] = [
    ['new', named('a', 'u'), false],
    ['its slot is on record', placed('a', 'u'), true],
    ['paused', placed('a', 'u', { conditions: conditions('Paused', 'True', 'Requested') }), false],
    ['on its way to pause', placed('a', 'u', { conditions: conditions('Paused', 'False', 'Requested') }), true],
    ['failed', placed('a', 'u', { phase: 'Failed' }), false],
    ['refused', placed('a', 'u', { conditions: conditions('Ready', 'False', 'OwnerLimitReached') }), false],
    ['deleted', { ...placed('a', 'u'), metadata: { name: 'a', deletionTimestamp: ago(1) } }, false],
  ];
  for (const [name, sandbox, expected] of rows) t.equal(hasPlace(sandbox), expected, name);
});

t.test('many that ask at the same moment stay within the limit', async (t) => {
  const { put, ask, places } = hall({ perOwner: 3 });
  const all = Array.from({ length: 10 }, (_, index) => put(named(`n${index}`, 'u')));
  t.equal(all.filter((one) => ask(one) === 'free').length, 3);
  t.equal(ask(all[0] as Sandbox), 'free', 'who has a place keeps it');
  t.equal(ask(put(named('other', 'v'))), 'free', 'others are not concerned');
  t.equal(ask(put(named('nobody', ''))), 'free', 'without owner there is no limit per owner');
  places.settle('ns/n0');
  t.equal(ask(all[9] as Sandbox), 'free', 'a place that came to nothing is free again');
  t.equal(ask(all[8] as Sandbox), 'OwnerLimitReached');
});

t.test('a new operator counts what the resources say', async (t) => {
  const { put, ask } = hall({
    perOwner: 2,
    ofOwners: new Map([
      ['rich', 3],
      ['free', 0],
    ]),
  });
  put(placed('a', 'u'));
  t.equal(ask(put(named('b', 'u'))), 'free');
  t.equal(ask(put(named('c', 'u'))), 'OwnerLimitReached');
  for (const name of ['r1', 'r2']) put(placed(name, 'rich'));
  t.equal(ask(put(named('r3', 'rich'))), 'free', "an owner's own limit");
  t.equal(ask(put(named('r4', 'rich'))), 'OwnerLimitReached');
  for (const name of ['f1', 'f2', 'f3']) t.equal(ask(put(named(name, 'free'))), 'free', '0: none');
});

t.test('pods count until they are gone, whatever became of their sandboxes', async (t) => {
  const { put, ask, pods, sandboxes, woken, places } = hall({ perOwner: 1, perNamespace: 2 });
  const old = put(placed('old', 'u'));
  pods.upsert(podOf(old));
  sandboxes.remove(keyOf(old));
  const next = put(named('next', 'u'));
  t.equal(ask(next), 'OwnerLimitReached', 'a deleted sandbox whose pod still runs');
  pods.upsert(podOf(old, { deletionTimestamp: ago(10) }));
  t.equal(ask(next), 'OwnerLimitReached', 'and is ending');
  put(placed('v1', 'v'));
  t.equal(ask(put(named('w1', 'w'))), 'NamespaceLimitReached');
  pods.upsert(podOf(old, { deletionTimestamp: ago(100) }));
  t.equal(ask(next), 'free', 'a pod that its node never lets go counts no longer');
  pods.remove(`ns/pod-old`);
  places.freed('ns', ownerLabel('u'));
  t.same(woken, ['ns/w1'], 'who waits is told');
});

t.test('the least recently active one makes room, one for each that asks', async (t) => {
  const { put, ask, places, woken, pods } = hall({ perOwner: 2, overOwnerLimit: 'PauseLeastActive' });
  const busy = put(placed('busy', 'u', { startedAt: ago(500), lastActivityTime: ago(5) }));
  const idle = put(placed('idle', 'u', { startedAt: ago(100) }));
  pods.upsert(podOf(idle));
  const fresh = put(named('new', 'u'));
  t.equal(ask(fresh), 'OwnerLimitReached');
  t.same(woken, ['ns/idle']);
  t.match(places.yields(idle), /make room/);
  t.equal(places.yields(busy), undefined);
  t.equal(ask(fresh), 'OwnerLimitReached');
  t.same(woken, ['ns/idle'], 'one is enough');
  t.equal(places.yields({ ...idle, metadata: { ...idle.metadata, uid: 'another' } }), undefined);
  const paused = put({ ...idle, spec: { ...idle.spec, runState: 'Paused' } });
  t.equal(ask(paused), 'free');
  t.equal(places.yields(paused), undefined);
  t.equal(ask(fresh), 'OwnerLimitReached', 'the place is free when the pod is gone');
  t.same(woken, ['ns/idle']);
  pods.remove('ns/pod-idle');
  const gone = put({
    ...paused,
    status: {
      ...PLACED,
      conditions: [{ ...condition('Paused', 'True'), reason: 'x', message: '', lastTransitionTime: ago(1) }],
    },
  });
  t.equal(ask(gone), 'free');
  t.same(woken, ['ns/idle', 'ns/new'], 'and who waits is told');
  t.equal(ask(fresh), 'free');
  t.equal(ask(put(named('third', 'u'))), 'OwnerLimitReached');
  t.same(woken, ['ns/idle', 'ns/new', 'ns/busy'], 'never the one that has just been given a place');
});

t.test('a limit of the namespace pauses nobody', async (t) => {
  const { put, ask, woken } = hall({ perNamespace: 1, overOwnerLimit: 'PauseLeastActive' });
  put(placed('a', 'u'));
  t.equal(ask(put(named('b', 'v'))), 'NamespaceLimitReached');
  t.same(woken, []);
});

t.test('failed, paused and deleted sandboxes ask for nothing', async (t) => {
  const { put, ask, woken, places } = hall({ perOwner: 1, overOwnerLimit: 'PauseLeastActive' });
  put(placed('a', 'u'));
  const failed = put(placed('f', 'u', { phase: 'Failed', observedGeneration: 1 }));
  t.equal(ask(failed), 'free');
  t.same(woken, []);
  const waiting = put(named('w', 'u'));
  t.equal(ask(waiting), 'OwnerLimitReached');
  t.same(woken, ['ns/a']);
  places.forget('ns/w');
  places.freed('ns', undefined);
  t.same(woken, ['ns/a'], 'nobody waits any more');
});
