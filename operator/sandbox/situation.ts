/** What a decision about one Sandbox rests on, and what it may ask for. Types only. */
import type { Sandbox, SandboxStatus, SandboxTemplateSpec } from '../../contracts/resources.js';
import type { PersistentVolumeClaim, Pod } from '../../kube/kinds.js';
import type { Outcome } from '../../kube/outcome.js';
import type { CrashPolicy } from '../backoff.js';
import type { Place } from '../limits/places.js';
import type { Trouble } from './podevents.js';

/** Whether a warm pod can serve a sandbox that has no pod yet. */
export type PoolView =
  | { kind: 'none' }
  | { kind: 'ready'; name: string }
  /** `canHelp` is false when waiting is pointless: the pool is scaled to zero, or its pods do not start. */
  | { kind: 'dry'; name: string; canHelp: boolean };

/** What the agent server of the current container told; forgotten at its restart. */
export interface AgentFacts {
  /** Of pods that were born warm: whether this sandbox's keys are in. `unknown` also after a restart of the operator. */
  init: 'unknown' | 'ready' | 'failed';
  /** Answer to the last question for its idle time. `activeAt`: last sign of use, ms since 1970, if it answered. */
  idle?: { polledAt: number; activeAt?: number; failures: number };
}

/** What the Events of a pod whose container is not created told when they were read last. */
export interface PodEventFacts {
  /** Ms since 1970. */
  readAt: number;
  trouble?: Trouble | undefined;
}

/** Why the API server would not take a child. */
export interface Refusal {
  child: 'service' | 'secret' | 'workspace' | 'pod';
  reason: 'QuotaExceeded' | 'Forbidden' | 'Invalid' | 'NameTaken';
  message: string;
  /** Ms since 1970. */
  retryAt: number;
}

export interface Limits {
  crash: CrashPolicy;
  /** How long a pod may take from creation to ready, ms. */
  startDeadlineMs: number;
  /** How long past its grace period a pod may take to go before it is taken as lost with its node, ms. */
  lostMs: number;
  /** How long an agent server that may still live on a lost node holds its conversations, ms. */
  leaseMs: number;
}

export interface Situation {
  sandbox: Sandbox;
  /** Ms since 1970. */
  now: number;
  /** The named template, the built-in one, or undefined when the named one does not exist. */
  template: SandboxTemplateSpec | undefined;
  /** The pod of the slot; when the status names no slot yet, a pod that was claimed for this sandbox. */
  pod?: Pod | undefined;
  /** Further pods that belong to this sandbox: leftovers of an interrupted claim. */
  strays: Pod[];
  workspace?: PersistentVolumeClaim | undefined;
  /** Name of the Secret that the pod's container starts with, when it is gone (with the pool that the pod was born in). */
  lostInitKeys?: string | undefined;
  pool: PoolView;
  agent: AgentFacts;
  /** Whether the agent server of this pod was told that it ends. */
  farewell?: 'asked' | 'over' | undefined;
  podEvents?: PodEventFacts | undefined;
  refusal?: Refusal | undefined;
  /** Whether the limits per owner and namespace let it have a pod. */
  place: Place;
  /** Why it must make room for another sandbox of its owner, if it must. */
  yields?: string | undefined;
  limits: Limits;
}

export type Action =
  /** Take over a warm pod of the pool and initialise it. */
  | { do: 'claim'; pool: string }
  | { do: 'applySecret'; slot: string; epoch: number }
  | { do: 'createWorkspace'; slot: string }
  | { do: 'createPod'; slot: string; epoch: number; restarts: number }
  /** `force` skips the grace period, for pods whose node does not answer. */
  | { do: 'deletePod'; name: string; uid: string; force?: boolean }
  | { do: 'initialise'; pod: Pod; epoch: number }
  /** Make a warm pod's workspace claim this sandbox's own. */
  | { do: 'adopt'; slot: string }
  | { do: 'restoreInitKeys'; name: string; slot: string }
  | { do: 'askIdle'; pod: Pod; epoch: number }
  /** Find out why its container is not created. */
  | { do: 'readPodEvents'; pod: Pod }
  /** Have the agent server stop what it does, in the background; the sandbox is looked at again when that is over. */
  | { do: 'farewell'; pod: Pod; epoch: number }
  /** Set spec.runState to Paused. */
  | { do: 'pause' }
  | { do: 'deleteSandbox' };

export interface Report {
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
}

export interface Decision {
  status: SandboxStatus;
  /**
   * `status`: write the status, then decide anew (what must survive a crash before anything is made of it).
   * `actions`: act, decide anew when one of them changed what is known, then write the status.
   */
  first: 'status' | 'actions';
  actions: Action[];
  /** The pool that should have had a pod for it and had none; on the decision that goes on without. */
  missed?: string;
  /** Events to record, at the change only. */
  reports: Report[];
  ending: Outcome;
}
