/** A sandbox that has a pod: starting, serving, failing or going. */
import { ANNOTATION, LABEL } from '../../contracts/labels.js';
import { conditionOf, type SandboxStatus } from '../../contracts/resources.js';
import type { Pod } from '../../kube/kinds.js';
import { done, type Outcome } from '../../kube/outcome.js';
import { describeMs, timeMs, timestamp } from '../durations.js';
import type { Shape } from '../shape.js';
import { advised } from './advice.js';
import { NOT_PAUSED, no, workspaceFact, yes, type Facts } from './conditions.js';
import { adoptions, decision, deletion, fail, going, pauseItself, sooner, wait } from './parts.js';
import { idleVerdict, lastActivity } from './lifecycle.js';
import { isQuiet, readAtMs } from './podevents.js';
import { LOSS_CAUSES, podState, type Fact, type PodState } from './podstate.js';
import type { Action, Decision, Report, Situation } from './situation.js';
import { statusOf, WITHOUT_POD } from './status.js';

/** lastActivityTime is written anew only when it moved by this much, ms: it costs a write per sandbox. */
const ACTIVITY_STEP_MS = 300_000;
/** A claim's Secret and workspace change hands this much later, ms: in a burst, other claims come first. */
const ADOPT_AFTER_MS = 1_000;
/** Reasons worth an Event when they come up. */
const NOTABLE = new Set([
  'ImagePullFailed',
  'ContainerStartFailed',
  'CrashLoop',
  'OOMKilled',
  'Unschedulable',
  'VolumePending',
  'FailedMount',
  'FailedAttachVolume',
  'FailedMapVolume',
  'FailedCreatePodSandBox',
  'NodeLost',
  'InitFailed',
]);

export function decidePresent(s: Situation, shape: Shape, pod: Pod): Decision {
  const state = withTrouble(s, keepCause(s, podState(pod)));
  const epoch = s.sandbox.status?.keyEpoch ?? 1;
  const facts = factsOf(s, shape, pod, state);
  const status = statusOf({ ...s, facts, changes: changesOf(s, pod, state, facts) });
  const reports = reportsOf(s, facts);
  const replace = (): Decision => decision({ status, reports, actions: deletion(s), ending: going(s) });
  if (Number(pod.metadata.annotations?.[ANNOTATION.keyEpoch] ?? epoch) !== epoch) return supersede(s, facts);
  if (state.kind === 'terminating' || state.kind === 'ended') return replace();
  const hopeless = whyHopeless(s, pod, state, facts);
  if (hopeless !== undefined) return fail(s, shape, hopeless.reason, hopeless.message);
  if (s.agent.init === 'failed' && bornWarm(pod)) return replace();
  const strays = [...deletion({ ...s, pod: undefined, workspace: undefined }), ...restoration(s)];
  if (state.kind !== 'ready') return unready(s, pod, { status, reports, actions: [...strays, ...adoptions(s)] });
  if (s.agent.init === 'unknown' && bornWarm(pod))
    return decision({ status, reports, actions: [...strays, { do: 'initialise', pod, epoch }] });
  return serving(s, pod, { status, reports, strays });
}

/** Without its init key the container could not start again. */
function restoration({ lostInitKeys: name, pod }: Situation): Action[] {
  const slot = pod?.metadata.labels?.[LABEL.slot];
  return name === undefined || slot === undefined ? [] : [{ do: 'restoreInitKeys', name, slot }];
}

/** A pod with the keys of before a resume: not this sandbox's pod any more, and no loss when it goes. */
function supersede(s: Situation, facts: Facts): Decision {
  return decision({ status: statusOf({ ...s, facts, changes: WITHOUT_POD }), actions: deletion(s), ending: going(s) });
}

/** While a pod goes, its condition keeps telling why. */
function keepCause(s: Situation, state: PodState): PodState {
  const before = conditionOf(s.sandbox, 'PodReady');
  if (state.kind !== 'terminating' || before === undefined || !LOSS_CAUSES.has(before.reason)) return state;
  return { ...state, ready: no(before.reason, before.message) };
}

/** What the pod's status does not tell, from its Events. */
function withTrouble(s: Situation, state: PodState): PodState {
  const trouble = s.podEvents?.trouble;
  return trouble === undefined || !isQuiet(state) ? state : { ...state, ready: no(trouble.reason, trouble.message) };
}

/** Not ready yet, or not any more. Where its status is silent, its Events are read now and then. */
function unready(s: Situation, pod: Pod, parts: Pick<Decision, 'status' | 'reports' | 'actions'>): Decision {
  const ending = untilDeadline(s, pod);
  if (!isQuiet(podState(pod))) return decision({ ...parts, ending });
  const readAt = readAtMs(pod, s.podEvents?.readAt, s.now);
  if (readAt > s.now) return decision({ ...parts, ending: sooner(ending, readAt - s.now, 'events of the pod') });
  return decision({ ...parts, actions: [...parts.actions, { do: 'readPodEvents', pod }] });
}

/** Ready: what a claim left to do, once nobody waits any more, and the clocks. */
function serving(s: Situation, pod: Pod, so: { status: SandboxStatus; reports: Report[]; strays: Action[] }): Decision {
  const { status, reports, strays } = so;
  const claimedAt = timeMs(status.claimedAt) ?? 0;
  const left = adoptions(s);
  const due = claimedAt + ADOPT_AFTER_MS - s.now;
  const actions = [...strays, ...(due > 0 ? [] : left)];
  const later = (ending: Outcome) => (left.length > 0 && due > 0 ? sooner(ending, due, 'adoption') : ending);
  const idle = idleVerdict(s, lastActivity(s, claimedAt));
  switch (idle.kind) {
    case 'ask':
      return decision({ status, reports, actions: [...actions, { do: 'askIdle', pod, epoch: status.keyEpoch ?? 1 }] });
    case 'idle':
      return pauseItself(s, 'IdleTimeout', `paused after ${describeMs(idle.ms)} without activity`, status);
    case 'wait':
      return decision({ status, reports, actions, ending: later(wait(idle.until - s.now, 'idle clock')) });
    case 'off':
      return decision({ status, reports, actions, ending: later(done) });
  }
}

const bornWarm = (pod: Pod): boolean => pod.metadata.labels?.[LABEL.pool] !== undefined;

function factsOf(s: Situation, shape: Shape, pod: Pod, state: PodState): Facts {
  return {
    scheduled: state.scheduled,
    podReady: state.ready,
    agentReady: agentFact(s, pod, state),
    workspace: workspaceFact(shape.workspace, s.workspace),
    paused: NOT_PAUSED,
  };
}

/** A cold agent server is ready with its pod. A dormant one is only when it has this sandbox's keys. */
function agentFact(s: Situation, pod: Pod, state: PodState): Fact {
  if (state.kind !== 'ready') return no(state.ready.reason, state.ready.message);
  const answers = yes('AgentReady', 'the agent server answers');
  if (!bornWarm(pod) || s.agent.init === 'ready') return answers;
  if (s.agent.init === 'failed')
    return no('InitFailed', 'the warm agent server could not be initialised and is replaced');
  const { podUID, restartCount = 0 } = s.sandbox.status ?? {};
  const before = conditionOf(s.sandbox, 'AgentReady');
  // After a restart of the operator the last word stands until the check is done, unless the container is another.
  if (before?.status === 'True' && podUID === pod.metadata.uid && restartCount === restartsOf(pod, state))
    return answers;
  return no('Initialising', 'the warm agent server is being given its keys');
}

/** Restarts since the last resume: pods lost before this one, and the kubelet's restarts within it. */
function restartsOf(pod: Pod, state: PodState): number {
  return Number(pod.metadata.annotations?.[ANNOTATION.restarts] ?? 0) + state.restarts;
}

function changesOf(s: Situation, pod: Pod, state: PodState, facts: Facts): Partial<SandboxStatus> {
  const old = s.sandbox.status ?? {};
  const same = old.podUID === pod.metadata.uid;
  const ready = facts.podReady.status === 'True' && facts.agentReady.status === 'True';
  const claimedAt = same ? old.claimedAt : bornWarm(pod) ? timestamp(s.now) : pod.metadata.creationTimestamp;
  const activeAt = lastActivity(s, timeMs(claimedAt) ?? 0);
  const moved = activeAt - (timeMs(old.lastActivityTime) ?? 0) >= ACTIVITY_STEP_MS;
  const restarts = restartsOf(pod, state);
  return {
    // A pod that is already going when it is first seen is not counted as a loss.
    podUID: state.kind === 'terminating' ? old.podUID : pod.metadata.uid,
    podIP: pod.status?.podIP,
    nodeName: pod.spec.nodeName,
    ports: pod.spec.containers[0]?.ports?.flatMap(({ name, containerPort }) =>
      name === undefined ? [] : [{ name, port: containerPort }],
    ),
    claimedAt,
    startedAt: (same ? old.startedAt : undefined) ?? (ready ? timestamp(s.now) : undefined),
    lastActivityTime: moved && ready ? timestamp(activeAt) : old.lastActivityTime,
    restartCount: restarts === 0 ? undefined : restarts,
    nextRestartTime: undefined,
  };
}

/** Why this pod will never serve. */
function whyHopeless(
  s: Situation,
  pod: Pod,
  state: PodState,
  facts: Facts,
): { reason: string; message: string } | undefined {
  const { ready } = state;
  if (state.kind === 'crashing' && state.restarts > s.limits.crash.budget)
    return { reason: ready.reason, message: ready.message };
  const started = s.sandbox.status?.podUID === pod.metadata.uid && s.sandbox.status?.startedAt !== undefined;
  const age = s.now - (timeMs(pod.metadata.creationTimestamp) ?? s.now);
  if (started || facts.podReady.status === 'True' || age < s.limits.startDeadlineMs) return undefined;
  return {
    reason: ready.reason,
    message: `the pod did not become ready within ${describeMs(s.limits.startDeadlineMs)}: ${ready.message}`,
  };
}

function untilDeadline(s: Situation, pod: Pod): Outcome {
  const born = timeMs(pod.metadata.creationTimestamp) ?? s.now;
  const left = born + s.limits.startDeadlineMs - s.now;
  return left > 0 ? sooner(done, left + 1_000, 'start deadline') : done;
}

function reportsOf(s: Situation, facts: Facts): Report[] {
  const { status, reason, message } = facts.podReady.status === 'True' ? facts.agentReady : facts.podReady;
  const before = conditionOf(s.sandbox, 'Ready')?.reason;
  if (status === 'True' || !NOTABLE.has(reason) || before === reason) return [];
  return [{ type: 'Warning', reason, message: advised(reason, message) }];
}
