/** What a pod's status says, in the operator's words. Pure; the table of reasons is the reference for `kubectl describe sandbox`. */
import type { ContainerState, ContainerStatus, Pod } from '../../kube/kinds.js';
import { CONTAINER } from '../build/pod.js';

/** One condition without its times. */
export interface Fact {
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
}

export interface PodState {
  /** `ended`: it will never run again and must be replaced. */
  kind: 'pending' | 'starting' | 'ready' | 'unready' | 'crashing' | 'ended' | 'terminating';
  scheduled: Fact;
  ready: Fact;
  /** Restarts of the container within this pod, by the kubelet. */
  restarts: number;
}

/** Reasons that tell why a pod goes; they are kept in the condition while it does. */
export const LOSS_CAUSES: ReadonlySet<string> = new Set([
  'Evicted',
  'OOMKilled',
  'CrashLoop',
  'NodeLost',
  'NodeTainted',
  'Preempted',
  'PodFailed',
  'PodEnded',
  'Preempting',
  'Shutdown',
  'Terminated',
  'InitFailed',
]);

const MESSAGE_LIMIT = 500;
const IMAGE =
  /^(ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull|RegistryUnavailable|ImageInspectError|SignatureValidationFailed)$/;
const START = /^(CreateContainerConfigError|CreateContainerError|RunContainerError|StartError|PostStartHookError)$/;
const VOLUME = /persistentvolumeclaim|volume node affinity|volume\(s\)|unbound/i;

export function podState(pod: Pod): PodState {
  const container = pod.status?.containerStatuses?.find(({ name }) => name === CONTAINER);
  const scheduled = scheduledFact(pod);
  const restarts = container?.restartCount ?? 0;
  const { kind, ready } = readiness(pod, container, scheduled);
  return { kind, scheduled, ready, restarts };
}

type Readiness = Pick<PodState, 'kind' | 'ready'>;
const no = (kind: PodState['kind'], reason: string, message: string): Readiness => ({
  kind,
  ready: { status: 'False', reason, message: message.slice(0, MESSAGE_LIMIT) },
});

function readiness(pod: Pod, container: ContainerStatus | undefined, scheduled: Fact): Readiness {
  if (pod.metadata.deletionTimestamp !== undefined) return no('terminating', ...whyGoing(pod));
  const phase = pod.status?.phase;
  if (phase === 'Failed' || phase === 'Succeeded') return ended(pod, container);
  if (scheduled.status !== 'True') return no('pending', scheduled.reason, scheduled.message);
  const condition = pod.status?.conditions?.find(({ type }) => type === 'Ready');
  if (nodeIsSilent(condition, container)) return no('unready', 'NodeLost', SILENT);
  return containerReadiness(container, condition?.status === 'True');
}

/** Who ends a pod that we did not end, by the condition that Kubernetes leaves on it. */
const DISRUPTIONS: Record<string, [reason: string, what: string]> = {
  EvictionByEvictionAPI: ['Evicted', 'the pod was evicted, as by a drain of its node'],
  PreemptionByScheduler: ['Preempted', 'the scheduler gave its place to a pod of higher priority'],
  DeletionByTaintManager: ['NodeTainted', 'a taint of its node does not tolerate the pod'],
  DeletionByPodGC: ['NodeLost', 'the node of the pod is gone'],
  TerminationByKubelet: ['Evicted', 'the node ended the pod'],
};

function whyGoing(pod: Pod): [reason: string, message: string] {
  const conditions = pod.status?.conditions ?? [];
  const target = conditions.find(({ type, status }) => type === 'DisruptionTarget' && status === 'True');
  const known = DISRUPTIONS[target?.reason ?? ''];
  if (known === undefined) return ['Terminating', 'the pod is being ended'];
  const container = pod.status?.containerStatuses?.find(({ name }) => name === CONTAINER);
  const unreachable = nodeIsSilent(
    conditions.find(({ type }) => type === 'Ready'),
    container,
  );
  const [reason, what] = known[0] === 'NodeTainted' && unreachable ? (['NodeLost', SILENT] as const) : known;
  return [reason, target?.message === undefined ? what : `${what}: ${target.message}`];
}

const SILENT = 'the node of the pod does not report';
/**
 * The node controller makes pods of a silent node not ready and leaves the containers as the kubelet saw them last; a kubelet
 * writes both alike, or says that a readiness gate is closed.
 */
const nodeIsSilent = (
  ready: { status: string; reason?: string } | undefined,
  container: ContainerStatus | undefined,
): boolean =>
  ready?.status === 'Unknown' ||
  ready?.reason === 'NodeStatusUnknown' ||
  (ready?.status === 'False' && ready.reason !== 'ReadinessGatesNotReady' && container?.ready === true);

function containerReadiness(container: ContainerStatus | undefined, ready: boolean): Readiness {
  const { waiting, terminated } = container?.state ?? {};
  if (waiting !== undefined) return whileWaiting(waiting, container);
  if (terminated !== undefined)
    return no(
      'crashing',
      crashReason(terminated),
      `the container ended (${howEnded(terminated)}) and is started again`,
    );
  if (ready)
    return {
      kind: 'ready',
      ready: { status: 'True', reason: 'PodReady', message: 'the pod passes its readiness probe' },
    };
  if (container?.state?.running === undefined)
    return no('starting', 'ContainerCreating', 'the container is being created');
  return container.started === true
    ? no('unready', 'ProbeFailing', 'the agent server does not pass its readiness probe')
    : no('starting', 'AgentStarting', 'the agent server is starting');
}

function whileWaiting(
  waiting: NonNullable<ContainerState['waiting']>,
  container: ContainerStatus | undefined,
): Readiness {
  const reason = waiting.reason ?? 'ContainerCreating';
  const message = waiting.message ?? reason;
  if (IMAGE.test(reason)) return no('pending', 'ImagePullFailed', `${reason}: ${message}`);
  if (START.test(reason)) return no('pending', 'ContainerStartFailed', `${reason}: ${message}`);
  const last = container?.lastState?.terminated;
  if (reason === 'CrashLoopBackOff') {
    const how = last === undefined ? '' : ` (${howEnded(last)})`;
    return no(
      'crashing',
      last === undefined ? 'CrashLoop' : crashReason(last),
      `the container ended ${container?.restartCount ?? 0} times${how}`,
    );
  }
  return no('starting', 'ContainerCreating', message === reason ? 'the container is being created' : message);
}

function ended(pod: Pod, container: ContainerStatus | undefined): Readiness {
  const { reason, message, phase } = pod.status ?? {};
  if (reason !== undefined && reason !== '')
    return no('ended', reason.replace(/[^A-Za-z0-9]/g, '') || 'PodFailed', message ?? reason);
  const terminated = container?.state?.terminated ?? container?.lastState?.terminated;
  if (terminated !== undefined)
    return no('ended', crashReason(terminated), `the container ended (${howEnded(terminated)})`);
  return no('ended', phase === 'Succeeded' ? 'PodEnded' : 'PodFailed', message ?? 'the pod ended');
}

type Terminated = NonNullable<ContainerState['terminated']>;
const crashReason = (terminated: Terminated): string => (terminated.reason === 'OOMKilled' ? 'OOMKilled' : 'CrashLoop');
const howEnded = (terminated: Terminated): string =>
  terminated.reason === 'OOMKilled' ? 'out of memory' : `exit code ${terminated.exitCode}`;

function scheduledFact(pod: Pod): Fact {
  const condition = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
  const node = pod.spec.nodeName;
  if (condition?.status === 'True' || (node !== undefined && node !== ''))
    return { status: 'True', reason: 'Scheduled', message: `the pod is on node ${node ?? '?'}` };
  if (condition?.status === 'False') {
    const message = (condition.message ?? 'no node takes the pod').slice(0, MESSAGE_LIMIT);
    return {
      status: 'False',
      reason: VOLUME.test(message) ? 'VolumePending' : (condition.reason ?? 'Unschedulable'),
      message,
    };
  }
  return { status: 'False', reason: 'SchedulingPending', message: 'the scheduler has not looked at the pod yet' };
}
