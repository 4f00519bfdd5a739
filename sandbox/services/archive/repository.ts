/** Which repository an archive is of, and what is known of it. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { urlWithoutCredentials } from '../../masking.js';
import { ask, commitOf } from '../git/run.js';

const MAX_DEPTH = 3;
const VENDORED = new Set(['node_modules', 'venv', 'site-packages', 'vendor']);

/** The folder itself if it is a repository, else the one repository below it; else the folder. */
export async function archiveRoot(folder: string): Promise<string> {
  if (await isRepository(folder)) return folder;
  const found: string[] = [];
  const walk = async (at: string, depth: number): Promise<void> => {
    for (const entry of await readdir(at, { withFileTypes: true }).catch(() => [])) {
      if (found.length > 1) return;
      if (!entry.isDirectory() || entry.name.startsWith('.') || VENDORED.has(entry.name)) continue;
      const below = join(at, entry.name);
      if (await isRepository(below)) found.push(below);
      else if (depth + 1 < MAX_DEPTH) await walk(below, depth + 1);
    }
  };
  await walk(folder, 0);
  const [only, another] = found;
  return only === undefined || another !== undefined ? folder : only;
}

const isRepository = (folder: string) => stat(join(folder, '.git')).then(() => true, () => false); // prettier-ignore

/** `shownRoot` is the folder as clients know it. Headers that tell where the files come from; values are percent-encoded. Empty outside of a repository. */
export async function originHeaders(root: string, shownRoot: string): Promise<Record<string, string>> {
  if (!(await isRepository(root))) return {};
  const remote = await ask(root, ['remote', 'get-url', 'origin']);
  const facts = {
    'x-archive-repo-remote': remote === undefined ? undefined : urlWithoutCredentials(remote),
    'x-archive-branch': await ask(root, ['symbolic-ref', '--short', '--quiet', 'HEAD']),
    'x-archive-head-commit': await commitOf(root, 'HEAD'),
    'x-archive-repo-root': shownRoot,
  };
  return Object.fromEntries(
    Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : [[name, encodeURIComponent(value)]])),
  );
}

export const archiveName = (root: string): string => basename(root) || 'root';
