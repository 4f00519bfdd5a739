/** What the operator remembers of a sandbox and can lose without harm: it is asked or tried again after a restart. */
import type { Pod } from '../../kube/kinds.js';
import type { AgentFacts, PodEventFacts, Refusal } from './situation.js';
import { podState } from './podstate.js';

export interface Memory {
  /** Of the container that runs in this pod now. */
  agent(key: string, pod: Pod | undefined): AgentFacts;
  noteAgent(key: string, pod: Pod, facts: Partial<AgentFacts>): void;
  /** Of this pod: its agent server is being told that it ends, or was. By pod, or a container that restarts could stay for ever. */
  farewell(key: string, pod: Pod | undefined): 'asked' | 'over' | undefined;
  noteFarewell(key: string, pod: Pod, state: 'asked' | 'over'): void;
  /** What the Events of this pod told; the last that they told, if they tell nothing now. */
  podEvents(key: string, pod: Pod | undefined): PodEventFacts | undefined;
  notePodEvents(key: string, pod: Pod, facts: PodEventFacts): void;
  refusal(key: string): Refusal | undefined;
  /** `retryAt` of the refusal grows with each one in a row. */
  noteRefusal(key: string, refusal: Omit<Refusal, 'retryAt'>, now: number): void;
  clearRefusal(key: string): void;
  /** The sandbox is gone. */
  forget(key: string): void;
}

const RETRY_FIRST_MS = 5_000;
const RETRY_MAX_MS = 120_000;

interface Entry {
  container?: string;
  agent?: AgentFacts;
  farewell?: { pod: string | undefined; state: 'asked' | 'over' };
  podEvents?: { pod: string | undefined; facts: PodEventFacts };
  refusal?: Refusal;
  refusals: number;
}

/** Bounded by the sandboxes that exist, as long as `forget` is called for those that go. */
export function createMemory(): Memory {
  const entries = new Map<string, Entry>();
  const entry = (key: string): Entry => {
    const known = entries.get(key);
    if (known !== undefined) return known;
    const fresh: Entry = { refusals: 0 };
    entries.set(key, fresh);
    return fresh;
  };
  const unknown: AgentFacts = { init: 'unknown' };
  const container = (pod: Pod): string => `${pod.metadata.uid ?? ''}#${podState(pod).restarts}`;
  const agent = (key: string, pod: Pod | undefined): AgentFacts => {
    const known = entries.get(key);
    return pod === undefined || known?.container !== container(pod) ? unknown : (known.agent ?? unknown);
  };
  return {
    agent,
    noteAgent(key, pod, facts) {
      const next = { ...agent(key, pod), ...facts };
      Object.assign(entry(key), { container: container(pod), agent: next });
    },
    farewell(key, pod) {
      const known = entries.get(key)?.farewell;
      return pod !== undefined && known?.pod === pod.metadata.uid ? known?.state : undefined;
    },
    noteFarewell: (key, pod, state) => void (entry(key).farewell = { pod: pod.metadata.uid, state }),
    podEvents(key, pod) {
      const known = entries.get(key)?.podEvents;
      return pod !== undefined && known?.pod === pod.metadata.uid ? known?.facts : undefined;
    },
    notePodEvents(key, pod, { readAt, trouble }) {
      const { uid } = pod.metadata;
      const own = entry(key);
      const before = own.podEvents?.pod === uid ? own.podEvents?.facts.trouble : undefined;
      own.podEvents = { pod: uid, facts: { readAt, trouble: trouble ?? before } };
    },
    refusal: (key) => entries.get(key)?.refusal,
    noteRefusal(key, refusal, now) {
      const own = entry(key);
      own.refusals += 1;
      const wait = Math.min(RETRY_FIRST_MS * 2 ** Math.min(own.refusals - 1, 10), RETRY_MAX_MS);
      own.refusal = { ...refusal, retryAt: now + wait };
    },
    clearRefusal(key) {
      const own = entries.get(key);
      if (own === undefined) return;
      delete own.refusal;
      own.refusals = 0;
    },
    forget: (key) => void entries.delete(key),
  };
}
