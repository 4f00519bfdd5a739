/** A process has no mounts: whatever names a mounted path is rewritten to the real folder. Pure. */

export interface Mount {
  /** Path that the pod believes in: `/workspace`. */
  mountPath: string;
  /** Absolute folder (or file, with subPath) on this machine. */
  folder: string;
  readOnly: boolean;
}

const trimmed = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, '') : path);

/** The value with its leading mount path replaced; the longest mount wins. Paths in the middle of a text stay as they are. */
export function rewritePath(value: string, mounts: readonly Mount[]): string {
  let best: { prefix: string; folder: string } | undefined;
  for (const { mountPath, folder } of mounts) {
    const prefix = trimmed(mountPath);
    const fits = value === prefix || value.startsWith(prefix === '/' ? prefix : `${prefix}/`);
    if (fits && (best === undefined || prefix.length > best.prefix.length)) best = { prefix, folder };
  }
  if (best === undefined) return value;
  const rest = value.slice(best.prefix.length);
  return rest === '' || rest.startsWith('/') ? best.folder + rest : `${best.folder}/${rest}`;
}

export const rewriteAll = (values: readonly string[], mounts: readonly Mount[]): string[] =>
  values.map((value) => rewritePath(value, mounts));

export const rewriteEnv = (env: Record<string, string>, mounts: readonly Mount[]): Record<string, string> =>
  Object.fromEntries(Object.entries(env).map(([name, value]) => [name, rewritePath(value, mounts)]));
