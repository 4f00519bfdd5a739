/** Bounded log files of the programs: when one is full it becomes `.1`, and an older one goes. */
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

const MAX_BYTES = 20 * 1024 * 1024;

export interface LogFiles {
  write(name: string, text: string | Buffer): void;
  /** Writes what the stream says until it ends. */
  take(name: string, stream: Readable): void;
}

export function openLogFiles(folder: string, maxBytes = MAX_BYTES): LogFiles {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const sizes = new Map<string, number>();
  const write = (name: string, text: string | Buffer): void => {
    const file = join(folder, `${name}.log`);
    try {
      const size = sizes.get(name) ?? sizeOf(file);
      const rotate = size > 0 && size + text.length > maxBytes;
      if (rotate) renameSync(file, `${file}.1`);
      appendFileSync(file, text, { mode: 0o600 });
      sizes.set(name, (rotate ? 0 : size) + text.length);
    } catch {
      // A full disk must not stop the programs.
    }
  };
  return {
    write,
    take: (name, stream) => void stream.on('data', (chunk: Buffer) => write(name, chunk)),
  };
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0;
  }
}
