/** What a person at the terminal is told when `sandlot up` cannot start. Pure. */
import { ConfigError } from '../../process/config.js';
import { DataFolderError } from '../api/disk.js';
import { FolderProblem } from './dataFolder.js';
import type { UpOptions } from './options.js';
import { PortTaken } from './ports.js';
import { ProgramFailed } from './programs.js';

/** One or two lines that say what to do; anything unforeseen keeps its stack. */
export function explain(error: unknown, options: Pick<UpOptions, 'dataDir'>): string {
  if (error instanceof FolderProblem || error instanceof PortTaken || error instanceof DataFolderError)
    return error.message;
  if (error instanceof ConfigError) return error.message;
  if (isDiskFull(error))
    return `the disk of ${options.dataDir} is full: make room, or choose another folder with --data`;
  if (error instanceof ProgramFailed)
    return `${error.message}. Its last words:\n\n${error.output.trim()}\n\nMore in ${options.dataDir}/logs/${error.program}.log`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Programs and libraries say it in their own words, deep in a cause or in what they wrote last. */
function isDiskFull(error: unknown): boolean {
  if (error instanceof ProgramFailed) return /\bENOSPC\b|no space left on device/i.test(error.output);
  for (let at = error; at instanceof Error; at = at.cause)
    if (/\bENOSPC\b|no space left on device/i.test(`${(at as NodeJS.ErrnoException).code ?? ''} ${at.message}`))
      return true;
  return false;
}
