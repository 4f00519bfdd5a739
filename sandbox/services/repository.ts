import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import type { Logger } from '../../process/log.js';
import { ensureFolder } from '../conversations/record.js';

/** Makes the folder that an agent works in; with `git`, an empty one becomes a repository, so that changes can be shown. */
export async function prepareWorkspace(folder: string, options: { git: boolean; log: Logger }): Promise<void> {
  await ensureFolder(folder);
  if (!options.git) return;
  if ((await readdir(folder)).length > 0) return;
  await new Promise<void>((resolve) => {
    execFile('git', ['init', '--quiet', '--initial-branch=main'], { cwd: folder, timeout: 10_000 }, (error) => {
      // Work goes on without git: an image may lack it.
      if (error !== null) options.log.warn({ err: error }, 'git init failed');
      resolve();
    });
  });
}
