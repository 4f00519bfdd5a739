/** Archives in a folder of this machine. */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import type { ArchiveStore } from './store.js';

const PART = '.part';

export function folderStore(url: URL): ArchiveStore {
  const root = fileURLToPath(url);
  const pathOf = (key: string) => join(root, ...key.split('/'));
  return {
    async put(key, content) {
      const path = pathOf(key);
      const part = `${path}.${randomUUID()}${PART}`;
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      try {
        await pipeline(content, createWriteStream(part, { mode: 0o600, flush: true }));
        await rename(part, path);
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
    },
    async get(key) {
      const file = await open(pathOf(key)).catch(missing);
      return file === undefined ? undefined : createReadStream('', { fd: file });
    },
    async *list() {
      const names = (await readdir(root, { recursive: true }).catch(missing)) ?? [];
      for (const name of names) {
        const found = await stat(join(root, name)).catch(missing);
        if (found?.isFile() === true) yield { key: name, at: found.mtime };
      }
    },
    remove: (key) => rm(pathOf(key), { force: true }),
    close: () => Promise.resolve(),
  };
}

function missing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
}
