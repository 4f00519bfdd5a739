/** A sandbox that has its slot but no pod: not made yet, or lost. */
import { conditionOf } from '../../contracts/resources.js';
import { crashDelayMs } from '../backoff.js';
import { describeMs, timeMs, timestamp } from '../durations.js';
import type { Shape } from '../shape.js';
import { advised } from './advice.js';
import { NOT_PAUSED, podless, workspaceFact, type Facts } from './conditions.js';
import { decision, deletion, fail, GOING_MS, wait } from './parts.js';
import { LOSS_CAUSES } from './podstate.js';
import type { Action, Decision, Situation } from './situation.js';
import { statusOf, WITHOUT_POD } from './status.js';

export function decideAbsent(s: Situation, shape: Shape): Decision {
  const status = s.sandbox.status ?? {};
  if (status.podUID !== undefined) return lost(s, shape);
  const next = timeMs(status.nextRestartTime) ?? 0;
  if (next > s.now) return restartLater(s, shape, next);
  if (s.refusal !== undefined && s.refusal.retryAt > s.now) return refused(s, shape, s.refusal);
  if (s.workspace?.metadata.deletionTimestamp !== undefined) return workspaceGoing(s, shape);
  return create(s, shape);
}

function create(s: Situation, shape: Shape): Decision {
  const { slot = '', keyEpoch: epoch = 1, restartCount: restarts = 0 } = s.sandbox.status ?? {};
  const actions: Action[] = [
    ...deletion(s),
    { do: 'applySecret', slot, epoch },
    ...(shape.workspace.kind === 'Claim' && s.workspace === undefined
      ? [{ do: 'createWorkspace' as const, slot }]
      : []),
    { do: 'createPod', slot, epoch, restarts },
  ];
  const facts = away(s, shape, 'Creating', 'the pod is being created');
  return decision({ status: statusOf({ ...s, facts, changes: { nextRestartTime: undefined } }), actions });
}

/** The pod was there and is gone. Counted on record before it is replaced, so that a crash of ours cannot lose the count. */
function lost(s: Situation, shape: Shape): Decision {
  const status = s.sandbox.status ?? {};
  const { crash, leaseMs } = s.limits;
  const before = conditionOf(s.sandbox, 'PodReady');
  const known = before !== undefined && LOSS_CAUSES.has(before.reason);
  const cause = known ? before.reason : 'PodLost';
  const why = known ? before.message : 'the pod was deleted';
  const startedAt = timeMs(status.startedAt);
  const healthy = startedAt !== undefined && s.now - startedAt >= crash.healthyMs;
  const failures = healthy ? 1 : (status.consecutiveFailures ?? 0) + 1;
  if (failures > crash.budget)
    return fail(
      s,
      shape,
      'CrashBudgetExhausted',
      `the pod was lost ${failures} times in a row, last: ${why} (${cause})`,
    );
  const delay = Math.max(crashDelayMs(crash, failures), cause === 'NodeLost' ? leaseMs : 0);
  const changes = {
    ...WITHOUT_POD,
    restartCount: (status.restartCount ?? 0) + 1,
    consecutiveFailures: failures,
    nextRestartTime: delay === 0 ? undefined : timestamp(s.now + delay + 999),
  };
  const facts = away(s, shape, cause, `${why}; the pod is replaced ${delay === 0 ? 'now' : `in ${describeMs(delay)}`}`);
  return decision({
    first: 'status',
    status: statusOf({ ...s, facts, changes }),
    reports: [
      {
        type: 'Warning',
        reason: cause,
        message: `pod lost: ${why}; replaced ${delay === 0 ? 'at once' : `in ${describeMs(delay)}`}`,
      },
    ],
  });
}

/** Waiting out the back-off: the conditions keep telling why. */
function restartLater(s: Situation, shape: Shape, at: number): Decision {
  const before = conditionOf(s.sandbox, 'Ready');
  const facts = away(s, shape, before?.reason ?? 'PodLost', before?.message ?? 'the pod is replaced soon');
  return decision({ status: statusOf({ ...s, facts }), ending: wait(at - s.now, 'crash back-off') });
}

function refused(s: Situation, shape: Shape, refusal: NonNullable<Situation['refusal']>): Decision {
  const facts = away(s, shape, refusal.reason, `${refusal.child} refused: ${refusal.message}`);
  const known = conditionOf(s.sandbox, 'Ready')?.reason === refusal.reason;
  return decision({
    status: statusOf({ ...s, facts }),
    reports: known
      ? []
      : [{ type: 'Warning', reason: refusal.reason, message: advised(refusal.reason, refusal.message) }],
    ending: wait(refusal.retryAt - s.now, refusal.reason),
  });
}

function workspaceGoing(s: Situation, shape: Shape): Decision {
  const facts = away(s, shape, 'ClaimTerminating', 'the old workspace claim is being deleted');
  return decision({ status: statusOf({ ...s, facts }), ending: wait(GOING_MS, 'claim is going') });
}

function away(s: Situation, shape: Shape, reason: string, message: string): Facts {
  return { ...podless(reason, message), workspace: workspaceFact(shape.workspace, s.workspace), paused: NOT_PAUSED };
}
