/** Files that are open only while somebody uses them or lately did: thousands of logs need few descriptors. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

export interface PooledFile {
  /** Calls `work` with the open file. Rejects when the file cannot be opened (it is not made anew) or the pool's file was closed. */
  use<T>(work: (file: FileHandle) => Promise<T>): Promise<T>;
  /** Waits for those who use it. */
  close(): Promise<void>;
}

export interface FilePool {
  /** Takes an open file over, for reading and appending. `onIdle` is called when it is closed for the sake of others. */
  add(path: string, file: FileHandle, onIdle: () => void): PooledFile;
  readonly open: number;
}

interface Entry {
  handle: Promise<FileHandle> | undefined;
  users: number;
  onIdle: () => void;
}

const REOPEN = constants.O_RDWR | constants.O_APPEND;

/** `limit`: descriptors that stay open when nobody uses them. */
export function createFilePool(limit: number): FilePool {
  /** In the order of their last use. */
  const opened = new Set<Entry>();
  const shut = async (entry: Entry) => {
    const { handle } = entry;
    entry.handle = undefined;
    opened.delete(entry);
    await (await handle)?.close();
  };
  const trim = () => {
    for (const entry of opened) {
      if (opened.size <= limit) return;
      if (entry.users > 0) continue;
      // What was written is with the system already; closing can tell nothing that a write did not.
      shut(entry).catch(() => undefined);
      entry.onIdle();
    }
  };
  return {
    get open() {
      return opened.size;
    },
    add(path, file, onIdle) {
      const entry: Entry = { handle: Promise.resolve(file), users: 0, onIdle };
      let closed = false;
      let free: (() => void) | undefined;
      opened.add(entry);
      trim();
      return {
        async use(work) {
          if (closed) throw new Error('the file is closed');
          entry.users++;
          opened.delete(entry);
          opened.add(entry);
          try {
            entry.handle ??= open(path, REOPEN);
            const handle = await entry.handle.catch((error: unknown) => {
              entry.handle = undefined;
              opened.delete(entry);
              throw error;
            });
            return await work(handle);
          } finally {
            entry.users--;
            if (entry.users === 0) free?.();
            trim();
          }
        },
        async close() {
          closed = true;
          if (entry.users > 0) await new Promise<void>((resolve) => (free = resolve));
          await shut(entry);
        },
      };
    },
  };
}
