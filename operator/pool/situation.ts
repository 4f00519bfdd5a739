/** What a decision about one SandboxPool rests on, and what it may ask for. Types only. */
import type { SandboxPool, SandboxPoolStatus, SandboxTemplateSpec } from '../../contracts/resources.js';
import type { Pod } from '../../kube/kinds.js';
import type { Outcome } from '../../kube/outcome.js';
import type { KubeObject } from '../../kube/types.js';
import type { PodEventFacts, Report } from '../sandbox/situation.js';
import type { Bucket } from './bucket.js';
import type { Peak } from './demand.js';
import type { TemplateHash } from './warm.js';

/** Sandboxes of the template that have no pod yet, by what they wait for. */
export interface Waiting {
  forPool: number;
  forOwner: number;
  forNamespace: number;
}

export interface PoolMemory {
  bucket?: Bucket;
  /** The Secret that new pods find their init keys in, and its slots that no pod has yet. */
  initKeys?: { name: string; slots: string[] };
  /** Names of pods whose create was sent and not answered, and until when they count as made, ms since 1970. */
  pending: Map<string, number>;
  /** Warm pods in a row that never became ready. */
  failures: number;
  /** No creates before, ms since 1970: refusals and failures in a row. */
  pausedUntil?: number;
  /** Why, in the API server's or the pods' words. */
  trouble?: { reason: string; message: string };
  /** What the Events of one pod told, and when they were read, ms since 1970. */
  podEvents?: PodEventFacts & { pod: string | undefined };
  /** When the status was last written, ms since 1970. */
  wroteAt: number;
  /** How long its pods take to start, as last seen, ms. */
  startMs?: number;
  /** Of pools that scale to demand; absent before the status was read. */
  peak?: Peak | undefined;
}

export interface PoolSituation {
  pool: SandboxPool;
  now: number;
  /** As the pool has it. Undefined when it does not exist. */
  template: SandboxTemplateSpec | undefined;
  /** The busiest time that counts; of pools that scale to demand. */
  peak?: Peak | undefined;
  waiting: Waiting;
  /** Hashes that a warm pod of this template carries now. */
  hash: TemplateHash;
  /** Pods that all pools together may create now. */
  budget: number;
  /** Its unclaimed pods, the ones that are going too. */
  warm: Pod[];
  /** Init keys that no pod uses, and workspace claims that have no pod. */
  orphans: { kind: 'initKeys' | 'workspace'; object: KubeObject }[];
  memory: PoolMemory;
  /** How long a warm pod may take to become ready, ms. */
  startDeadlineMs: number;
  /** Restarts of its container after which a warm pod is given up. */
  crashBudget: number;
}

export interface PoolDecision {
  /** How many pods to create now. */
  create: number;
  /** Pods to delete; those that failed by themselves are counted. */
  remove: { pod: Pod; failed: boolean }[];
  sweep: PoolSituation['orphans'];
  /** A pod that hangs without a word in its status. */
  readEvents?: Pod | undefined;
  status: SandboxPoolStatus;
  reports: Report[];
  ending: Outcome;
}
