import type { Sandbox, SandboxStatus } from '../../contracts/resources.js';
import { conditionsOf, phaseOf, TERMINAL, type Facts } from './conditions.js';

/** The status that says these facts; `changes` set fields, or remove them where undefined. */
export function statusOf(options: {
  sandbox: Sandbox;
  now: number;
  facts: Facts;
  changes?: Partial<SandboxStatus>;
  /** Final until the spec changes. */
  terminal?: boolean;
}): SandboxStatus {
  const { sandbox, now, facts, terminal = false } = options;
  const status: SandboxStatus = {
    ...sandbox.status,
    ...options.changes,
    observedGeneration: sandbox.metadata.generation ?? 0,
    conditions: conditionsOf(sandbox, facts, now),
  };
  status.phase = phaseOf(sandbox, status, terminal);
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== undefined)) as SandboxStatus;
}

/** The fields that speak of a pod, for while there is none. */
export const WITHOUT_POD = {
  podIP: undefined,
  podUID: undefined,
  nodeName: undefined,
  ports: undefined,
  startedAt: undefined,
  claimedAt: undefined,
} satisfies Partial<SandboxStatus>;

/** The counters that a resume, or a change of the spec after a failure, starts anew. */
export const FRESH = {
  restartCount: undefined,
  consecutiveFailures: undefined,
  nextRestartTime: undefined,
} satisfies Partial<SandboxStatus>;

/** Whether it failed for good, and nobody has changed the spec since. */
export function hasFailed(sandbox: Sandbox): boolean {
  return sandbox.status?.phase === TERMINAL && sandbox.status.observedGeneration === (sandbox.metadata.generation ?? 0);
}
