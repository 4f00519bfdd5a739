/** One file, as it was and as it is. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { badRequest } from '../../http/errors.js';
import { baseOf } from './base.js';
import { commitOf, EMPTY_TREE, git, isFolder, rootOf } from './run.js';

export interface GitDiff {
  modified: string | null;
  original: string | null;
}

const MAX_FILE = 8 << 20;
const NOWHERE: GitDiff = { modified: null, original: null };

/** A file now and as it was. Line ends at the very end are left off; nulls outside of a repository. Throws HttpError 400. */
export async function gitDiff(file: string, ref: string | undefined): Promise<GitDiff> {
  const place = await placeOf(file);
  if (place === undefined) return NOWHERE;
  const base = await baseOf(place.root, ref, 'show');
  const original = base === EMPTY_TREE ? undefined : await shown(place, base);
  const modified = await contentOf(file);
  if (original === undefined && modified === undefined) throw badRequest(`File does not exist: ${file}`);
  return { modified: trimmed(modified), original: trimmed(original) };
}

/** What one commit did to a file, from git alone: it need not exist any more. Throws HttpError 400. */
export async function commitDiff(file: string, sha: string): Promise<GitDiff> {
  const place = await placeOf(file);
  if (place === undefined) return NOWHERE;
  const commit = (await git(place.root, ['rev-parse', '--verify', `${sha}^{commit}`])).trim();
  const parent = await commitOf(place.root, `${commit}^`);
  const original = parent === undefined ? undefined : await shown(place, parent);
  return { modified: trimmed(await shown(place, commit)), original: trimmed(original) };
}

interface Place {
  root: string;
  /** Of the file in its repository, with slashes. */
  path: string;
}

/** The folder of a file that is gone may be gone too. */
async function placeOf(file: string): Promise<Place | undefined> {
  let folder = dirname(file);
  while (!(await isFolder(folder)) && folder !== dirname(folder)) folder = dirname(folder);
  const root = await rootOf(folder);
  if (root === undefined) return undefined;
  const path = relative(root, join(await realpath(folder), relative(folder, file)));
  return { root, path: path.split(sep).join('/') };
}

/** A file in a commit; undefined when it is not there. */
async function shown({ root, path }: Place, commit: string): Promise<string | undefined> {
  const size = await git(root, ['cat-file', '-s', `${commit}:${path}`]).catch(() => undefined);
  if (size === undefined) return undefined;
  if (Number(size) > MAX_FILE) throw badRequest('file too large to show');
  return git(root, ['show', `${commit}:${path}`]).catch(() => undefined);
}

const trimmed = (text: string | undefined): string => (text ?? '').replace(/\r?\n$/, '');

async function contentOf(file: string): Promise<string | undefined> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) return undefined;
  if (found.size > MAX_FILE) throw badRequest('file too large to show');
  return readFile(file, 'utf8').catch(() => undefined);
}
