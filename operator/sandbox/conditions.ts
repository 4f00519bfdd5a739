/** Conditions and phase of a Sandbox from the facts of one moment. */
import type { Sandbox, SandboxCondition, SandboxPhase, SandboxStatus } from '../../contracts/resources.js';
import type { PersistentVolumeClaim } from '../../kube/kinds.js';
import { timestamp } from '../durations.js';
import { isRefused } from '../limits/place.js';
import type { Workspace } from '../shape.js';
import { advised } from './advice.js';
import type { Fact } from './podstate.js';

export interface Facts {
  scheduled: Fact;
  podReady: Fact;
  agentReady: Fact;
  workspace: Fact;
  paused: Fact;
  /** Overrides what follows from the others: a terminal failure, a refusal, a wait. */
  ready?: Fact;
}

/** Failed is left only by a change of the spec: its conditions are from the generation that failed. */
export const TERMINAL = 'Failed';

export const no = (reason: string, message: string): Fact => ({ status: 'False', reason, message });
export const yes = (reason: string, message: string): Fact => ({ status: 'True', reason, message });

export const NOT_PAUSED = no('Running', 'runState is Running');
/** Facts while there is no pod. */
export const podless = (reason: string, message: string): Pick<Facts, 'scheduled' | 'podReady' | 'agentReady'> => ({
  scheduled: no(reason, message),
  podReady: no(reason, message),
  agentReady: no(reason, message),
});

export function readyFact(facts: Facts): Fact {
  if (facts.ready !== undefined) return facts.ready;
  const blocking = [facts.scheduled, facts.podReady, facts.agentReady].find(({ status }) => status !== 'True');
  return blocking === undefined
    ? yes('AgentReady', 'the agent server answers')
    : no(blocking.reason, advised(blocking.reason, blocking.message));
}

export function workspaceFact(workspace: Workspace | undefined, claim: PersistentVolumeClaim | undefined): Fact {
  if (workspace?.kind === 'Ephemeral') return yes('Ephemeral', 'files live and die with the pod');
  if (claim === undefined) return no('ClaimMissing', 'the workspace claim does not exist yet');
  switch (claim.status?.phase) {
    case 'Bound':
      return yes('ClaimBound', `claim ${claim.metadata.name} is bound`);
    case 'Lost':
      return no('ClaimLost', `the volume of claim ${claim.metadata.name} is gone`);
    default:
      return no('ClaimPending', `claim ${claim.metadata.name} has no volume yet`);
  }
}

/** The conditions list, with the transition times of those whose status did not change. */
export function conditionsOf(sandbox: Sandbox, facts: Facts, now: number): SandboxCondition[] {
  const old = new Map(sandbox.status?.conditions?.map((condition) => [condition.type, condition]));
  const entries: [string, Fact][] = [
    ['Ready', readyFact(facts)],
    ['PodScheduled', facts.scheduled],
    ['PodReady', facts.podReady],
    ['AgentReady', facts.agentReady],
    ['WorkspaceReady', facts.workspace],
    ['Paused', facts.paused],
  ];
  return entries.map(([type, { status, reason, message }]) => {
    const before = old.get(type);
    return {
      type,
      status,
      reason,
      message,
      lastTransitionTime: before?.status === status ? before.lastTransitionTime : timestamp(now),
      observedGeneration: sandbox.metadata.generation ?? 0,
    };
  });
}

export function phaseOf(sandbox: Sandbox, status: SandboxStatus, terminal: boolean): SandboxPhase {
  const is = (type: string) => status.conditions?.find((condition) => condition.type === type)?.status === 'True';
  if (sandbox.metadata.deletionTimestamp !== undefined) return 'Terminating';
  if (is('Paused')) return 'Paused';
  if (sandbox.spec.runState === 'Paused') return 'Pausing';
  if (terminal) return TERMINAL;
  if (is('Ready')) return 'Running';
  return status.slot === undefined || isRefused({ ...sandbox, status }) ? 'Pending' : 'Starting';
}
