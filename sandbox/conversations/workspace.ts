/** Clients say `/workspace/…`; on a machine without mounts that prefix stands for a folder of the pod. */
import { join, resolve, sep } from 'node:path';

export interface PathMap {
  /** A client's path as a path of this machine. Relative ones count from the root, as in an image. */
  toLocal(path: string): string;
  /** A path of this machine as clients know it. */
  toClient(path: string): string;
}

const PREFIX = '/workspace';

/** `root` is what `/workspace` stands for; identity when it is `/workspace` itself. */
export function createPathMap(root: string): PathMap {
  const base = resolve(root);
  return {
    toLocal(path) {
      const full = resolve('/', path);
      if (full !== PREFIX && !full.startsWith(`${PREFIX}/`)) return full;
      return join(base, full.slice(PREFIX.length));
    },
    toClient(path) {
      if (base === PREFIX || (path !== base && !path.startsWith(`${base}${sep}`))) return path;
      return `${PREFIX}${path.slice(base.length)}`;
    },
  };
}
