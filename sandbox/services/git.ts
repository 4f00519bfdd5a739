/** What changed in a folder, by git. */
import { execFile } from 'node:child_process';
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { readdir } from 'node:fs/promises';
import { badRequest } from '../http/errors.js';

export interface GitChange {
  status: 'MOVED' | 'ADDED' | 'DELETED' | 'UPDATED';
  path: string;
}
export interface GitCommit {
  sha: string;
  short_sha: string;
  subject: string;
  author: string;
  timestamp: string;
}

const MAX_OUTPUT = 64 << 20;
const TIMEOUT_MS = 30_000;
/** How deep, and how many, repositories are looked for below a folder that is none. */
const MAX_DEPTH = 3;
const MAX_REPOSITORIES = 50;
const MAX_FILE = 8 << 20;

/** Output of git; throws HttpError 400 with git's words. */
async function git(cwd: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, maxBuffer: MAX_OUTPUT, timeout: TIMEOUT_MS, env: gitEnvironment() };
    execFile('git', ['-c', 'core.quotepath=off', ...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const why = stderr.trim() === '' ? error.message : stderr.trim();
      reject(badRequest(`Git command failed: git ${args.join(' ')}: ${why}`));
    });
  });
}

/** Prompts would hang, and a repository must not be able to make us run its own helpers. */
const gitEnvironment = (): Record<string, string> => ({
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/nonexistent',
  GIT_TERMINAL_PROMPT: '0',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_CONFIG_COUNT: '2',
  GIT_CONFIG_KEY_0: 'safe.directory',
  GIT_CONFIG_VALUE_0: '*',
  GIT_CONFIG_KEY_1: 'core.fsmonitor',
  GIT_CONFIG_VALUE_1: 'false',
});

async function rootOf(folder: string): Promise<string | undefined> {
  try {
    return (await git(folder, ['rev-parse', '--show-toplevel'])).trim();
  } catch {
    return undefined;
  }
}

/** The commit to compare with: `ref` as given, else the last commit; a repository without commits has the empty tree. */
async function baseOf(root: string, ref: string | undefined): Promise<string> {
  if (ref !== undefined)
    return (await git(root, ['rev-parse', '--verify', '--end-of-options', `${ref}^{commit}`])).trim();
  try {
    return (await git(root, ['rev-parse', '--verify', 'HEAD'])).trim();
  } catch {
    return EMPTY_TREE;
  }
}
const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904';

/** Changes of the repository that holds the folder; of those below it when it is in none. Empty when there is nothing. */
export async function gitChanges(folder: string, ref: string | undefined): Promise<GitChange[]> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true) return [];
  const real = await realpath(folder);
  if ((await rootOf(real)) !== undefined) return changesIn(real, ref);
  const changes: GitChange[] = [];
  for (const repository of await repositoriesBelow(real)) {
    const prefix = relative(real, repository);
    for (const change of await changesIn(repository, ref)) changes.push({ ...change, path: join(prefix, change.path) });
  }
  return changes;
}

async function changesIn(folder: string, ref: string | undefined): Promise<GitChange[]> {
  const base = await baseOf(folder, ref);
  const tracked = await git(folder, ['diff', '--name-status', '-z', '--relative', '-M', base, '--', '.']);
  const untracked = await git(folder, ['ls-files', '--others', '--exclude-standard', '-z', '--', '.']);
  const changes = parseNameStatus(tracked);
  for (const path of untracked.split('\0')) if (path !== '') changes.push({ status: 'ADDED', path });
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Output of `git diff --name-status -z`. */
export function parseNameStatus(output: string): GitChange[] {
  const fields = output.split('\0');
  const changes: GitChange[] = [];
  for (let at = 0; at + 1 < fields.length;) {
    const letter = fields[at++]?.[0] ?? '';
    const path = fields[at++] ?? '';
    if (letter === 'R') changes.push({ status: 'MOVED', path: fields[at++] ?? path });
    else if (letter === 'C') changes.push({ status: 'ADDED', path: fields[at++] ?? path });
    else changes.push({ status: letter === 'A' ? 'ADDED' : letter === 'D' ? 'DELETED' : 'UPDATED', path });
  }
  return changes;
}

async function repositoriesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (at: string, depth: number): Promise<void> => {
    if (found.length >= MAX_REPOSITORIES) return;
    const entries = await readdir(at, { withFileTypes: true }).catch(() => []);
    if (entries.some((entry) => entry.name === '.git')) return void found.push(at);
    if (depth >= MAX_DEPTH) return;
    for (const entry of entries.slice(0, 1000))
      if (entry.isDirectory() && entry.name !== 'node_modules') await walk(join(at, entry.name), depth + 1);
  };
  await walk(folder, 0);
  return found.sort();
}

/** A file now and as it was. Line ends at the very end are left off. Throws HttpError 400. */
export async function gitDiff(file: string, ref: string | undefined): Promise<{ modified: string; original: string }> {
  let folder = dirname(file);
  while (!(await isFolder(folder)) && folder !== dirname(folder)) folder = dirname(folder);
  const root = await rootOf(folder);
  if (root === undefined) throw badRequest(`Not a git repository: ${file}`);
  const base = await baseOf(root, ref);
  const path = relative(root, join(await realpath(folder), relative(folder, file)))
    .split(sep)
    .join('/');
  const original =
    base === EMPTY_TREE ? undefined : await git(root, ['show', `${base}:${path}`]).catch(() => undefined);
  const modified = await contentOf(file);
  if (original === undefined && modified === undefined) throw badRequest(`File does not exist: ${file}`);
  return { modified: trimmed(modified), original: trimmed(original) };
}

const isFolder = (path: string) => stat(path).then((found) => found.isDirectory(), () => false); // prettier-ignore
const trimmed = (text: string | undefined): string => (text ?? '').replace(/\r?\n$/, '');

async function contentOf(file: string): Promise<string | undefined> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() !== true) return undefined;
  if (found.size > MAX_FILE) throw badRequest('file too large to show');
  return readFile(file, 'utf8');
}

/** The newest commits. */
export async function gitCommits(
  folder: string,
  page: { limit: number; skip: number },
): Promise<{ commits: GitCommit[]; has_more: boolean }> {
  if (!(await isFolder(folder)) || (await rootOf(folder)) === undefined) return { commits: [], has_more: false };
  if ((await baseOf(folder, undefined)) === EMPTY_TREE) return { commits: [], has_more: false };
  const format = '--format=%H%x1f%h%x1f%s%x1f%an%x1f%aI%x1e';
  const output = await git(folder, ['log', format, `--max-count=${page.limit + 1}`, `--skip=${page.skip}`]);
  const commits = output
    .split('\x1e')
    .map((record) => record.trim().split('\x1f'))
    .filter((fields) => fields.length === 5)
    .map(([sha = '', short_sha = '', subject = '', author = '', timestamp = '']) => ({
      sha,
      short_sha,
      subject,
      author,
      timestamp,
    }));
  return { commits: commits.slice(0, page.limit), has_more: commits.length > page.limit };
}

/** What one commit changed. */
export async function commitChanges(folder: string, sha: string): Promise<GitChange[]> {
  // Paths that no folder can have (null characters, endless ones) make the start of a process throw.
  if (!(await isFolder(folder))) throw badRequest(`Not a git repository: ${folder}`);
  if (!/^[0-9a-fA-F]{4,40}$/.test(sha)) throw badRequest(`Git command failed: unknown revision ${sha}`);
  return parseNameStatus(
    await git(folder, ['diff-tree', '-r', '--root', '--no-commit-id', '--name-status', '-z', '-M', sha]),
  );
}
