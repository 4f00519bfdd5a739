/** Ephemeral volumes → PersistentVolumeClaims: `<pod>-<volume>`, controlled by the pod, and so gone with it unless somebody else owns it too. */
import { isAlreadyExists, type KubeClient } from '../../../kube/client.js';
import { keyOf } from '../../../kube/cache.js';
import { done, retry, startController, type Controller } from '../../../kube/controller.js';
import { PVC, type PersistentVolumeClaim, type Pod } from '../../../kube/kinds.js';
import type { Log } from '../../../kube/log.js';
import type { Clock } from '../../../kube/types.js';
import type { Watched } from '../watched.js';

export interface EphemeralOptions {
  client: KubeClient;
  clock: Clock;
  log: Log;
  pods: Watched<Pod>;
  claims: Watched<PersistentVolumeClaim>;
}

export function startEphemeral({ client, clock, log, pods, claims }: EphemeralOptions): Controller {
  const controller = startController({
    name: 'ephemeral-volumes',
    clock,
    log,
    workers: 4,
    async reconcile(key) {
      const pod = pods.cache.get(key);
      if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return done;
      for (const claim of ephemeralClaims(pod)) {
        if (claims.cache.get(keyOf(claim)) !== undefined) continue;
        try {
          await client.create(PVC, claim);
        } catch (error) {
          // Whose it is the pod's start looks at.
          if (!isAlreadyExists(error)) return retry(error);
        }
      }
      return done;
    },
  });
  pods.subscribe((now, old) => {
    if (now !== undefined && old === undefined && ephemeralClaims(now).length > 0) controller.add(keyOf(now));
  });
  return controller;
}

/** The claims that a pod's ephemeral volumes stand for. Pure. */
export function ephemeralClaims({ metadata, spec }: Pod): PersistentVolumeClaim[] {
  const { name: pod, namespace = 'default', uid = '' } = metadata;
  return (spec.volumes ?? []).flatMap(({ name, ephemeral }) => {
    if (ephemeral === undefined) return [];
    const { metadata: given, spec } = ephemeral.volumeClaimTemplate;
    const owner = { apiVersion: 'v1', kind: 'Pod', name: pod, uid, controller: true, blockOwnerDeletion: true };
    const { labels, annotations } = given ?? {};
    return [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: {
          name: `${pod}-${name}`,
          namespace,
          ...(labels === undefined ? {} : { labels }),
          ...(annotations === undefined ? {} : { annotations }),
          ownerReferences: [owner],
        },
        spec,
      },
    ];
  });
}
