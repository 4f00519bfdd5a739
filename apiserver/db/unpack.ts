/** Unpacks the template of a data folder as plain files: PGlite's own loadDataDir takes seconds for the same. */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const BLOCK = 512;
const FOLDER = '5';

/** Makes `folder` from a tar of plain files and folders (ustar). All or nothing: a start that is cut short leaves no half of it. */
export function unpackTemplate(tar: string, folder: string): void {
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true, mode: 0o700 });
  const bytes = readFileSync(tar);
  const text = (from: number, length: number): string =>
    bytes.toString('latin1', from, from + length).replace(/\0.*$/s, '');
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0;) {
    const path = normalize(join('/', text(at + 345, 155), text(at, 100)));
    const size = Number.parseInt(text(at + 124, 12), 8) || 0;
    const target = join(fresh, path);
    if (text(at + 156, 1) === FOLDER) mkdirSync(target, { recursive: true, mode: 0o700 });
    else writeOut(target, bytes.subarray(at + BLOCK, at + BLOCK + size));
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  renameSync(fresh, folder);
}

function writeOut(target: string, content: Buffer): void {
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const file = openSync(target, 'w', 0o600);
  try {
    for (let done = 0; done < content.length;) done += writeSync(file, content, done);
  } finally {
    closeSync(file);
  }
}
