/** What changed in a repository since a commit, new files too, as one patch that `git apply` takes. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { badRequest } from '../../http/errors.js';
import { baseOf } from '../git/base.js';
import { EMPTY_TREE, git, gitProcess, rootOf } from '../git/run.js';
import { pathspecs } from './excludes.js';

const STAGE_MS = 300_000;

export interface Delta {
  patch: Readable;
  /** The commit that the patch is for; null: the empty tree. */
  baseCommit: string | null;
}

/** The repository's own index and objects are left alone. Throws HttpError 400. */
export async function deltaOf(folder: string, ref: string | undefined, excludes: readonly string[]): Promise<Delta> {
  if ((await rootOf(folder)) === undefined) throw badRequest(`Not a git repository: ${folder}`);
  const base = await baseOf(folder, ref, 'export').catch(() => {
    throw badRequest(`base_ref '${ref ?? ''}' could not be resolved`);
  });
  const aside = await mkdtemp(join(tmpdir(), 'sandlot-archive-'));
  try {
    const objects = (await git(folder, ['rev-parse', '--path-format=absolute', '--git-path', 'objects'])).trim();
    await mkdir(join(aside, 'objects'));
    const env = {
      GIT_INDEX_FILE: join(aside, 'index'),
      GIT_OBJECT_DIRECTORY: join(aside, 'objects'),
      GIT_ALTERNATE_OBJECT_DIRECTORIES: objects,
    };
    const how = { env, timeoutMs: STAGE_MS };
    const where = ['--', '.', ...pathspecs(excludes)];
    await git(folder, ['read-tree', base], how);
    await git(folder, ['add', '--all', ...where], how);
    const diff = gitProcess(
      folder,
      ['diff', '--binary', '--no-color', '--no-ext-diff', '--cached', base, ...where],
      how,
    );
    return { patch: Readable.from(piecesOf(diff, aside)), baseCommit: base === EMPTY_TREE ? null : base };
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw error;
  }
}

/** The output of a process; throws when it fails, so that a half patch is not taken for a whole one. */
async function* piecesOf(process: ReturnType<typeof gitProcess>, aside: string): AsyncGenerator<Buffer> {
  const ended = new Promise<number>((resolve) => {
    process.once('close', (code) => resolve(code ?? -1));
    process.once('error', () => resolve(-1));
  });
  try {
    for await (const piece of process.stdout ?? []) yield piece as Buffer;
    if ((await ended) !== 0) throw new Error('git diff failed');
  } finally {
    process.kill();
    await rm(aside, { recursive: true, force: true });
  }
}
