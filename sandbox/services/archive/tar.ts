/** A folder as a tar stream: memory for one piece of one file at a time. Links are left out, so nothing outside gets in. */
import { open, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isGitSecret } from './excludes.js';

export const MANIFEST = 'archive_manifest.json';
const BLOCK = 512;
const PIECE = 256 << 10;
const MAX_DEPTH = 200;

export interface TarOptions {
  /** Name of the top folder in the archive. */
  name: string;
  excludes: readonly string[];
  excluded: (path: string, isFolder: boolean) => boolean;
}

/** What cannot be read, or goes meanwhile, is left out. A last entry says what is there. */
export async function* tarOf(root: string, options: TarOptions): AsyncGenerator<Buffer> {
  const counted = { files: 0, bytes: 0, manifest: false };
  const skipped = (path: string, folder: boolean) => isGitSecret(path) || options.excluded(path, folder);
  async function* folder(path: string, depth: number): AsyncGenerator<Buffer> {
    const at = path === '' ? root : join(root, path);
    const found = await stat(at).catch(() => undefined);
    if (found === undefined || depth > MAX_DEPTH) return;
    yield head({ name: join(options.name, path, '/'), size: 0, mode: found.mode, mtimeMs: found.mtimeMs, type: '5' });
    const entries = await opendir(at).catch(() => undefined);
    if (entries === undefined) return;
    for await (const entry of entries) {
      const below = path === '' ? entry.name : `${path}/${entry.name}`;
      if (skipped(below, entry.isDirectory())) continue;
      if (entry.isDirectory()) yield* folder(below, depth + 1);
      else if (entry.isFile()) yield* file(below);
    }
  }
  async function* file(path: string): AsyncGenerator<Buffer> {
    const handle = await open(join(root, path)).catch(() => undefined);
    if (handle === undefined) return;
    try {
      const { size, mode, mtimeMs } = await handle.stat();
      yield head({ name: join(options.name, path), size, mode, mtimeMs, type: '0' });
      // The head has promised a size: what the file lost since then is filled, what it gained is left.
      for (let left = size; left > 0;) {
        const piece = Buffer.alloc(Math.min(PIECE, left));
        await handle.read(piece, 0, piece.length).catch(() => undefined);
        left -= piece.length;
        yield piece;
      }
      yield padding(size);
      counted.files++;
      counted.bytes += size;
      counted.manifest ||= path === MANIFEST;
    } finally {
      await handle.close();
    }
  }
  yield* folder('', 0);
  if (!counted.manifest) yield* manifest(options, counted);
  yield Buffer.alloc(2 * BLOCK);
}

function* manifest({ name, excludes }: TarOptions, { files, bytes }: { files: number; bytes: number }) {
  const facts = { excludes, file_count: files, format: 'tar.gz', source: name, total_bytes: bytes };
  const text = Buffer.from(JSON.stringify(facts, null, 2));
  yield head({ name: join(name, MANIFEST), size: text.length, mode: 0o644, mtimeMs: 0, type: '0' });
  yield text;
  yield padding(text.length);
}

const padding = (size: number): Buffer => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);

interface Entry {
  name: string;
  size: number;
  mode: number;
  mtimeMs: number;
  /** 0 a file, 5 a folder, x the extended head of the entry behind it. */
  type: '0' | '5' | 'x';
}

/** The head of an entry (ustar); names and sizes that do not fit have an extended one (pax) before it. */
function head(entry: Entry): Buffer {
  const block = Buffer.alloc(BLOCK);
  const name = Buffer.from(entry.name);
  const fits = name.length <= 100 && name.length === entry.name.length && entry.size < 8 ** 11;
  name.copy(block, 0, 0, Math.min(100, name.length));
  const octal = (value: number, at: number, length: number) =>
    block.write(`${Math.max(0, Math.trunc(value)).toString(8).padStart(length - 1, '0').slice(1 - length)}\0`, at, 'latin1'); // prettier-ignore
  octal(entry.mode & 0o777, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(entry.size, 124, 12);
  octal(entry.mtimeMs / 1000, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(entry.type, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1'); // prettier-ignore
  return fits ? block : Buffer.concat([extended(entry), block]);
}

function extended(entry: Entry): Buffer {
  const records = Buffer.from(`${record('path', entry.name)}${record('size', String(entry.size))}`);
  const own = head({ name: 'pax', size: records.length, mode: 0o644, mtimeMs: 0, type: 'x' });
  return Buffer.concat([own, records, padding(records.length)]);
}

/** `length key=value`, whose length counts itself. */
function record(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}
