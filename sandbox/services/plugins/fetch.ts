/** Brings a plugin onto this machine. */
import { createHash } from 'node:crypto';
import { mkdtemp, realpath, rename, rm } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ensureFolder } from '../../conversations/record.js';
import { badRequest, HttpError } from '../../http/errors.js';
import { git, isFolder } from '../git/run.js';
import { placeOf, shownSource, type Place, type PluginSource } from './source.js';

export interface FetchOptions {
  /** Where fetched repositories are kept. */
  cache: string;
  /** A client's path as one of this machine. */
  toLocal: (path: string) => string;
  /** Variables of the sandbox; those of proxies and certificates count. */
  env: Readonly<Record<string, string>>;
  timeoutMs: number;
  /** What it is, for people. */
  word?: 'plugin' | 'skill' | 'marketplace';
}

export interface Fetched {
  path: string;
  /** The commit; null for a folder. */
  resolvedRef: string | null;
}

const NETWORK = /^(https?_proxy|no_proxy|all_proxy|ssl_cert_(file|dir)|git_ssl_cainfo)$/i;

/** Throws HttpError 400 with a reason that shows no password. */
export async function fetchPlugin(given: PluginSource, options: FetchOptions): Promise<Fetched> {
  const place = placeOf(given);
  const wrong = (why: string) =>
    badRequest(`The ${options.word ?? 'plugin'} ${shownSource(given.source)} cannot be used: ${why}`);
  if (typeof place === 'string') throw wrong(place);
  if (place.at === 'folder') {
    const path = join(options.toLocal(place.path), given.repo_path ?? '');
    if (!(await isFolder(path))) throw wrong('there is no such folder');
    return { path, resolvedRef: null };
  }
  const { folder, commit } = await fetchRepository(place, options).catch((error: unknown) => {
    if (!(error instanceof HttpError)) throw error;
    throw wrong(error.message.replaceAll(place.url, shownSource(place.url)));
  });
  const path = join(folder, place.path);
  if (!(await isFolder(path))) throw wrong(`the repository has no folder ${place.path}`);
  // A link of the repository may lead anywhere on this machine.
  const [top, real] = await Promise.all([realpath(folder), realpath(path)]);
  if (real !== top && !real.startsWith(`${top}${sep}`)) throw wrong(`the folder ${place.path} is a link out of the repository`); // prettier-ignore
  return { path, resolvedRef: commit };
}

async function fetchRepository(place: Place & { at: 'repository' }, { cache, env, timeoutMs }: FetchOptions) {
  await ensureFolder(cache);
  const network = Object.fromEntries(Object.entries(env).filter(([name]) => NETWORK.test(name)));
  const how = { env: network, timeoutMs };
  const aside = await mkdtemp(join(cache, 'fetch-'));
  try {
    await git(aside, ['init', '--quiet']);
    await git(aside, ['fetch', '--quiet', '--depth=1', '--end-of-options', place.url, place.ref], how);
    await git(aside, ['-c', 'advice.detachedHead=false', 'checkout', '--quiet', '--detach', 'FETCH_HEAD'], how);
    const commit = (await git(aside, ['rev-parse', 'HEAD'])).trim();
    const key = createHash('sha256').update(place.url).digest('hex').slice(0, 16);
    const folder = join(cache, `${key}-${commit}`);
    // Somebody may have fetched the same commit: theirs is as good.
    if (!(await isFolder(folder)))
      await rename(aside, folder).catch(async (error: unknown) => {
        if (!(await isFolder(folder))) throw error;
      });
    return { folder, commit };
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
