/** What counts against limits: a sandbox that may have a pod has a place. Pure. */
import { conditionOf, type Sandbox } from '../../contracts/resources.js';

export interface LimitPolicy {
  /** Sandboxes of one owner that may run at a time, over all namespaces served; undefined: no limit. */
  perOwner?: number | undefined;
  /** Of single owners, instead of `perOwner`; 0: no limit. */
  ofOwners?: ReadonlyMap<string, number>;
  /** Sandboxes of one namespace that may run at a time, whoever owns them; undefined: no limit. */
  perNamespace?: number | undefined;
  /** `PauseLeastActive` makes room for an owner's newest sandbox at the cost of their least recently active one. */
  overOwnerLimit: 'Refuse' | 'PauseLeastActive';
}

export const UNLIMITED: LimitPolicy = { overOwnerLimit: 'Refuse' };

export type LimitReason = 'OwnerLimitReached' | 'NamespaceLimitReached';

const REASONS: ReadonlySet<string> = new Set<LimitReason>(['OwnerLimitReached', 'NamespaceLimitReached']);

/** Whether its status says that it waits for a place. */
export const isRefused = (sandbox: Sandbox): boolean => REASONS.has(conditionOf(sandbox, 'Ready')?.reason ?? '');

/**
 * Whether the resource says that the sandbox has a place. It is in the status before anything is made of it, so that no
 * restart of the operator forgets one. (The pod of a sandbox without a place counts too, until it is gone.)
 */
export function hasPlace(sandbox: Sandbox): boolean {
  const { metadata, status } = sandbox;
  if (metadata.deletionTimestamp !== undefined || status?.slot === undefined || status.phase === 'Failed') return false;
  return conditionOf(sandbox, 'Paused')?.status !== 'True' && !isRefused(sandbox);
}

export function ownerLimit(policy: LimitPolicy, owner: string | undefined): number | undefined {
  if (owner === undefined || owner === '') return undefined;
  const own = policy.ofOwners?.get(owner) ?? policy.perOwner;
  return own === 0 ? undefined : own;
}
