/** Which files of a folder changed. */
import { readdir, realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { baseOf } from './base.js';
import { commitOf, EMPTY_TREE, git, isFolder, rootOf } from './run.js';

export interface GitChange {
  status: 'ADDED' | 'DELETED' | 'UPDATED';
  path: string;
}

/** How deep, and how many, repositories are looked for below a folder. */
const MAX_DEPTH = 3;
const MAX_REPOSITORIES = 50;

/** Changes of the repository that holds the folder and of those below it. Empty when there is nothing. */
export async function gitChanges(folder: string, ref: string | undefined): Promise<GitChange[]> {
  if (!(await isFolder(folder))) return [];
  const real = await realpath(folder);
  const own = (await rootOf(real)) === undefined ? [] : await changesIn(real, ref);
  const inner: GitChange[] = [];
  const prefixes: string[] = [];
  for (const repository of await repositoriesBelow(real)) {
    const prefix = relative(real, repository);
    // A broken one, or one that does not know this name, does not hide the others.
    const changes = await changesIn(repository, ref).catch(() => []);
    prefixes.push(`${prefix}/`);
    inner.push(...changes.map((change) => ({ ...change, path: join(prefix, change.path) })));
  }
  // Git names a repository inside another one as a new folder.
  return [...own.filter(({ path }) => !prefixes.some((prefix) => path.startsWith(prefix))), ...inner].sort(byPath);
}

const byPath = (a: GitChange, b: GitChange) => (a.path < b.path ? -1 : 1);

async function changesIn(folder: string, ref: string | undefined): Promise<GitChange[]> {
  const base = await baseOf(folder, ref, 'show');
  const tracked = await git(folder, ['diff', '--name-status', '-z', '--relative', '--no-renames', base, '--', '.']);
  const untracked = await git(folder, ['ls-files', '--others', '--exclude-standard', '-z', '--', '.']);
  const changes = parseNameStatus(tracked);
  for (const path of untracked.split('\0')) if (path !== '') changes.push({ status: 'ADDED', path });
  return changes.sort(byPath);
}

/** Output of `git diff --name-status -z --no-renames`. */
export function parseNameStatus(output: string): GitChange[] {
  const fields = output.split('\0');
  const changes: GitChange[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const letter = fields[at]?.[0];
    const status = letter === 'A' ? 'ADDED' : letter === 'D' ? 'DELETED' : 'UPDATED';
    changes.push({ status, path: fields[at + 1] ?? '' });
  }
  return changes;
}

/** Repositories below the folder, not counting itself. */
async function repositoriesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (at: string, depth: number): Promise<void> => {
    if (found.length >= MAX_REPOSITORIES) return;
    const entries = await readdir(at, { withFileTypes: true }).catch(() => []);
    if (depth > 0 && entries.some((entry) => entry.name === '.git')) return void found.push(at);
    if (depth >= MAX_DEPTH) return;
    for (const entry of entries.slice(0, 1000))
      if (entry.isDirectory() && entry.name !== 'node_modules' && entry.name !== '.git')
        await walk(join(at, entry.name), depth + 1);
  };
  await walk(folder, 0);
  return found.sort();
}

/** What one commit changed against its first parent; a first commit added everything. Empty outside of a repository. */
export async function commitChanges(folder: string, sha: string): Promise<GitChange[]> {
  // Paths that no folder can have (null characters, endless ones) make the start of a process throw.
  if (!(await isFolder(folder))) return [];
  if ((await rootOf(folder)) === undefined) return [];
  const commit = (await git(folder, ['rev-parse', '--verify', `${sha}^{commit}`])).trim();
  const parent = (await commitOf(folder, `${commit}^`)) ?? EMPTY_TREE;
  return parseNameStatus(await git(folder, ['diff', '--name-status', '-z', '--no-renames', parent, commit]));
}

/** Digits only: what is no revision never reaches git's arguments. */
export const SHA = /^[0-9a-fA-F]{4,64}$/;
