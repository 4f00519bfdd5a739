/** Why a pool's warm pods do not become ready, told by one of them. Pure. */
import type { Pod } from '../../kube/kinds.js';
import { timeMs } from '../durations.js';
import { advised } from '../sandbox/advice.js';
import { isQuiet, readAtMs, TELLING, type Trouble } from '../sandbox/podevents.js';
import { podState, type PodState } from '../sandbox/podstate.js';
import type { PoolSituation } from './situation.js';

/** What keeps a pod from becoming ready and does not end by waiting, as podState and the pod's Events name it. */
const TROUBLE: ReadonlySet<string> = new Set([
  'ImagePullFailed',
  'ContainerStartFailed',
  'CrashLoop',
  'ProbeFailing',
  'OOMKilled',
  'Unschedulable',
  'VolumePending',
  'NodeLost',
  ...TELLING,
]);

export interface Looked extends PodState {
  /** Ms since 1970; Infinity before the API server has said. */
  born: number;
}

/** Pods in caches are replaced, never changed; a pool of a thousand is looked at with each claim. */
const looks = new WeakMap<Pod, Looked>();
export function stateOf(pod: Pod): Looked {
  const known = looks.get(pod);
  if (known !== undefined) return known;
  const look = { ...podState(pod), born: timeMs(pod.metadata.creationTimestamp) ?? Infinity };
  looks.set(pod, look);
  return look;
}

type Known = Pick<PoolSituation, 'memory' | 'now'>;

export interface Hanging {
  /** Of the oldest pod that hangs, with its name, how many hang alike and what to do. */
  trouble: Trouble | undefined;
  /** Some pods do not hang: they only start. */
  othersStart: boolean;
  /** The pod whose Events are to be read, and not before when, ms since 1970. */
  read: { pod: Pod; at: number } | undefined;
}

export function hangingOf(s: Known, live: readonly Pod[]): Hanging {
  const unready = live.filter((pod) => stateOf(pod).kind !== 'ready');
  const reasonOf = (pod: Pod): string => wordOf(s, pod).reason;
  const hangs = (pod: Pod): boolean => TROUBLE.has(reasonOf(pod));
  const hanging = unready.filter(hangs);
  const first = oldest(hanging);
  const alike = first === undefined ? 0 : hanging.filter((pod) => reasonOf(pod) === reasonOf(first)).length;
  const quiet = oldest(unready.filter((pod) => isQuiet(stateOf(pod))));
  return {
    trouble: first === undefined ? undefined : named(first, wordOf(s, first), alike),
    othersStart: unready.some((pod) => stateOf(pod).kind === 'starting' && !hangs(pod)),
    read: quiet === undefined ? undefined : { pod: quiet, at: readAtMs(quiet, s.memory.podEvents?.readAt, s.now) },
  };
}

/** What is kept of a pod that was given up. */
export const lastWords = (s: Known, pod: Pod): Trouble => named(pod, wordOf(s, pod), 1);

export const oldest = (pods: readonly Pod[]): Pod | undefined =>
  pods.length === 0 ? undefined : pods.reduce((a, b) => (stateOf(b).born < stateOf(a).born ? b : a));

function wordOf({ memory }: Known, pod: Pod): Trouble {
  const state = stateOf(pod);
  const told = memory.podEvents?.pod === pod.metadata.uid ? memory.podEvents?.trouble : undefined;
  return (isQuiet(state) ? told : undefined) ?? state.ready;
}

function named({ metadata: { name } }: Pod, { reason, message }: Trouble, alike: number): Trouble {
  const who = alike > 1 ? `pod ${name} and ${alike - 1} more` : `pod ${name}`;
  return { reason, message: advised(reason, `${who}: ${message}`) };
}
