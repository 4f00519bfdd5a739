/** The parts that decisions are made of. */
import { ANNOTATION, LABEL } from '../../contracts/labels.js';
import { conditionOf } from '../../contracts/resources.js';
import { done, stalled, wait as waitMs, type Outcome } from '../../kube/outcome.js';
import { timeMs } from '../durations.js';
import type { Shape } from '../shape.js';
import { advised } from './advice.js';
import { NOT_PAUSED, no, podless, workspaceFact, type Facts } from './conditions.js';
import { podState } from './podstate.js';
import type { Action, Decision, Situation } from './situation.js';
import { statusOf, WITHOUT_POD } from './status.js';

/** Pods that are on their way out are looked at again this often, ms, should their deletion event be missed. */
export const GOING_MS = 15_000;

/** A failure that only a change of the spec ends. The pod is removed, the workspace stays. */
export function fail(s: Situation, shape: Shape | undefined, reason: string, message: string): Decision {
  const way = 'Set runState to Paused and back to Running, or change the spec, to try again; the workspace is kept.';
  const facts: Facts = {
    ...podless(reason, message),
    workspace: workspaceFact(shape?.workspace, s.workspace),
    paused: NOT_PAUSED,
    ready: no(reason, `${advised(reason, message)}. ${way}`),
  };
  const changes = { ...WITHOUT_POD, nextRestartTime: undefined };
  // On record first: the pod's end alone would look like a loss.
  return decision({
    first: 'status',
    status: statusOf({ ...s, facts, changes, terminal: true }),
    reports: [{ type: 'Warning', reason, message: advised(reason, message) }],
    ending: stalled(reason),
  });
}

export type OwnPause = 'IdleTimeout' | 'TooManySandboxes';
/** Why the operator pauses a sandbox by itself; everything else is somebody's wish. */
export const OWN_PAUSES: ReadonlySet<string> = new Set<OwnPause>(['IdleTimeout', 'TooManySandboxes']);

/** The reason is on record before the spec changes, or a crash in between would make it look like the user's wish. */
export function pauseItself(
  s: Situation,
  reason: OwnPause,
  message: string,
  status = s.sandbox.status ?? {},
): Decision {
  const recorded = conditionOf(s.sandbox, 'Paused')?.reason === reason;
  const conditions = status.conditions?.map((condition) =>
    condition.type === 'Paused' ? { ...condition, reason, message } : condition,
  );
  return decision({
    status: { ...status, ...(conditions === undefined ? {} : { conditions }) },
    first: recorded ? 'actions' : 'status',
    actions: [{ do: 'pause' }],
    reports: recorded ? [] : [{ type: 'Normal', reason, message }],
  });
}

/** Looked at again when the farewell is over; this is for the one that found no room among those under way. */
const FAREWELL_MS = 2_000;

/** What comes before the pod is ended: its agent server stops what it does. Undefined when nothing is left to wait for. */
export function farewell(s: Situation): Pick<Decision, 'actions' | 'ending'> | undefined {
  if (s.pod === undefined || s.farewell === 'over' || podState(s.pod).kind !== 'ready') return undefined;
  const epoch = Number(s.pod.metadata.annotations?.[ANNOTATION.keyEpoch] ?? 1);
  const actions: Action[] = s.farewell === 'asked' ? [] : [{ do: 'farewell', pod: s.pod, epoch }];
  return { actions, ending: wait(FAREWELL_MS, 'the agent server is told to stop') };
}

/** Ends the pod and whatever strays; a warm pod's workspace becomes the sandbox's own before it can go with the pool. */
export function deletion(s: Situation): Action[] {
  const overdue = (pod: NonNullable<Situation['pod']>) => {
    const deadline = timeMs(pod.metadata.deletionTimestamp);
    return deadline !== undefined && s.now > deadline + s.limits.lostMs;
  };
  const pods = s.pod === undefined ? s.strays : [s.pod, ...s.strays];
  return [
    ...adoptions(s),
    ...pods
      .filter((pod) => pod.metadata.deletionTimestamp === undefined || overdue(pod))
      .map((pod): Action => ({
        do: 'deletePod',
        name: pod.metadata.name,
        uid: pod.metadata.uid ?? '',
        ...(overdue(pod) ? { force: true } : {}),
      })),
  ];
}

/** What a claim left with its pool. */
export function adoptions(s: Situation): Action[] {
  const slot = s.sandbox.status?.slot ?? s.pod?.metadata.labels?.[LABEL.slot];
  const foreign = s.workspace !== undefined && s.workspace.metadata.labels?.[LABEL.sandbox] === undefined;
  return slot !== undefined && foreign ? [{ do: 'adopt', slot }] : [];
}

export function decision(parts: Partial<Decision> & Pick<Decision, 'status'>): Decision {
  return { first: 'actions', actions: [], reports: [], ending: done, ...parts };
}

export const wait = (ms: number, reason: string): Outcome => waitMs(Math.max(0, Math.ceil(ms)), reason);
/** Waits for a pod to go: until it would be overdue. */
export const going = (s: Situation): Outcome => {
  const deadline = timeMs(s.pod?.metadata.deletionTimestamp);
  return wait(
    deadline === undefined ? GOING_MS : Math.max(deadline + s.limits.lostMs + 1_000 - s.now, 1_000),
    'pod is going',
  );
};

export function sooner(ending: Outcome, ms: number, reason: string): Outcome {
  return ending.type === 'wait' && ending.ms <= ms ? ending : wait(ms, reason);
}
