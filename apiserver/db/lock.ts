/**
 * One process at a time in an embedded database's folder: two would both believe that their writes are stored, and lose
 * them. A file names the process; one that died (also by kill -9, also when its number was given to another) does not count.
 */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError';
  constructor(
    readonly folder: string,
    readonly pid: number,
  ) {
    super(`${folder} is in use by process ${pid}: stop that Sandlot first, or give this one another folder`);
  }
}

interface Holder {
  pid: number;
  /** When that process started, where the system tells; guards against a number used again. */
  started: string | null;
}

/** Takes the folder (made when missing) and answers how to give it back. Throws FolderInUseError. */
export function lockFolder(folder: string): () => void {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'lock');
  const mine: Holder = { pid: process.pid, started: startOf(process.pid) };
  const own = join(folder, `lock.${process.pid}`);
  writeFileSync(own, JSON.stringify(mine));
  try {
    // Twice: a lock of a dead process is cleared first.
    if (!link(own, file)) {
      clearIfDead(folder, file);
      if (!link(own, file)) throw new FolderInUseError(folder, holderOf(file)?.pid ?? 0);
    }
  } finally {
    rmSync(own, { force: true });
  }
  return () => {
    if (holderOf(file)?.pid === process.pid) rmSync(file, { force: true });
  };
}

/** link() fails when the target exists, atomically, and shows the file complete or not at all. */
function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function clearIfDead(folder: string, file: string): void {
  const holder = holderOf(file);
  if (holder !== undefined && alive(holder)) throw new FolderInUseError(folder, holder.pid);
  const aside = join(folder, `lock.dead.${process.pid}`);
  try {
    renameSync(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  // Between reading and renaming, another process may have cleared the dead one's lock and put its own: give that back.
  const taken = holderOf(aside);
  if (taken !== undefined && alive(taken)) link(aside, file);
  rmSync(aside, { force: true });
}

function holderOf(file: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Holder;
  } catch {
    // Gone meanwhile, or no lock of ours.
    return undefined;
  }
}

function alive({ pid, started }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = startOf(pid);
  return started === null || now === null || now === started;
}

const ZOMBIE = 'Z';

/**
 * Start time of a process in ticks since boot (field 22 of /proc/<pid>/stat); null where there is no /proc. A process that has
 * ended and only waits for its parent to notice has none (`ended`).
 */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold blanks; the fields after it do not.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === ZOMBIE ? 'ended' : (fields[19] ?? null);
  } catch {
    return null;
  }
}
