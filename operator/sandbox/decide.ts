/**
 * From a situation to what to do and what to say: pure, no I/O, no clock. The states of a Sandbox:
 * begin (no slot yet) → absent (slot, no pod) ⇄ present (pod) and pause → paused → resume; any of them → failed, deleted.
 */
import { conditionOf, type SandboxStatus } from '../../contracts/resources.js';
import { stalled } from '../../kube/outcome.js';
import { shapeOf, whyCold, type Shape } from '../shape.js';
import { ANNOTATION, LABEL } from '../../contracts/labels.js';
import { slotOfSandbox } from '../../contracts/names.js';
import { describeMs, timeMs, timestamp } from '../durations.js';
import { NOT_PAUSED, no, podless, workspaceFact, yes, type Facts } from './conditions.js';
import { expiry } from './lifecycle.js';
import { decideAbsent } from './absent.js';
import { decidePresent } from './present.js';
import { decision, deletion, fail, farewell, going, OWN_PAUSES, pauseItself, sooner, wait } from './parts.js';
import { podState } from './podstate.js';
import type { Decision, Situation } from './situation.js';
import { FRESH, hasFailed, statusOf, WITHOUT_POD } from './status.js';

const STUCK_RETRY_MS = 30_000;
/** Places that become free are told; this is for those that are not. */
const UNPLACED_RETRY_MS = 10_000;

export function decide(s: Situation): Decision {
  if (s.sandbox.metadata.deletionTimestamp !== undefined) return terminating(s);
  const end = expiry(s);
  if (end !== undefined && 'over' in end) return expired(s, end.over);
  const decision = decideLiving(s);
  return end === undefined ? decision : { ...decision, ending: sooner(decision.ending, end.at - s.now, 'lifetime') };
}

function decideLiving(s: Situation): Decision {
  const { spec, status } = s.sandbox;
  if (spec.runState === 'Paused') return pause(s);
  if (hasFailed(s.sandbox)) return failed(s);
  if (s.place.kind === 'refused') return unplaced(s, s.place);
  if (s.yields !== undefined) return pauseItself(s, 'TooManySandboxes', s.yields);
  // A resume that comes before the pause is complete counts as one too: its pod has the old keys.
  if (conditionOf(s.sandbox, 'Paused')?.status === 'True' || status?.phase === 'Pausing') return resume(s);
  if (status?.phase === 'Failed') return revive(s);
  const shape = shapeFor(s);
  if (typeof shape === 'string') return stuck(s, 'InvalidSpec', shape);
  if (shape === undefined)
    return stuck(s, 'TemplateNotFound', `no SandboxTemplate "${spec.template ?? ''}" in this namespace`);
  if (status?.slot === undefined) return begin(s, shape);
  return s.pod === undefined ? decideAbsent(s, shape) : decidePresent(s, shape, s.pod);
}

/** The shape, undefined without template, or why it cannot be computed. */
function shapeFor(s: Situation): Shape | string | undefined {
  if (s.template === undefined) return undefined;
  try {
    return shapeOf(s.template, s.sandbox.spec);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** No slot yet: take a warm pod where one fits, else settle on the own slot, which must be on record before anything is made of it. */
function begin(s: Situation, shape: Shape): Decision {
  const claimed = s.pod?.metadata.labels?.[LABEL.slot];
  if (s.pod !== undefined && claimed !== undefined) {
    const epoch = Number(s.pod.metadata.annotations?.[ANNOTATION.keyEpoch] ?? 1);
    const pool = s.pod.metadata.labels?.[LABEL.pool];
    const status: SandboxStatus = {
      ...s.sandbox.status,
      slot: claimed,
      keyEpoch: epoch,
      ...(pool === undefined ? {} : { pool }),
    };
    return decidePresent({ ...s, sandbox: { ...s.sandbox, status } }, shape, s.pod);
  }
  const cold = s.template === undefined ? 'no template' : whyCold(s.template, s.sandbox.spec);
  if (cold === undefined && s.pool.kind === 'ready') {
    const facts = { ...starting(s, shape, 'Claiming', `taking a warm pod of pool ${s.pool.name}`) };
    return decision({ status: statusOf({ ...s, facts }), actions: [{ do: 'claim', pool: s.pool.name }] });
  }
  if (cold === undefined && s.pool.kind === 'dry') {
    const dry = whenDry(s, shape, s.pool);
    if (dry !== undefined) return dry;
  }
  const facts = starting(s, shape, 'Creating', 'the pod is being created');
  const changes = { slot: slotOfSandbox(s.sandbox.metadata.uid ?? ''), keyEpoch: s.sandbox.status?.keyEpoch ?? 1 };
  const missed = cold === undefined && s.pool.kind === 'dry' ? { missed: s.pool.name } : {};
  return decision({ first: 'status', status: statusOf({ ...s, facts, changes }), ...missed });
}

/** The pool has no ready pod: the sandbox's own policy decides; undefined means to start cold. */
function whenDry(s: Situation, shape: Shape, pool: { name: string; canHelp: boolean }): Decision | undefined {
  const policy = s.sandbox.spec.onDryPool ?? 'Cold';
  if (policy === 'Fail') {
    const message = `pool ${pool.name} has no ready pod and onDryPool is Fail`;
    return { ...fail(s, shape, 'PoolDry', message), missed: pool.name };
  }
  if (policy === 'Cold' || !pool.canHelp) return undefined;
  const waited = s.now - (timeMs(s.sandbox.metadata.creationTimestamp) ?? s.now);
  const left = s.limits.startDeadlineMs - waited;
  if (left <= 0) return fail(s, shape, 'PoolDry', `pool ${pool.name} had no ready pod for ${describeMs(waited)}`);
  const facts = starting(s, shape, 'WaitingForPool', `waiting for a ready pod of pool ${pool.name}`);
  return decision({ status: statusOf({ ...s, facts }), ending: wait(Math.min(left, 5_000), 'pool is dry') });
}

function starting(s: Situation, shape: Shape, reason: string, message: string): Facts {
  return { ...podless(reason, message), workspace: workspaceFact(shape.workspace, s.workspace), paused: NOT_PAUSED };
}

/** Over a limit: it waits for a place, as the paused, failed or new sandbox that it is. */
function unplaced(s: Situation, { reason, message }: Extract<Situation['place'], { kind: 'refused' }>): Decision {
  const paused = conditionOf(s.sandbox, 'Paused');
  const facts: Facts = {
    ...podless(reason, message),
    workspace: workspaceFact(workspaceOf(s), s.workspace),
    paused: paused?.status === 'True' ? yes(paused.reason, paused.message) : NOT_PAUSED,
  };
  const changes = { ...WITHOUT_POD, ...(s.sandbox.status?.phase === 'Failed' ? FRESH : {}) };
  const known = conditionOf(s.sandbox, 'Ready')?.reason === reason;
  return decision({
    status: statusOf({ ...s, facts, changes }),
    reports: known ? [] : [{ type: 'Warning', reason, message }],
    ending: wait(UNPLACED_RETRY_MS, reason),
  });
}

/** Still failed: only what is left over goes. */
function failed(s: Situation): Decision {
  const reason = conditionOf(s.sandbox, 'Ready')?.reason ?? 'Failed';
  return decision({ status: s.sandbox.status ?? {}, actions: deletion(s), ending: stalled(reason) });
}

/** The spec of a failed sandbox changed: a new try with a new budget. */
function revive(s: Situation): Decision {
  const facts: Facts = {
    ...podless('Retrying', 'the spec changed'),
    workspace: no('Unknown', 'not looked at yet'),
    paused: NOT_PAUSED,
  };
  return decision({ first: 'status', status: statusOf({ ...s, facts, changes: { ...WITHOUT_POD, ...FRESH } }) });
}

/** Same slot, same workspace, new keys: the epoch is on record before a pod can start with it. */
function resume(s: Situation): Decision {
  const { slot, keyEpoch } = s.sandbox.status ?? {};
  const facts: Facts = {
    ...podless('Resuming', 'the pod is being created again'),
    workspace: no('Unknown', 'not looked at yet'),
    paused: NOT_PAUSED,
  };
  const changes = {
    ...WITHOUT_POD,
    ...FRESH,
    pausedAt: undefined,
    ...(slot === undefined ? {} : { keyEpoch: (keyEpoch ?? 0) + 1 }),
  };
  return decision({ first: 'status', status: statusOf({ ...s, facts, changes }) });
}

function pause(s: Situation): Decision {
  const before = conditionOf(s.sandbox, 'Paused');
  const own = before !== undefined && OWN_PAUSES.has(before.reason);
  const why = own ? before : { reason: 'Requested', message: 'runState is Paused' };
  const workspace = workspaceFact(workspaceOf(s), s.workspace);
  if (s.pod !== undefined) {
    const message = 'the pod is being ended';
    const facts: Facts = {
      ...podless('Pausing', message),
      scheduled: podState(s.pod).scheduled,
      workspace,
      paused: no(why.reason, message),
    };
    const slot = s.sandbox.status?.slot ?? s.pod.metadata.labels?.[LABEL.slot];
    const status = statusOf({ ...s, facts, changes: { slot, keyEpoch: s.sandbox.status?.keyEpoch ?? 1 } });
    const unknown = s.sandbox.status?.slot === undefined;
    const end = farewell(s) ?? { actions: deletion(s), ending: going(s) };
    return decision({ first: unknown ? 'status' : 'actions', status, ...end });
  }
  const facts: Facts = { ...podless('Paused', 'paused: no pod'), workspace, paused: yes(why.reason, why.message) };
  const pausedAt = before?.status === 'True' ? s.sandbox.status?.pausedAt : timestamp(s.now);
  const changes = { ...WITHOUT_POD, ...FRESH, pausedAt };
  return decision({ status: statusOf({ ...s, facts, changes }), actions: deletion(s) });
}

const workspaceOf = (s: Situation) =>
  s.template === undefined ? undefined : shapeOf(s.template, { ...s.sandbox.spec, resourceFactor: 1 }).workspace;

function expired(s: Situation, why: { reason: string; message: string }): Decision {
  const end = farewell(s);
  if (end !== undefined) return decision({ status: s.sandbox.status ?? {}, ...end });
  return decision({
    status: s.sandbox.status ?? {},
    actions: [{ do: 'deleteSandbox' }],
    reports: [{ type: 'Normal', ...why }],
  });
}

function terminating(s: Situation): Decision {
  const facts: Facts = {
    ...podless('Terminating', 'the sandbox is being deleted'),
    workspace: no('Terminating', 'the sandbox is being deleted'),
    paused: NOT_PAUSED,
  };
  return decision({ status: statusOf({ ...s, facts }) });
}

/** Nothing can be made of this spec until it, or what it names, changes. A pod that runs keeps running. */
function stuck(s: Situation, reason: string, message: string): Decision {
  if (s.pod !== undefined) return decision({ status: s.sandbox.status ?? {}, ending: stalled(reason) });
  const facts: Facts = {
    ...podless(reason, message),
    workspace: workspaceFact(undefined, s.workspace),
    paused: NOT_PAUSED,
  };
  return decision({ status: statusOf({ ...s, facts }), ending: wait(STUCK_RETRY_MS, reason) });
}
