/** Where a plugin lies: a folder of this machine, or a git repository (`github:owner/name` for short). */
import { z } from 'zod';
import { urlWithoutCredentials } from '../../masking.js';

export const pluginSource = z.looseObject({
  source: z.string().min(1).max(4096),
  /** Branch, tag or commit. */
  ref: z.string().max(512).nullish(),
  /** Folder of the plugin in its repository. */
  repo_path: z.string().max(4096).nullish(),
});
export type PluginSource = z.infer<typeof pluginSource>;

export type Place = { at: 'folder'; path: string } | { at: 'repository'; url: string; ref: string; path: string };

/** `github:owner/name`, with `@ref` and the folder if need be: `github:owner/name@main/plugins/one`. */
const GITHUB = /^github:([\w.-]+\/[\w.-]+?)(?:\.git)?(?:@([\w.-]+))?((?:\/[^/\s]+)*)\/?$/;
const REPOSITORY = /^(?:https?|ssh|git|file):\/\/[^\s]+$|^[\w.-]+@[\w.-]+:[^\s]+$/;

/** A text says what is wrong. Nothing of it can be taken for an option of git. Pure. */
export function placeOf(given: PluginSource): Place | string {
  const { source } = given;
  if (source.startsWith('/')) return { at: 'folder', path: source };
  const [, name, shortRef, shortPath = ''] = GITHUB.exec(source) ?? [];
  const ref = given.ref ?? shortRef;
  const inner = given.repo_path ?? shortPath.slice(1);
  if (inner.startsWith('/') || inner.split('/').includes('..')) return 'repo_path must be a path inside the repository';
  if (ref?.startsWith('-') === true || ref?.includes(':') === true) return 'ref must name a branch, tag or commit';
  const url = name === undefined ? source : `https://github.com/${name}.git`;
  if (!REPOSITORY.test(url))
    return 'source must be github:owner/name, the address of a git repository, or an absolute path';
  return { at: 'repository', url, ref: ref ?? 'HEAD', path: inner };
}

/** For people and files: without a password. Pure. */
export const shownSource = (source: string): string => urlWithoutCredentials(source);
