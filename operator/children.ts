/** Writes of single children that may have happened before: a name that is taken by our own is no error. */
import { LABEL, MANAGER } from '../contracts/labels.js';
import type { KubeClient } from '../kube/client.js';
import { createApplier } from '../kube/apply.js';
import { isAlreadyExists, isConflict, isNotFound, KubeError } from '../kube/errors.js';
import {
  POD,
  PVC,
  SECRET,
  SERVICE,
  type KindOf,
  type PersistentVolumeClaim,
  type Pod,
  type Secret,
} from '../kube/kinds.js';
import type { KubeObject, OwnerReference } from '../kube/types.js';
import { buildSharedService } from './build/service.js';
import { trimPod, type World } from './world.js';

export interface Children {
  /** The shared Service that a slot falls to; writes only when it is missing or of an older shape. */
  ensureService(namespace: string, slot: string, signal: AbortSignal): Promise<void>;
  applySecret(secret: Secret, signal: AbortSignal): Promise<void>;
  createClaim(claim: PersistentVolumeClaim, signal: AbortSignal): Promise<void>;
  /** Answers the pod, also when it existed. Rejects with a KubeError 409 when the name belongs to another's. */
  createPod(pod: Pod, signal: AbortSignal): Promise<Pod>;
  /** `force`: without grace period. Does nothing when this very pod is gone. */
  deletePod(pod: { name: string; namespace: string; uid: string }, force: boolean, signal: AbortSignal): Promise<void>;
  /** Gives a warm pod's workspace claim to a sandbox. */
  adopt(child: Adoption, signal: AbortSignal): Promise<void>;
  createSecret(secret: Secret, signal: AbortSignal): Promise<void>;
  /** Adds what the Secret says, keys and owners, to the one that has its name, if there is one. */
  mergeSecret(secret: Secret, signal: AbortSignal): Promise<void>;
}

export interface Adoption {
  name: string;
  namespace: string;
  labels: Record<string, string>;
  owners: OwnerReference[];
}

const HASH = 'sandlot.dev/applied';

export function createChildren(client: KubeClient, world: World): Children {
  const applier = createApplier({ client, fieldManager: MANAGER, hashAnnotation: HASH });
  const manager = { fieldManager: MANAGER };

  /** Creates, or reads what is there. */
  const ensure = async <T extends KubeObject>(kind: KindOf<T>, desired: T, signal: AbortSignal): Promise<T> => {
    try {
      return await client.create(kind, desired, { ...manager, signal });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      const existing = await client.get(kind, desired.metadata, { signal });
      if (existing.metadata.labels?.[LABEL.slot] === desired.metadata.labels?.[LABEL.slot]) return existing;
      throw error;
    }
  };

  const uidOf = async (ref: { name: string; namespace: string }, signal: AbortSignal): Promise<string | undefined> => {
    try {
      return (await client.get(POD, ref, { signal })).metadata.uid;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };

  return {
    async ensureService(namespace, slot, signal) {
      const desired = buildSharedService(namespace, slot);
      const existing = world.services.get(`${namespace}/${desired.metadata.name}`);
      signal.throwIfAborted();
      world.services.note(await applier.apply(SERVICE, desired, existing));
    },
    async applySecret(secret, signal) {
      const { metadata } = await client.apply(SECRET, secret, { ...manager, force: true, signal });
      world.secrets.note({ metadata });
    },
    async createClaim(claim, signal) {
      world.claims.note(await ensure(PVC, claim, signal));
    },
    async createPod(desired, signal) {
      const pod = await ensure(POD, desired, signal);
      const owner = desired.metadata.ownerReferences?.[0]?.uid;
      if (pod.metadata.ownerReferences?.some(({ uid }) => uid === owner) !== true)
        throw new KubeError(`pod ${pod.metadata.name} belongs to another owner`, {
          code: 409,
          reason: 'AlreadyExists',
        });
      const trimmed = trimPod(pod);
      world.pods.note(trimmed);
      return trimmed;
    },
    async deletePod({ name, namespace, uid }, force, signal) {
      const grace = force ? { gracePeriodSeconds: 0 } : {};
      try {
        await client.delete(POD, { namespace, name }, { ...grace, preconditions: { uid }, signal });
      } catch (error) {
        // A conflict may mean that another pod has the name now. Any other leaves it there: taken for gone, it would be
        // found again, and its one loss counted twice.
        const isGone = isNotFound(error) || (isConflict(error) && (await uidOf({ name, namespace }, signal)) !== uid);
        if (!isGone) throw error;
        world.pods.noteGone({ metadata: { name, namespace, uid } });
      }
    },
    async adopt({ name, namespace, labels, owners }, signal) {
      const body = { metadata: { labels, ownerReferences: owners } };
      try {
        world.claims.note(await client.patch(PVC, { namespace, name }, body, { ...manager, type: 'merge', signal }));
      } catch (error) {
        const known = world.claims.get(`${namespace}/${name}`);
        if (!isNotFound(error) || known === undefined) throw error;
        world.claims.noteGone(known);
      }
    },
    async createSecret(secret, signal) {
      const { metadata } = await client.create(SECRET, secret, { ...manager, signal });
      world.secrets.note({ metadata });
    },
    async mergeSecret(secret, signal) {
      const patch = () => client.patch(SECRET, secret.metadata, secret, { ...manager, type: 'strategic', signal });
      const { metadata } = await client.create(SECRET, secret, { ...manager, signal }).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error;
        return patch();
      });
      world.secrets.note({ metadata });
    },
  };
}
