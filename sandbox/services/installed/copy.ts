/** Copies the folder of a plugin or skill: bounded, and nothing from outside of it. */
import { copyFile, mkdir, readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { badRequest } from '../../http/errors.js';

const MAX_FILES = 5000;
const MAX_BYTES = 64 << 20;
const MAX_DEPTH = 20;

/**
 * Links become what they point to; those that lead out of the folder (or nowhere) are left out, and so is `.git`.
 * Throws HttpError 400 for one that is too large.
 */
export async function copyFolder(from: string, to: string): Promise<void> {
  const top = await realpath(from);
  const left = { files: MAX_FILES, bytes: MAX_BYTES };
  await copyInto(top, to, { top, left, depth: 0 });
}

interface Walk {
  top: string;
  left: { files: number; bytes: number };
  depth: number;
}

async function copyInto(from: string, to: string, { top, left, depth }: Walk): Promise<void> {
  if (depth > MAX_DEPTH) throw badRequest(`It has folders more than ${MAX_DEPTH} deep`);
  await mkdir(to);
  for (const name of await readdir(from)) {
    if (name === '.git') continue;
    if (--left.files < 0) throw badRequest(`It has more than ${MAX_FILES} files`);
    const real = await realpath(join(from, name)).catch(() => undefined);
    if (real === undefined || !real.startsWith(`${top}${sep}`)) continue;
    const found = await stat(real);
    if (found.isDirectory()) await copyInto(real, join(to, name), { top, left, depth: depth + 1 });
    if (!found.isFile()) continue;
    left.bytes -= found.size;
    if (left.bytes < 0) throw badRequest(`It is larger than ${MAX_BYTES >> 20} MiB`);
    await copyFile(real, join(to, name));
  }
}

/** The files below a folder, relative and sorted; at most `limit`. */
export async function filesBelow(folder: string, limit = 2000): Promise<string[]> {
  const files: string[] = [];
  const walk = async (inner: string, depth: number): Promise<void> => {
    const entries = await readdir(join(folder, inner), { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (files.length >= limit || entry.name === '.git') continue;
      const path = inner === '' ? entry.name : `${inner}/${entry.name}`;
      if (!entry.isDirectory()) files.push(path);
      else if (depth < MAX_DEPTH) await walk(path, depth + 1);
    }
  };
  await walk('', 0);
  return files.sort();
}
