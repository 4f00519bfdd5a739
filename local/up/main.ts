import { relative } from 'node:path';
import { systemClock } from '../../process/clock.js';
import { version } from '../../process/root.js';
import { clusterId } from '../node/node.js';
import { killAll } from '../node/processes.js';
import { FolderProblem, openDataFolder, type DataFolder } from './dataFolder.js';
import { explain } from './explain.js';
import { parseOptions, UsageError, usage, type UpOptions } from './options.js';
import { startUp, type Up } from './up.js';

export { usage };

const STOP_MS = 25_000;

/** Runs until Ctrl-C; ends the process. Exit codes: 0 asked to stop, 1 failure, 2 wrong command line. */
export async function main(env: NodeJS.ProcessEnv, argv: string[]): Promise<void> {
  let options: UpOptions;
  try {
    options = parseOptions(argv, process.cwd());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n\n${usage}`);
    process.exit(2);
  }
  try {
    await run(options, env);
  } catch (error) {
    process.stderr.write(`${explain(error, options)}\n`);
    process.exit(1);
  }
}

async function run(options: UpOptions, env: NodeJS.ProcessEnv): Promise<void> {
  const folder = await openPatiently(options.dataDir);
  const stopped = whenToldToStop();
  let up: Up | undefined;
  try {
    up = await startUp(options, folder, env);
    const first = await Promise.race([stopped, up.ready.then(() => 'ready')]);
    if (first === 'ready') {
      process.stdout.write(banner(options, up));
      await stopped;
    }
    process.stdout.write('\nStopping …\n');
    setTimeout(() => void hardStop(options.dataDir), STOP_MS).unref();
    process.once('SIGINT', () => void hardStop(options.dataDir));
  } finally {
    await up?.stop();
    folder.unlock();
  }
  process.exit(0);
}

const LOCK_TRIES = 8;

/** A run that was killed a moment ago may still be going. */
async function openPatiently(path: string): Promise<DataFolder> {
  for (let tries = 1; ; tries++) {
    try {
      return openDataFolder(path);
    } catch (error) {
      if (!(error instanceof FolderProblem) || !error.inUse || tries === LOCK_TRIES) throw error;
      await systemClock.sleep(150);
    }
  }
}

function whenToldToStop(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve(signal));
  });
}

/** No time left, or a second Ctrl-C: everything ends at once. */
async function hardStop(dataDir: string): Promise<void> {
  await killAll({ markPrefix: `${await clusterId(dataDir)}/`, leaders: [] }, (ms) => systemClock.sleep(ms));
  process.exit(1);
}

function banner(options: UpOptions, { kubeconfig }: Up): string {
  const file = relative(process.cwd(), kubeconfig);
  const shown = file.startsWith('..') ? kubeconfig : file;
  const url = `http://localhost:${options.port}`;
  return `
  Sandlot ${version()} runs on this machine.

  UI           ${url}
  kubeconfig   ${shown}
  logs         ${shown.replace(/kubeconfig$/, 'logs')}

  try          curl -s ${url}/api/v1/app-conversations/search
               kubectl --kubeconfig ${shown} get sandboxes,pods -w

  Sandboxes run as processes of your user, without isolation: use it for development, demos and tests.
  Ctrl-C stops everything; the next start finds your conversations.
`;
}
