/** A pod that hangs without a word in its status: what its Events say, in conditions, and how to get out. */
import t from 'tap';
import { conditionOf } from '../../contracts/resources.js';
import { KubeError } from '../../kube/errors.js';
import type { CoreEvent, PodStatus } from '../../kube/kinds.js';
import { timestamp } from '../durations.js';
import {
  after,
  ago,
  condition,
  container,
  NOW,
  podOf,
  sandboxOf,
  situation,
  SLOT,
  verbs,
} from '../testing/situations.js';
import { advised } from './advice.js';
import { decide } from './decide.js';
import { createPodEvents, troubleOf } from './podevents.js';

const CREATING: PodStatus = {
  phase: 'Pending',
  conditions: [condition('PodScheduled', 'True'), condition('Ready', 'False', { reason: 'ContainersNotReady' })],
  containerStatuses: [container({ state: { waiting: { reason: 'ContainerCreating' } } })],
};
const bornAgo = (seconds: number) => podOf(CREATING, { meta: { creationTimestamp: ago(seconds) } });
const sandbox = sandboxOf({}, SLOT);
const mount = { reason: 'FailedMount', message: 'MountVolume.SetUp failed for volume "x": secret "gone" not found' };
const eventOf = (parts: Partial<CoreEvent>): CoreEvent => ({
  metadata: { name: 'e', namespace: 'ns' },
  involvedObject: { uid: bornAgo(1).metadata.uid ?? '' },
  type: 'Warning',
  lastTimestamp: ago(5),
  ...parts,
});

t.test('events are read for pods that hang, and for no others', async (t) => {
  const young = decide(situation({ sandbox, pod: bornAgo(4) }));
  t.equal(verbs(young), '');
  t.match(young.ending, { type: 'wait', ms: 6_000 }, 'not before ten seconds');
  t.equal(verbs(decide(situation({ sandbox, pod: bornAgo(11) }))), 'readPodEvents');
  const told = situation({ sandbox, pod: bornAgo(20), podEvents: { readAt: NOW - 1_000 } });
  t.equal(verbs(decide(told)), '', 'nothing was told: not at once again');
  t.match(decide(told).ending, { type: 'wait', ms: 29_000 });
  t.equal(verbs(decide({ ...told, podEvents: { readAt: NOW - 31_000, trouble: mount } })), 'readPodEvents');
  const pulling = { ...CREATING, containerStatuses: [container({ state: { waiting: { reason: 'ErrImagePull' } } })] };
  t.equal(verbs(decide(situation({ sandbox, pod: podOf(pulling, { meta: { creationTimestamp: ago(60) } }) }))), '');
  t.equal(verbs(decide(situation({ sandbox, pod: podOf() }))), '', 'none for one that is ready');
});

t.test('conditions and Event tell why and the way out, once', async (t) => {
  const told = situation({ sandbox, pod: bornAgo(20), podEvents: { readAt: NOW, trouble: mount } });
  const decision = decide(told);
  t.match(conditionOf(after(sandbox, decision), 'PodReady'), { status: 'False', ...mount });
  const ready = conditionOf(after(sandbox, decision), 'Ready');
  t.equal(ready?.reason, 'FailedMount');
  t.match(ready?.message, /secret "gone" not found; check that the claim, Secret or ConfigMap .* exists/);
  t.same(decision.reports, [{ type: 'Warning', reason: 'FailedMount', message: ready?.message }]);
  t.same(decide({ ...told, sandbox: after(sandbox, decision) }).reports, [], 'no second Event');
  const late = decide({ ...told, pod: bornAgo(700) });
  t.match(late.status, { phase: 'Failed' });
  t.equal(conditionOf(after(sandbox, late), 'Ready')?.reason, 'FailedMount', 'the cause is the reason of the failure');
  t.equal(decide({ ...told, pod: podOf() }).status.phase, 'Running', 'forgotten as soon as it goes on');
});

t.test('the newest Event of the very pod that tells why', async (t) => {
  const old = eventOf({ reason: 'FailedCreatePodSandBox', message: 'cni', lastTimestamp: ago(50) });
  const other = eventOf({ ...mount, involvedObject: { uid: 'another' }, lastTimestamp: ago(0) });
  const noise = eventOf({ reason: 'Unhealthy', message: 'probe', lastTimestamp: ago(0) });
  t.same(troubleOf([noise, old, other, eventOf(mount)], bornAgo(1)), mount);
  t.same(troubleOf([old, other, noise], bornAgo(1)), { reason: 'FailedCreatePodSandBox', message: 'cni' });
  t.equal(troubleOf([other, noise], bornAgo(1)), undefined);
  const series = eventOf({ ...mount, lastTimestamp: null, eventTime: timestamp(NOW) });
  t.same(troubleOf([old, series], bornAgo(1)), mount, 'new style Events have another time');
  t.equal(troubleOf([eventOf({ ...mount, message: 'x'.repeat(9_000) })], bornAgo(1))?.message.length, 500);
});

t.test('reads are bounded, and a failure holds nothing up', async (t) => {
  const asked: unknown[] = [];
  const clock = { now: () => NOW, sleep: async () => undefined };
  const list = async (_: unknown, options: unknown) => {
    asked.push(options);
    throw new KubeError('no', { code: 403, reason: 'Forbidden' });
  };
  const events = createPodEvents({ list: list as never }, clock);
  const { signal } = new AbortController();
  const answers = await Promise.all(Array.from({ length: 40 }, () => events.trouble(bornAgo(11), signal)));
  t.ok(answers.every((answer) => answer === undefined));
  t.equal(asked.length, 10, 'a burst and no more');
  t.match(asked[0], { fieldSelector: `involvedObject.uid=${bornAgo(1).metadata.uid},type=Warning`, limit: 50 });
});

t.test('advice is said once', async (t) => {
  const once = advised('OOMKilled', 'the container ended');
  t.match(once, /memory/);
  t.equal(advised('OOMKilled', once), once);
  t.equal(advised('NoSuchReason', 'as it is'), 'as it is');
});
