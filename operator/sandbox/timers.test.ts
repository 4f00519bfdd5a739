/** What pods say, and what time does. */
import t from 'tap';
import type { Sandbox, SandboxSpec } from '../../contracts/resources.js';
import type { PodStatus } from '../../kube/kinds.js';
import { timestamp } from '../durations.js';
import {
  after,
  ago,
  at,
  condition,
  container,
  NOW,
  podOf,
  READY,
  RUNNING,
  situation,
  verbs,
} from '../testing/situations.js';
import { decide } from './decide.js';
import { podState } from './podstate.js';
import type { Situation } from './situation.js';

t.test('what a pod says: scheduling, volume, pull, start, crash, node', async (t) => {
  const scheduled = condition('PodScheduled', 'True');
  const waiting = (reason: string, message = 'm') => ({
    conditions: [scheduled],
    containerStatuses: [container({ state: { waiting: { reason, message } } })],
  });
  const crashed = (reason: string, exitCode: number) =>
    container({
      restartCount: 2,
      state: { waiting: { reason: 'CrashLoopBackOff' } },
      lastState: { terminated: { exitCode, reason } },
    });
  const unscheduled = (message: string) => ({
    conditions: [condition('PodScheduled', 'False', { reason: 'Unschedulable', message })],
  });
  const rows: [string, PodStatus, string, string][] = [
    ['new', {}, 'pending', 'SchedulingPending'],
    ['no node fits', unscheduled('0/3 nodes are available: insufficient cpu'), 'pending', 'Unschedulable'],
    ['no volume', unscheduled('pod has unbound immediate PersistentVolumeClaims'), 'pending', 'VolumePending'],
    ['creating', waiting('ContainerCreating'), 'starting', 'ContainerCreating'],
    ['no container status yet', { conditions: [scheduled] }, 'starting', 'ContainerCreating'],
    ['pull', waiting('ErrImagePull'), 'pending', 'ImagePullFailed'],
    ['pull, backing off', waiting('ImagePullBackOff'), 'pending', 'ImagePullFailed'],
    ['bad name', waiting('InvalidImageName'), 'pending', 'ImagePullFailed'],
    ['no secret', waiting('CreateContainerConfigError'), 'pending', 'ContainerStartFailed'],
    ['no such binary', waiting('RunContainerError'), 'pending', 'ContainerStartFailed'],
    ['crash', { conditions: [scheduled], containerStatuses: [crashed('Error', 1)] }, 'crashing', 'CrashLoop'],
    ['memory', { conditions: [scheduled], containerStatuses: [crashed('OOMKilled', 137)] }, 'crashing', 'OOMKilled'],
    [
      'just ended',
      { conditions: [scheduled], containerStatuses: [container({ state: { terminated: { exitCode: 3 } } })] },
      'crashing',
      'CrashLoop',
    ],
    [
      'starting',
      { conditions: [scheduled], containerStatuses: [container({ state: { running: {} }, started: false })] },
      'starting',
      'AgentStarting',
    ],
    [
      'hangs',
      {
        conditions: [scheduled, condition('Ready', 'False')],
        containerStatuses: [container({ state: { running: {} }, started: true })],
      },
      'unready',
      'ProbeFailing',
    ],
    [
      'node gone',
      { ...READY, conditions: [scheduled, condition('Ready', 'Unknown', { reason: 'NodeStatusUnknown' })] },
      'unready',
      'NodeLost',
    ],
    [
      'node silent, as the node controller leaves it',
      { ...READY, conditions: [scheduled, condition('Ready', 'False')] },
      'unready',
      'NodeLost',
    ],
    [
      'a readiness gate of somebody else',
      { ...READY, conditions: [scheduled, condition('Ready', 'False', { reason: 'ReadinessGatesNotReady' })] },
      'unready',
      'ProbeFailing',
    ],
    ['ready', READY, 'ready', 'PodReady'],
    ['evicted', { phase: 'Failed', reason: 'Evicted', message: 'low on memory' }, 'ended', 'Evicted'],
    [
      'failed',
      { phase: 'Failed', containerStatuses: [container({ state: { terminated: { exitCode: 1 } } })] },
      'ended',
      'CrashLoop',
    ],
    ['done', { phase: 'Succeeded' }, 'ended', 'PodEnded'],
  ];
  for (const [name, status, kind, reason] of rows) {
    const pod = podOf(status);
    if (reason === 'SchedulingPending') delete pod.spec.nodeName;
    if (['Unschedulable', 'VolumePending'].includes(reason)) delete pod.spec.nodeName;
    const state = podState(pod);
    t.equal(`${state.kind} ${state.ready.reason}`, `${kind} ${reason}`, name);
  }
  const going = (reason: string, ready: 'True' | 'Unknown' = 'True') => {
    const target = { ...condition('DisruptionTarget', 'True'), reason, message: 'because' };
    const conditions = [scheduled, condition('Ready', ready), target];
    return podState(podOf({ ...READY, conditions }, { meta: { deletionTimestamp: ago(1) } })).ready;
  };
  t.equal(going('EvictionByEvictionAPI').reason, 'Evicted');
  t.match(going('EvictionByEvictionAPI').message, /drain of its node: because/);
  t.equal(going('PreemptionByScheduler').reason, 'Preempted');
  t.equal(going('DeletionByTaintManager').reason, 'NodeTainted');
  t.equal(going('DeletionByTaintManager', 'Unknown').reason, 'NodeLost', 'its agent may still live');
  t.equal(going('DeletionByPodGC').reason, 'NodeLost');
  t.equal(going('SomethingNew').reason, 'Terminating');
  const hostile = podState(podOf(waiting('ErrImagePull', 'x'.repeat(100_000))));
  t.ok(hostile.ready.message.length <= 500, 'messages are bounded');
  t.equal(podState(podOf(READY, { meta: { deletionTimestamp: ago(1) } })).kind, 'terminating');
});

t.test('timers', async (t) => {
  const live = (lifecycle: SandboxSpec['lifecycle'], more: Partial<Situation> = {}, meta = {}) =>
    decide(
      situation({
        sandbox: { ...RUNNING, spec: { lifecycle }, metadata: { ...RUNNING.metadata, ...meta } },
        pod: podOf(),
        ...more,
      }),
    );
  t.match(live({}).ending, { type: 'done' });
  t.match(live({ idleTimeout: '20m' }).ending, { type: 'wait' });
  const later = { now: NOW + 21 * 60_000 };
  t.equal(verbs(live({ idleTimeout: '20m' }, later)), 'askIdle');
  const asked = (activeAgo: number) => ({
    ...later,
    agent: { init: 'ready' as const, idle: { polledAt: later.now, activeAt: later.now - activeAgo, failures: 0 } },
  });
  t.equal(verbs(live({ idleTimeout: '20m' }, asked(60_000))), '', 'the agent was active a minute ago');
  const idle = live({ idleTimeout: '20m' }, asked(3_600_000));
  t.equal(`${idle.first} ${verbs(idle)}`, 'status pause', 'the reason is on record first');
  const recorded = decide(
    situation({
      ...asked(3_600_000),
      sandbox: { ...after(RUNNING, idle), spec: { lifecycle: { idleTimeout: '20m' } } },
      pod: podOf(),
    }),
  );
  t.equal(`${recorded.first} ${verbs(recorded)}`, 'actions pause');
  const pausing = decide(situation({ sandbox: { ...after(RUNNING, idle), spec: { runState: 'Paused' } } }));
  t.equal(at(pausing, 'Paused'), 'True IdleTimeout');
  const traffic = { annotations: { 'sandlot.dev/last-traffic': timestamp(later.now - 60_000) } };
  t.equal(verbs(live({ idleTimeout: '20m' }, later, traffic)), '', 'traffic counts');
  const future = { annotations: { 'sandlot.dev/last-traffic': '2099-01-01T00:00:00Z' } };
  t.ok(
    Date.parse(live({ idleTimeout: '20m' }, later, future).status.lastActivityTime ?? '') <= later.now,
    'a wrong clock keeps nothing alive for ever',
  );
  const silent = (failures: number, polledAgo: number) =>
    live(
      { idleTimeout: '20m' },
      { ...later, agent: { init: 'ready', idle: { polledAt: later.now - polledAgo, failures } } },
    );
  t.equal(verbs(silent(1, 10_000)), '', 'an agent that does not answer is asked again in a minute');
  t.equal(verbs(silent(1, 61_000)), 'askIdle');
  t.equal(verbs(silent(3, 10_000)), 'pause', 'and after three times it keeps nothing alive');

  t.match(live({ maxLifetime: '1h' }).ending, { type: 'wait', reason: 'lifetime' });
  t.equal(verbs(live({ maxLifetime: '5s' })), 'deleteSandbox');
  const old = decide(
    situation({
      sandbox: { ...RUNNING, spec: {} },
      template: { image: 'x', lifecycle: { maxLifetime: '5s' } },
      pod: podOf(),
    }),
  );
  t.equal(verbs(old), 'deleteSandbox', "the template's rules hold for sandboxes without own ones");
  const pausedFor = (seconds: number): Sandbox => ({
    ...RUNNING,
    spec: { runState: 'Paused', lifecycle: { deleteAfterPaused: '1h' } },
    status: { ...pausing.status, pausedAt: ago(seconds) },
  });
  t.match(decide(situation({ sandbox: pausedFor(60) })).ending, { type: 'wait' });
  t.equal(verbs(decide(situation({ sandbox: pausedFor(3_601) }))), 'deleteSandbox');
  const woken = { ...pausedFor(3_601), spec: { runState: 'Running' as const, lifecycle: { deleteAfterPaused: '1h' } } };
  t.not(verbs(decide(situation({ sandbox: woken }))), 'deleteSandbox', 'a resume at the last moment wins');
});
