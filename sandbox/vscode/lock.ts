/**
 * One installation at a time on a machine: a lock file that its holder keeps fresh, with how far it is, so that the
 * other sandboxes of the machine show the same progress. A holder that was killed lets it go stale.
 */
import { mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';

export interface Progress {
  percent: number;
  message: string;
}

export interface Lock {
  /** Writes down how far it is. */
  report(progress: Progress): Promise<void>;
  release(): Promise<void>;
}

const BEAT_MS = 2000;
const STALE_MS = 15_000;
const progressSchema = z.object({ percent: z.number(), message: z.string().max(1000) });

/** Undefined when another holds it. Two that meet at a stale lock may both get one: what they do must bear that. */
export async function takeLock(path: string): Promise<Lock | undefined> {
  await mkdir(dirname(path), { recursive: true });
  if ((await readLock(path)) === undefined) await rm(path, { force: true });
  const report = (progress: Progress, flag = 'w') => writeFile(path, JSON.stringify(progress), { flag });
  try {
    await report({ percent: 0, message: '' }, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
  const beat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), BEAT_MS).unref();
  return {
    report: (progress) => report(progress),
    async release() {
      clearInterval(beat);
      await rm(path, { force: true });
    },
  };
}

/** How far the holder is; undefined when nobody holds the lock. */
export async function readLock(path: string): Promise<Progress | undefined> {
  try {
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > STALE_MS) return undefined;
    const parsed = progressSchema.safeParse(jsonOf(await readFile(path, 'utf8')));
    return parsed.success ? parsed.data : { percent: 0, message: '' };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Read while it was being written.
    return undefined;
  }
}
