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
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: workspace.size } },
      ...(workspace.storageClassName === undefined ? {} : { storageClassName: workspace.storageClassName }),
    },
  };
}

/** Retain means that nobody owns the claim: the garbage collector then leaves it alone. Warm claims always go with their pool. */
export function workspaceOwners(holder: Holder, workspace: Workspace): OwnerReference[] {
  return holder.kind === 'sandbox' && workspace.retention === 'Retain' ? [] : [ownerReference(holder)];
}
