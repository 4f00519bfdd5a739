/** Metadata that every child of a Sandbox or a pool carries. */
import { LABEL, MANAGER, SANDBOX_APP, STATE_CLAIMED, STATE_WARM } from '../../contracts/labels.js';
import { ownerLabel } from '../../contracts/names.js';
import { SANDBOX, SANDBOX_POOL, GROUP, VERSION } from '../../contracts/resources.js';
import type { OwnerReference } from '../../kube/types.js';
import { shardLabel } from '../shard.js';

/** Who a child belongs to: a sandbox, or the pool that keeps it warm. */
export type Holder =
  | {
      kind: 'sandbox';
      name: string;
      namespace: string;
      uid: string;
      template?: string | undefined;
      /** `spec.owner`. */
      owner?: string | undefined;
      /** Its label, for its children. */
      shard?: string | undefined;
    }
  | { kind: 'pool'; name: string; namespace: string; uid: string; template: string; shard?: string | undefined };

export function childLabels(holder: Holder, slot: string): Record<string, string> {
  return {
    [LABEL.name]: SANDBOX_APP,
    [LABEL.managedBy]: MANAGER,
    [LABEL.slot]: slot,
    ...shardLabel(holder.shard),
    ...(holder.template === undefined ? {} : { [LABEL.template]: labelValue(holder.template) }),
    ...(holder.kind === 'sandbox' ? claimedLabels(holder) : warmLabels(holder.name)),
  };
}

/** What a claim changes in the labels of a pod and its children. */
export const claimedLabels = (sandbox: { name: string; owner?: string | undefined }): Record<string, string> => ({
  [LABEL.state]: STATE_CLAIMED,
  [LABEL.sandbox]: labelValue(sandbox.name),
  ...(sandbox.owner === undefined || sandbox.owner === '' ? {} : { [LABEL.owner]: ownerLabel(sandbox.owner) }),
});

const warmLabels = (pool: string): Record<string, string> => ({
  [LABEL.state]: STATE_WARM,
  [LABEL.pool]: labelValue(pool),
});

/** Controller reference: the garbage collector removes the child with its owner. */
export function ownerReference(holder: Holder): OwnerReference {
  return {
    apiVersion: `${GROUP}/${VERSION}`,
    kind: holder.kind === 'sandbox' ? SANDBOX.kind : SANDBOX_POOL.kind,
    name: holder.name,
    uid: holder.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Object names may have 253 characters, label values 63: the rest is cut. Lookups compare owner uids as well. */
export const labelValue = (name: string): string => name.slice(0, 63).replace(/[^A-Za-z0-9]+$/, '');
