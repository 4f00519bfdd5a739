/** Decisions about one Sandbox, as tables. */
import t from 'tap';
import { conditionOf, type SandboxSpec } from '../../contracts/resources.js';
import type { PodStatus } from '../../kube/kinds.js';
import { timestamp } from '../durations.js';
import {
  after,
  ago,
  at,
  claim,
  cold,
  condition,
  container,
  NOW,
  podOf,
  READY,
  RUNNING,
  sandboxOf,
  situation,
  SLOT,
  verbs,
} from '../testing/situations.js';
import { decide } from './decide.js';
import type { Situation } from './situation.js';

t.test('start: the slot is on record before anything is made of it', async (t) => {
  const first = decide(situation({ workspace: undefined }));
  t.equal(first.first, 'status');
  t.match(first.status, { slot: cold, keyEpoch: 1, phase: 'Starting', observedGeneration: 1 });
  t.equal(verbs(first), '');
  const second = decide(situation({ sandbox: after(sandboxOf(), first), workspace: undefined }));
  t.equal(verbs(second), 'applySecret createWorkspace createPod');
  t.match(second.actions, [{ slot: cold, epoch: 1 }, {}, { slot: cold, epoch: 1, restarts: 0 }]);
  t.same(second.status, first.status, 'no second write for what the first said');
  const third = decide(situation({ sandbox: after(sandboxOf(), first), pod: podOf() }));
  t.equal(third.status.phase, 'Running');
  t.match(third.status, {
    podIP: '10.0.0.1',
    nodeName: 'n1',
    ports: [{ name: 'agent', port: 8000 }],
    startedAt: timestamp(NOW),
  });
  t.equal(third.status.ports?.length, 1, 'only named ports');
  const again = decide(situation({ sandbox: after(sandboxOf(), third), pod: podOf(), now: NOW + 5_000 }));
  t.same(again.status, third.status, 'nothing to write when nothing changed');
});

t.test('pools: claim, wait, fail, cold', async (t) => {
  const spec: SandboxSpec = { template: 'standard' };
  const of = (pool: Situation['pool'], more: SandboxSpec = {}) =>
    decide(situation({ sandbox: sandboxOf({ ...spec, ...more }), pool, workspace: undefined }));
  const dry = (canHelp: boolean) => ({ kind: 'dry' as const, name: 'p', canHelp });
  t.match(of({ kind: 'ready', name: 'p' }).actions, [{ do: 'claim', pool: 'p' }]);
  t.equal(of({ kind: 'ready', name: 'p' }, { image: 'own' }).first, 'status', 'an own image starts cold');
  t.equal(of(dry(true)).status.slot, cold, 'Cold is the default');
  t.equal(at(of(dry(true), { onDryPool: 'Wait' }), 'Ready'), 'False WaitingForPool');
  t.match(of(dry(true), { onDryPool: 'Wait' }).ending, { type: 'wait' });
  t.equal(of(dry(false), { onDryPool: 'Wait' }).status.slot, cold, 'a pool that cannot help is not waited for');
  t.match(of(dry(true), { onDryPool: 'Fail' }).status, { phase: 'Failed' });
  const late = situation({
    sandbox: sandboxOf({ ...spec, onDryPool: 'Wait' }, undefined, { creationTimestamp: ago(601) }),
    pool: dry(true),
    workspace: undefined,
  });
  t.equal(at(decide(late), 'Ready'), 'False PoolDry', 'waiting is bounded');
});

t.test('claimed pods: found again by their labels, ready only with their keys, adopted afterwards', async (t) => {
  const slot = 'swarmwarmwarm2';
  const pod = podOf(READY, { pool: 'p', slot });
  const sandbox = sandboxOf({ template: 'standard' });
  const foreign = { ...claim({ 'sandlot.dev/state': 'warm' }) };
  const found = decide(situation({ sandbox, pod, workspace: foreign }));
  t.equal(verbs(found), 'initialise');
  t.match(found.actions, [{ epoch: 1 }]);
  const claimed = decide(situation({ sandbox, pod, workspace: foreign, agent: { init: 'ready' } }));
  t.match(claimed.status, { slot, keyEpoch: 1, pool: 'p', phase: 'Running', claimedAt: timestamp(NOW) });
  t.same(claimed.actions, []);
  t.match(claimed.ending, { type: 'wait', ms: 1_000, reason: 'adoption' }, 'other claims come first');
  const settled = situation({
    sandbox: after(sandbox, claimed),
    pod,
    workspace: foreign,
    agent: { init: 'ready' },
    now: NOW + 1_000,
  });
  t.match(decide(settled).actions, [{ do: 'adopt', slot }]);
  t.same(
    decide({ ...settled, workspace: claim(), lostInitKeys: 'keys' }).actions,
    [{ do: 'restoreInitKeys', name: 'keys', slot }],
    'its pool is gone',
  );
  const bad = decide(situation({ sandbox, pod, agent: { init: 'failed' } }));
  t.equal(at(bad, 'AgentReady'), 'False InitFailed');
  t.match(bad.actions.at(-1), { do: 'deletePod', name: slot });
  const restarted = decide(situation({ sandbox: after(sandbox, claimed), pod }));
  t.equal(at(restarted, 'AgentReady'), 'True AgentReady', 'a new operator keeps the last word until it has checked');
  t.equal(verbs(restarted), 'initialise');
  const again = podOf(
    { ...READY, containerStatuses: [container({ restartCount: 1, ready: true, state: { running: {} } })] },
    { pool: 'p', slot },
  );
  t.equal(
    at(decide(situation({ sandbox: after(sandbox, claimed), pod: again })), 'AgentReady'),
    'False Initialising',
    'a new container is dormant again',
  );
  const stray = podOf(READY, { slot: 'sotherotherot2', pool: 'p' });
  const cleaned = decide(
    situation({ sandbox: after(sandbox, claimed), pod, strays: [stray], agent: { init: 'ready' } }),
  );
  t.match(cleaned.actions, [{ do: 'deletePod', name: 'sotherotherot2' }], 'a second pod of an interrupted claim goes');
});

t.test('pause and resume', async (t) => {
  const paused = {
    ...RUNNING,
    metadata: { ...RUNNING.metadata, generation: 2 },
    spec: { runState: 'Paused' as const },
  };
  const pausing = decide(situation({ sandbox: paused, pod: podOf() }));
  t.match(pausing.status, { phase: 'Pausing', slot: cold });
  t.match(pausing.actions, [{ do: 'deletePod', name: cold }]);
  t.notHas(pausing.actions[0], { force: true });
  const unadopted = decide(situation({ sandbox: paused, pod: podOf(), workspace: claim({}) }));
  t.equal(verbs(unadopted), 'adopt deletePod', 'the workspace is safe before the pod goes');
  const going = podOf(READY, { meta: { deletionTimestamp: ago(1) } });
  t.equal(verbs(decide(situation({ sandbox: after(paused, pausing), pod: going }))), '', 'asked once');
  const hung = podOf(READY, { meta: { deletionTimestamp: ago(100) } });
  t.match(decide(situation({ sandbox: after(paused, pausing), pod: hung })).actions, [
    { do: 'deletePod', force: true },
  ]);

  const done = decide(situation({ sandbox: after(paused, pausing) }));
  t.match(done.status, { phase: 'Paused', pausedAt: timestamp(NOW), slot: cold, keyEpoch: 1 });
  t.notOk(done.status.podIP ?? done.status.ports ?? done.status.podUID ?? done.status.nodeName);
  t.equal(at(done, 'Paused'), 'True Requested');
  t.equal(at(done, 'Ready'), 'False Paused');
  const later = decide(situation({ sandbox: after(paused, done), now: NOW + 60_000 }));
  t.same(later.status, done.status, 'pausedAt stays');

  const wanted = {
    ...after(paused, done),
    spec: { runState: 'Running' as const },
    metadata: { ...paused.metadata, generation: 3 },
  };
  const resume = decide(situation({ sandbox: wanted }));
  t.equal(resume.first, 'status');
  t.match(resume.status, { keyEpoch: 2, slot: cold, phase: 'Starting' });
  t.notOk(resume.status.pausedAt);
  const create = decide(situation({ sandbox: after(wanted, resume) }));
  t.equal(verbs(create), 'applySecret createPod');
  t.match(create.actions, [{ epoch: 2 }, { epoch: 2 }]);

  const early = { ...after(paused, pausing), spec: { runState: 'Running' as const } };
  const raised = decide(situation({ sandbox: early, pod: going }));
  t.match(raised.status, { keyEpoch: 2 }, 'a resume during the pause is a resume, not a loss');
  const waits = decide(situation({ sandbox: after(early, raised), pod: going }));
  t.notOk(waits.status.podUID, 'the old pod is not the sandbox any more');
  t.notOk(decide(situation({ sandbox: after(early, waits) })).status.restartCount);
  const leftover = decide(situation({ sandbox: after(early, raised), pod: podOf() }));
  t.match(leftover.actions, [{ do: 'deletePod' }], 'a pod with the old keys is replaced');
});

t.test('a lost pod: counted on record, replaced with growing delays, and given up with a way out', async (t) => {
  let sandbox = RUNNING;
  const delays: (number | undefined)[] = [];
  for (let loss = 1; loss <= 5; loss++) {
    const decision = decide(situation({ sandbox }));
    t.equal(decision.first, 'status');
    t.match(decision.status, { restartCount: loss, consecutiveFailures: loss });
    t.match(decision.reports, [{ type: 'Warning', reason: 'PodLost' }]);
    const next = decision.status.nextRestartTime;
    delays.push(next === undefined ? 0 : Math.floor((Date.parse(next) - NOW) / 1_000));
    if (next !== undefined) {
      const early = decide(situation({ sandbox: after(sandbox, decision) }));
      t.same(early.actions, []);
      t.match(early.ending, { type: 'wait', reason: 'crash back-off' });
    }
    const due = decide(situation({ sandbox: after(sandbox, decision), now: NOW + 400_000 }));
    t.match(due.actions.at(-1), { do: 'createPod', restarts: loss });
    sandbox = after(sandbox, { ...decision, status: { ...decision.status, podUID: 'again', startedAt: ago(1) } });
  }
  t.same(
    delays.map((s) => Math.round((s ?? 0) / 10) * 10),
    [0, 10, 20, 40, 80],
  );
  const last = decide(situation({ sandbox }));
  t.match(last.status, { phase: 'Failed' });
  t.equal(at(last, 'Ready'), 'False CrashBudgetExhausted');
  t.match(conditionOf(after(sandbox, last), 'Ready')?.message, 'Set runState to Paused');
  const failed = after(sandbox, last);
  t.match(decide(situation({ sandbox: failed })), { actions: [], ending: { type: 'stalled' } });
  const changed = decide(situation({ sandbox: { ...failed, metadata: { ...failed.metadata, generation: 2 } } }));
  t.equal(changed.first, 'status');
  t.notOk(changed.status.consecutiveFailures ?? changed.status.restartCount, 'a change of the spec is a new try');
  const healthy = { ...sandbox, status: { ...sandbox.status, startedAt: ago(700) } };
  t.match(
    decide(situation({ sandbox: healthy })).status,
    { consecutiveFailures: 1, restartCount: 6 },
    'ten healthy minutes end the row',
  );
});

t.test('the cause of a loss is kept while the pod goes', async (t) => {
  const evicted = podOf({ phase: 'Failed', reason: 'Evicted', message: 'low on memory' });
  const seen = decide(situation({ sandbox: RUNNING, pod: evicted }));
  t.match(seen.actions, [{ do: 'deletePod' }]);
  const going = podOf(READY, { meta: { deletionTimestamp: ago(1) } });
  const meanwhile = decide(situation({ sandbox: after(RUNNING, seen), pod: going }));
  t.equal(at(meanwhile, 'PodReady'), 'False Evicted');
  const lost = decide(situation({ sandbox: after(RUNNING, meanwhile) }));
  t.match(lost.reports, [{ reason: 'Evicted', message: /low on memory/ }]);
  const node = podOf({ ...READY, conditions: [condition('PodScheduled', 'True'), condition('Ready', 'Unknown')] });
  const unknown = decide(situation({ sandbox: RUNNING, pod: node }));
  const fenced = decide(situation({ sandbox: after(RUNNING, unknown) }));
  t.ok(
    Date.parse(fenced.status.nextRestartTime ?? '') - NOW >= 45_000,
    'a lost node may still run the agent: its lease is waited out',
  );
});

t.test('pods that never start, or crash too often', async (t) => {
  const status: PodStatus = {
    conditions: [condition('PodScheduled', 'True')],
    containerStatuses: [container({ state: { waiting: { reason: 'ImagePullBackOff', message: 'not found' } } })],
  };
  const young = decide(situation({ sandbox: sandboxOf({}, SLOT), pod: podOf(status) }));
  t.equal(at(young, 'Ready'), 'False ImagePullFailed');
  t.match(young.reports, [{ reason: 'ImagePullFailed' }]);
  t.match(young.ending, { type: 'wait', reason: 'start deadline' });
  t.same(decide(situation({ sandbox: after(sandboxOf(), young), pod: podOf(status) })).reports, [], 'told once');
  const old = decide(
    situation({ sandbox: after(sandboxOf(), young), pod: podOf(status, { meta: { creationTimestamp: ago(700) } }) }),
  );
  t.match(old.status, { phase: 'Failed' });
  t.equal(at(old, 'Ready'), 'False ImagePullFailed', 'the cause is the reason');
  const left = decide(situation({ sandbox: after(sandboxOf(), old), pod: podOf(status) }));
  t.match(left.actions, [{ do: 'deletePod' }]);
  const loops = (restartCount: number) =>
    podOf({
      ...status,
      containerStatuses: [container({ restartCount, state: { waiting: { reason: 'CrashLoopBackOff' } } })],
    });
  t.equal(decide(situation({ sandbox: RUNNING, pod: loops(2) })).status.phase, 'Starting');
  t.equal(decide(situation({ sandbox: RUNNING, pod: loops(2) })).status.restartCount, 2);
  t.equal(decide(situation({ sandbox: RUNNING, pod: loops(6) })).status.phase, 'Failed');
});

t.test('refusals and missing templates', async (t) => {
  const refusal = {
    child: 'pod',
    reason: 'QuotaExceeded',
    message: 'exceeded quota: q',
    retryAt: NOW + 5_000,
  } as const;
  const refused = decide(situation({ sandbox: sandboxOf({}, SLOT), refusal }));
  t.equal(at(refused, 'Ready'), 'False QuotaExceeded');
  t.match(refused, { actions: [], ending: { type: 'wait', ms: 5_000 }, reports: [{ reason: 'QuotaExceeded' }] });
  t.same(decide(situation({ sandbox: after(sandboxOf(), refused), refusal })).reports, []);
  t.equal(
    verbs(decide(situation({ sandbox: after(sandboxOf(), refused), refusal, now: NOW + 6_000 }))),
    'applySecret createPod',
  );
  const missing = decide(situation({ sandbox: sandboxOf({ template: 'no' }), template: undefined }));
  t.equal(at(missing, 'Ready'), 'False TemplateNotFound');
  const alive = decide(
    situation({ sandbox: { ...RUNNING, spec: { template: 'no' } }, template: undefined, pod: podOf() }),
  );
  t.equal(alive.status.phase, 'Running', 'a running sandbox outlives its template');
  const odd = decide(
    situation({
      sandbox: sandboxOf({ resourceFactor: 2 }),
      template: { image: 'x', resources: { limits: { cpu: '1e3' } } },
    }),
  );
  t.equal(at(odd, 'Ready'), 'False InvalidSpec');
});

t.test('before a pod is ended by a pause or a timer, its agent server is told once', async (t) => {
  const paused = { ...RUNNING, spec: { runState: 'Paused' as const } };
  const told = decide(situation({ sandbox: paused, pod: podOf(READY, { epoch: 3 }), farewell: undefined }));
  t.match(told.actions, [{ do: 'farewell', epoch: 3 }]);
  t.match(told.status, { phase: 'Pausing' });
  t.match(told.ending, { type: 'wait' });
  const waits = decide(situation({ sandbox: after(paused, told), pod: podOf(), farewell: 'asked' }));
  t.same(waits.actions, [], 'the pod stays until that is over');
  t.same(waits.status, told.status);
  t.equal(verbs(decide(situation({ sandbox: after(paused, told), pod: podOf(), farewell: 'over' }))), 'deletePod');
  const starting = podOf({ conditions: [condition('PodScheduled', 'True')] });
  t.equal(
    verbs(decide(situation({ sandbox: paused, pod: starting, farewell: undefined }))),
    'deletePod',
    'nobody there',
  );
  const old = { ...RUNNING, spec: { lifecycle: { maxLifetime: '5s' } } };
  t.equal(verbs(decide(situation({ sandbox: old, pod: podOf(), farewell: undefined }))), 'farewell');
  t.equal(verbs(decide(situation({ sandbox: old, pod: podOf(), farewell: 'asked' }))), '');
  t.equal(verbs(decide(situation({ sandbox: old, pod: podOf(), farewell: 'over' }))), 'deleteSandbox');
});

t.test('over a limit: it waits as what it is, and comes back as that', async (t) => {
  const place = { kind: 'refused', reason: 'OwnerLimitReached', message: 'two run' } as const;
  const fresh = decide(situation({ workspace: undefined, place }));
  t.match(fresh.status, { phase: 'Pending', slot: undefined });
  t.equal(at(fresh, 'Ready'), 'False OwnerLimitReached');
  t.match(fresh, { actions: [], ending: { type: 'wait' }, reports: [{ reason: 'OwnerLimitReached' }] });
  const again = decide(situation({ sandbox: after(sandboxOf(), fresh), workspace: undefined, place }));
  t.same(again.status, fresh.status, 'nothing to write while it waits');
  t.same(again.reports, [], 'told once');
  const started = decide(situation({ sandbox: after(sandboxOf(), fresh), workspace: undefined }));
  t.match(started.status, { phase: 'Starting', slot: cold });

  const asleep = after(
    sandboxOf({ runState: 'Paused' }, SLOT),
    decide(situation({ sandbox: sandboxOf({ runState: 'Paused' }, SLOT) })),
  );
  const woken = { ...asleep, spec: { runState: 'Running' as const } };
  const refused = decide(situation({ sandbox: woken, place }));
  t.match(refused.status, { phase: 'Paused', keyEpoch: 1, pausedAt: timestamp(NOW) });
  t.equal(at(refused, 'Paused'), 'True Requested');
  t.equal(at(refused, 'Ready'), 'False OwnerLimitReached');
  const resumed = decide(situation({ sandbox: after(woken, refused) }));
  t.match(resumed.status, { phase: 'Starting', keyEpoch: 2 }, 'the resume is made when there is a place');

  const failed = sandboxOf({}, { ...SLOT, phase: 'Failed', consecutiveFailures: 6, observedGeneration: 0 });
  const waits = decide(situation({ sandbox: failed, place }));
  t.match(waits.status, { phase: 'Pending', slot: cold, consecutiveFailures: undefined }, 'with a new budget');
  t.equal(verbs(decide(situation({ sandbox: after(failed, waits) }))), 'applySecret createPod');

  const yields = decide(situation({ sandbox: RUNNING, pod: podOf(), yields: 'makes room' }));
  t.equal(`${yields.first} ${verbs(yields)}`, 'status pause', 'the reason is on record first');
  t.equal(at(yields, 'Paused'), 'False TooManySandboxes');
  const recorded = decide(situation({ sandbox: after(RUNNING, yields), pod: podOf(), yields: 'makes room' }));
  t.equal(`${recorded.first} ${verbs(recorded)}`, 'actions pause');
  const done = decide(situation({ sandbox: { ...after(RUNNING, yields), spec: { runState: 'Paused' } } }));
  t.equal(at(done, 'Paused'), 'True TooManySandboxes');
});

t.test('deletion: nothing is made any more', async (t) => {
  const sandbox = { ...RUNNING, metadata: { ...RUNNING.metadata, deletionTimestamp: ago(1) } };
  const decision = decide(situation({ sandbox }));
  t.equal(decision.status.phase, 'Terminating');
  t.equal(verbs(decision), '');
});
