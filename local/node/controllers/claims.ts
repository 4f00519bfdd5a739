/**
 * PersistentVolumeClaims → folders. Each claim is bound at once to a folder of its own (there is no PersistentVolume object);
 * the folder goes with the claim, but never under a pod that still uses it (finalizer, as in a real cluster).
 */
import { readdir, mkdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isConflict, isNotFound, type KubeClient } from '../../../kube/client.js';
import { keyOf } from '../../../kube/cache.js';
import { done, startController, wait, type Controller } from '../../../kube/controller.js';
import { PVC, type PersistentVolumeClaim, type Pod } from '../../../kube/kinds.js';
import type { Log } from '../../../kube/log.js';
import type { Clock } from '../../../kube/types.js';
import type { Layout } from '../layout.js';
import type { Watched } from '../watched.js';

export const PROTECTION = 'kubernetes.io/pvc-protection';

export interface ClaimOptions {
  client: KubeClient;
  clock: Clock;
  log: Log;
  layout: Layout;
  claims: Watched<PersistentVolumeClaim>;
  pods: Watched<Pod>;
}

export function startClaims({ client, clock, log, layout, claims, pods }: ClaimOptions): Controller {
  const users = (claim: PersistentVolumeClaim): Pod[] =>
    pods.cache
      .list()
      .filter(
        (pod) => pod.metadata.namespace === claim.metadata.namespace && claimsOf(pod).includes(claim.metadata.name),
      );

  const bind = async (claim: PersistentVolumeClaim) => {
    const change = bindingOf(claim);
    if (change === undefined) return done;
    await mkdir(layout.claim(claim), { recursive: true, mode: 0o700 });
    if (change.spec !== undefined) {
      const body = {
        metadata: { ...change.metadata, resourceVersion: claim.metadata.resourceVersion },
        spec: change.spec,
      };
      await client.patch(PVC, claim.metadata, body, { type: 'merge' });
    }
    await client.patch(
      PVC,
      claim.metadata,
      { metadata: { uid: claim.metadata.uid }, status: change.status },
      { type: 'merge', subresource: 'status' },
    );
    return done;
  };
  const release = async (claim: PersistentVolumeClaim) => {
    const finalizers = claim.metadata.finalizers ?? [];
    if (!finalizers.includes(PROTECTION)) return done;
    if (users(claim).length > 0) return wait(5_000, 'a pod still uses the claim');
    await rm(layout.claim(claim), { recursive: true, force: true, maxRetries: 3 });
    const left = finalizers.filter((name) => name !== PROTECTION);
    const metadata = { resourceVersion: claim.metadata.resourceVersion, finalizers: left.length === 0 ? null : left };
    await client.patch(PVC, claim.metadata, { metadata }, { type: 'merge' });
    return done;
  };
  const controller = startController({
    name: 'claims',
    clock,
    log,
    workers: 4,
    async reconcile(key) {
      const claim = claims.cache.get(key);
      if (claim === undefined) return done;
      try {
        return await (claim.metadata.deletionTimestamp === undefined ? bind(claim) : release(claim));
      } catch (error) {
        if (isConflict(error) || isNotFound(error)) return wait(50, 'the cache is behind');
        throw error;
      }
    },
  });
  claims.subscribe((now, old) => {
    if (now !== undefined) controller.add(keyOf(now));
    // Without finalizer (forced away by hand) the folder goes all the same.
    else if (old !== undefined)
      void rm(layout.claim(old), { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  });
  pods.subscribe((now, old) => {
    if (now === undefined && old !== undefined)
      for (const name of claimsOf(old)) controller.add(`${old.metadata.namespace ?? 'default'}/${name}`);
  });
  return controller;
}

export const claimsOf = ({ metadata, spec }: Pod): string[] =>
  (spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) =>
    ephemeral === undefined ? (persistentVolumeClaim?.claimName ?? []) : `${metadata.name}-${name}`,
  );

/** The patches that bind a claim; undefined when it is bound as it asks. Pure. */
export function bindingOf({ metadata, spec, status }: PersistentVolumeClaim) {
  const requested = spec.resources?.requests?.['storage'];
  const wanted = {
    phase: 'Bound' as const,
    accessModes: spec.accessModes ?? [],
    ...(requested === undefined ? {} : { capacity: { storage: requested } }),
  };
  const bound = status?.phase === 'Bound' && status.capacity?.['storage'] === requested;
  const finalizers = metadata.finalizers ?? [];
  const complete = spec.volumeName !== undefined && finalizers.includes(PROTECTION);
  if (bound && complete) return undefined;
  return {
    status: wanted,
    metadata: { finalizers: [...new Set([...finalizers, PROTECTION])] },
    ...(complete ? {} : { spec: { volumeName: spec.volumeName ?? `folder-${metadata.uid ?? ''}` } }),
  };
}

/** Folders whose claim went while the node was away. To be called once, after the first complete list. */
export async function removeOrphans(layout: Layout, claims: readonly PersistentVolumeClaim[]): Promise<string[]> {
  const known = new Set(claims.map((claim) => basename(layout.claim(claim))));
  const folders = await readdir(layout.volumes).catch(() => []);
  const orphans = folders.filter((name) => !known.has(name));
  for (const name of orphans) await rm(join(layout.volumes, name), { recursive: true, force: true, maxRetries: 3 });
  return orphans;
}
