/** What sandboxes without pod say that they wait for. Pure. */
import { conditionOf, type Sandbox } from '../../contracts/resources.js';
import type { Waiting } from './situation.js';

const WAITS = new Map<string | undefined, keyof Waiting>([
  ['WaitingForPool', 'forPool'],
  ['OwnerLimitReached', 'forOwner'],
  ['NamespaceLimitReached', 'forNamespace'],
]);

/** Undefined: for nothing that a pool tells or answers. */
export function waitsFor(sandbox: Sandbox): keyof Waiting | undefined {
  if (sandbox.status?.slot !== undefined) return undefined;
  return WAITS.get(conditionOf(sandbox, 'Ready')?.reason);
}

export function countWaiting(sandboxes: readonly Sandbox[]): Waiting {
  const waiting: Waiting = { forPool: 0, forOwner: 0, forNamespace: 0 };
  for (const sandbox of sandboxes) {
    const what = waitsFor(sandbox);
    if (what !== undefined) waiting[what] += 1;
  }
  return waiting;
}
