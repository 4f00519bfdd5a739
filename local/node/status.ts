/** The status that a kubelet writes, from what the node knows of a pod. Pure. Rules as the real kubelet's (v1.34). */
import type { Container, ContainerState, ContainerStatus, CoreCondition, Pod, PodStatus } from '../../kube/kinds.js';
import { rfc3339 } from '../../kube/status.js';
import { quantityValue } from './fields.js';

export interface Terminated {
  exitCode: number;
  signal?: number;
  reason: string;
  message?: string;
  startedAt: number;
  finishedAt: number;
  id: string;
}

export type State =
  | { type: 'waiting'; reason: string; message?: string }
  | { type: 'running'; startedAt: number }
  | ({ type: 'terminated' } & Terminated);

/** One container as the node knows it; times in ms. */
export interface ContainerFacts {
  name: string;
  image: string;
  state: State;
  last?: Terminated | undefined;
  restarts: number;
  /** The startup probe (if any) has succeeded. */
  started: boolean;
  ready: boolean;
  id?: string | undefined;
}

export interface PodSnapshot {
  podIP: string | undefined;
  hostIP: string;
  startedAt: number;
  /** Volumes are there and the address is given. */
  sandboxReady: boolean;
  init: ContainerFacts[];
  containers: ContainerFacts[];
}

const INITIALIZING: State = { type: 'waiting', reason: 'PodInitializing' };
export const CREATING: State = { type: 'waiting', reason: 'ContainerCreating' };

/** What is said of a container that was not looked at yet. */
export function freshFacts(container: Container, hasInit: boolean): ContainerFacts {
  return {
    name: container.name,
    image: container.image ?? '',
    state: hasInit ? INITIALIZING : CREATING,
    restarts: 0,
    started: false,
    ready: false,
  };
}

/** The whole status; condition times are kept from `old` where nothing changed. */
export function podStatus(pod: Pod, snapshot: PodSnapshot, now: number): PodStatus {
  const phase = phaseOf(pod, snapshot);
  const ip = snapshot.podIP;
  return {
    phase,
    conditions: conditionsOf(pod, snapshot, phase, now),
    hostIP: snapshot.hostIP,
    ...(ip === undefined ? {} : { podIP: ip, podIPs: [{ ip }] }),
    startTime: pod.status?.startTime ?? rfc3339(snapshot.startedAt),
    qosClass: qosClass(pod),
    ...(snapshot.init.length === 0
      ? {}
      : {
          initContainerStatuses: snapshot.init.map((facts) =>
            statusOf({ ...facts, ready: facts.ready || succeeded(facts) }),
          ),
        }),
    containerStatuses: snapshot.containers.map(statusOf),
  };
}

const succeeded = ({ state }: ContainerFacts): boolean => state.type === 'terminated' && state.exitCode === 0;

function statusOf(facts: ContainerFacts): ContainerStatus {
  return {
    name: facts.name,
    ready: facts.ready,
    started: facts.started,
    restartCount: facts.restarts,
    image: facts.image,
    imageID: facts.id === undefined ? '' : `process://${facts.image}`,
    ...(facts.id === undefined ? {} : { containerID: facts.id }),
    state: stateOf(facts.state),
    lastState: facts.last === undefined ? {} : { terminated: terminatedOf(facts.last) },
  };
}

function stateOf(state: State): ContainerState {
  switch (state.type) {
    case 'waiting':
      return { waiting: { reason: state.reason, ...(state.message === undefined ? {} : { message: state.message }) } };
    case 'running':
      return { running: { startedAt: rfc3339(state.startedAt) } };
    case 'terminated':
      return { terminated: terminatedOf(state) };
  }
}

function terminatedOf(end: Terminated): NonNullable<ContainerState['terminated']> {
  return {
    exitCode: end.exitCode,
    ...(end.signal === undefined ? {} : { signal: end.signal }),
    reason: end.reason,
    ...(end.message === undefined ? {} : { message: end.message }),
    startedAt: rfc3339(end.startedAt),
    finishedAt: rfc3339(end.finishedAt),
    containerID: end.id,
  };
}

const initDone = (facts: ContainerFacts, restartable: boolean): boolean =>
  restartable ? facts.started : succeeded(facts);

function incompleteInit(pod: Pod, snapshot: PodSnapshot): ContainerFacts[] {
  return snapshot.init.filter(
    (facts, index) => !initDone(facts, pod.spec.initContainers?.[index]?.restartPolicy === 'Always'),
  );
}

export function phaseOf(pod: Pod, snapshot: PodSnapshot): NonNullable<PodStatus['phase']> {
  const policy = pod.spec.restartPolicy ?? 'Always';
  const unfinished = incompleteInit(pod, snapshot);
  if (unfinished.some(({ state }) => state.type === 'terminated') && policy === 'Never') return 'Failed';
  if (unfinished.length > 0) return 'Pending';
  const { containers } = snapshot;
  const waiting = containers.filter(({ state, last }) => state.type === 'waiting' && last === undefined);
  if (waiting.length > 0) return 'Pending';
  if (containers.some(({ state }) => state.type === 'running')) return 'Running';
  const ended = containers.filter(({ state }) => state.type === 'terminated');
  if (policy === 'Always' || ended.length < containers.length) return 'Running';
  if (ended.every(succeeded)) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

type Fact = Pick<CoreCondition, 'type' | 'status' | 'reason' | 'message'>;
const yes = (type: string): Fact => ({ type, status: 'True' });

function conditionsOf(pod: Pod, snapshot: PodSnapshot, phase: string, now: number): CoreCondition[] {
  const unready = snapshot.containers.filter(({ ready }) => !ready).map(({ name }) => name);
  const unfinished = incompleteInit(pod, snapshot).map(({ name }) => name);
  const readiness = (type: string): Fact => {
    if (phase === 'Succeeded') return { type, status: 'False', reason: 'PodCompleted' };
    if (phase === 'Failed') return { type, status: 'False', reason: 'PodFailed' };
    if (unready.length === 0) return yes(type);
    const message = `containers with unready status: [${unready.join(' ')}]`;
    return { type, status: 'False', reason: 'ContainersNotReady', message };
  };
  const initialized: Fact =
    unfinished.length === 0
      ? yes('Initialized')
      : {
          type: 'Initialized',
          status: 'False',
          reason: 'ContainersNotInitialized',
          message: `containers with incomplete status: [${unfinished.join(' ')}]`,
        };
  const sandbox: Fact = { type: 'PodReadyToStartContainers', status: snapshot.sandboxReady ? 'True' : 'False' };
  const ours = [sandbox, initialized, readiness('Ready'), readiness('ContainersReady'), yes('PodScheduled')];
  const types = new Set(ours.map(({ type }) => type));
  const foreign = (pod.status?.conditions ?? []).filter(({ type }) => !types.has(type));
  return [...ours.map((fact) => timed(fact, pod.status?.conditions, now)), ...foreign];
}

function timed(fact: Fact, old: readonly CoreCondition[] | undefined, now: number): CoreCondition {
  const before = old?.find(({ type }) => type === fact.type);
  const same = before?.status === fact.status && before.lastTransitionTime != null;
  return {
    ...fact,
    lastProbeTime: null,
    lastTransitionTime: same ? (before.lastTransitionTime ?? null) : rfc3339(now),
  };
}

/** Guaranteed: each container has equal requests and limits of cpu and memory. BestEffort: none has any. */
export function qosClass({ spec }: Pod): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  const given = all.flatMap(({ resources }) =>
    [resources?.requests, resources?.limits].flatMap((list) =>
      ['cpu', 'memory'].filter((name) => list?.[name] !== undefined && quantityValue(list[name] ?? '') !== 0),
    ),
  );
  if (given.length === 0) return 'BestEffort';
  const guaranteed = all.every(({ resources }) =>
    ['cpu', 'memory'].every((name) => {
      const limit = resources?.limits?.[name];
      const request = resources?.requests?.[name] ?? limit;
      return limit !== undefined && request !== undefined && quantityValue(limit) === quantityValue(request);
    }),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
