/**
 * The node's folders below the data folder:
 *   volumes/<claim>-<uid's first 8>     what a PersistentVolumeClaim holds; goes with the claim
 *   pods/<uid>/home, tmp                HOME and TMPDIR of the pod's processes
 *   pods/<uid>/volumes/<volume>         emptyDir, Secret, ConfigMap and projected volumes
 *   pods/<uid>/logs/<container>.<n>.log what the container's n-th run wrote
 */
import { join } from 'node:path';
import type { PersistentVolumeClaim } from '../../kube/kinds.js';

export interface PodFolders {
  root: string;
  home: string;
  tmp: string;
  volumes: string;
  logs: string;
}

export interface Layout {
  pods: string;
  volumes: string;
  /** One file per process that was started: who to look for after a kill -9. */
  processes: string;
  pod(uid: string): PodFolders;
  claim(claim: PersistentVolumeClaim): string;
}

export function layoutOf(dataDir: string): Layout {
  const pods = join(dataDir, 'pods');
  const volumes = join(dataDir, 'volumes');
  return {
    pods,
    volumes,
    processes: join(dataDir, 'processes'),
    pod(uid) {
      const root = join(pods, uid);
      const below = (name: string) => join(root, name);
      return { root, home: below('home'), tmp: below('tmp'), volumes: below('volumes'), logs: below('logs') };
    },
    claim: ({ metadata }) => join(volumes, claimFolder(metadata.name, metadata.uid ?? '')),
  };
}

/** Part of the uid keeps a claim of the same name, made later, from finding the old one's files. */
export const claimFolder = (name: string, uid: string): string => `${name}-${uid.slice(0, 8)}`;
