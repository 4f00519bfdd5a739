import { workspaceClaimName } from '../../contracts/names.js';
import type { PersistentVolumeClaim } from '../../kube/kinds.js';
import type { OwnerReference } from '../../kube/types.js';
import type { Workspace } from '../shape.js';
import { childLabels, ownerReference, type Holder } from './meta.js';

/** The claim that holds a workspace over pauses and losses of the pod. */
export function buildWorkspaceClaim(holder: Holder, slot: string, workspace: Workspace): PersistentVolumeClaim {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: workspaceClaimName(slot),
      namespace: holder.namespace,
      labels: childLabels(holder, slot),
      ownerReferences: workspaceOwners(holder, workspace),
    },
    spec: workspaceClaimSpec(workspace),
  };
}

export function workspaceClaimSpec({ size, storageClassName }: Workspace): PersistentVolumeClaim['spec'] {
  return {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: size } },
    ...(storageClassName === undefined ? {} : { storageClassName }),
  };
}

/**
 * Whether the cluster makes a warm pod's claim, as that of an ephemeral volume, which saves a write for each pod. Such a claim
 * must keep its pod as controller for as long as the pod runs, so one that is to outlive its owners is made the plain way.
 */
export const isEphemeralClaim = (holder: Holder, { kind, retention }: Workspace): boolean =>
  holder.kind === 'pool' && kind === 'Claim' && retention === 'Delete';

/** Retain means that nobody owns the claim: the garbage collector then leaves it alone. Warm claims always go with their pool. */
export function workspaceOwners(holder: Holder, workspace: Workspace): OwnerReference[] {
  return holder.kind === 'sandbox' && workspace.retention === 'Retain' ? [] : [ownerReference(holder)];
}

/**
 * Owners of a warm pod's claim once a sandbox has it. The claim of an ephemeral volume keeps its pod, or the kubelet would not
 * mount it any more, and outlives it by the sandbox: the garbage collector waits for the last owner.
 */
export function adoptedOwners(
  holder: Holder,
  workspace: Workspace,
  claim: PersistentVolumeClaim | undefined,
): OwnerReference[] {
  const pods = claim?.metadata.ownerReferences?.filter(({ kind }) => kind === 'Pod') ?? [];
  if (pods.length === 0) return workspaceOwners(holder, workspace);
  return [...pods, { ...ownerReference(holder), controller: false }];
}
