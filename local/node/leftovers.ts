/** What an earlier run left when it was killed: processes (by mark, and by what was written down of them). */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { killAll, listProcesses, membersOf } from './processes.js';
import type { ProcessRecord } from './spawn.js';

/**
 * Ends every process that an earlier run of this cluster left. A pid that was written down counts only when the process has
 * the start time that was written with it: pids are used again.
 */
export async function endLeftovers(
  options: { mark: string; folder: string },
  sleep: (ms: number) => Promise<void>,
): Promise<{ ended: number; stubborn: number[] }> {
  const records = await readRecords(options.folder);
  const running = new Map((await listProcesses()).map((info) => [info.pid, info.started]));
  const leaders = records.filter(({ pid, started }) => running.get(pid) === started).map(({ pid }) => pid);
  const belonging = { markPrefix: `${options.mark}/`, leaders };
  const found = (await membersOf(belonging)).length;
  const stubborn = found === 0 ? [] : await killAll(belonging, sleep);
  await rm(options.folder, { recursive: true, force: true });
  return { ended: found - stubborn.length, stubborn };
}

async function readRecords(folder: string): Promise<ProcessRecord[]> {
  const names = await readdir(folder).catch(() => []);
  const records = await Promise.all(
    names.map(async (name) => {
      try {
        return JSON.parse(await readFile(join(folder, name), 'utf8')) as ProcessRecord;
      } catch {
        // Half-written when the node was killed; the mark finds the process.
        return undefined;
      }
    }),
  );
  return records.filter((record) => record !== undefined);
}
