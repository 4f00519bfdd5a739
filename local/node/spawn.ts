/** Starts one process of a container: own session and group, a clean environment, its outputs as pipes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { listProcesses, parseStat, type ProcessInfo } from './processes.js';

export interface Started {
  child: ChildProcess;
  pid: number;
  /** Resolves when the process itself has ended; its children may live on and hold the pipes. */
  exited: Promise<{ exitCode: number; signal?: number }>;
}

/** The program is not there or cannot be run. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

export interface Command {
  argv: readonly string[];
  cwd: string;
  env: Record<string, string>;
  stdin?: boolean;
}

/** @throws StartError */
export async function startProcess({ argv, cwd, env, stdin = false }: Command): Promise<Started> {
  const [file, ...args] = argv;
  if (file === undefined || file === '') throw new StartError('no command specified');
  let child: ChildProcess;
  try {
    child = spawn(file, args, { cwd, env, detached: true, stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'] });
  } catch (cause) {
    throw new StartError(`cannot start ${JSON.stringify(file)}`, { cause });
  }
  const exited = new Promise<{ exitCode: number; signal?: number }>((resolve) => {
    child.once('exit', (code, signal) => resolve(exitOf(code, signal)));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause: NodeJS.ErrnoException) =>
      reject(new StartError(startFailure(file, cwd, cause.code), { cause })),
    );
  });
  return { child, pid: child.pid ?? 0, exited };
}

const startFailure = (file: string, cwd: string, code: string | undefined): string =>
  code === 'ENOENT'
    ? `exec: ${JSON.stringify(file)}: executable file not found in $PATH (or no folder ${cwd})`
    : `exec: ${JSON.stringify(file)}: ${code ?? 'failed'}`;

/** As a shell and a container runtime count: 128 + signal. */
export function exitOf(code: number | null, signal: NodeJS.Signals | null): { exitCode: number; signal?: number } {
  if (signal === null) return { exitCode: code ?? 0 };
  const number = constants.signals[signal];
  return { exitCode: 128 + number, signal: number };
}

/** What is written down of each started process, so that a node that was killed finds what it left. */
export interface ProcessRecord {
  pid: number;
  started: string;
  mark: string;
}

export interface ProcessBook {
  add(pid: number, mark: string): Promise<void>;
  remove(pid: number): Promise<void>;
}

export function createProcessBook(folder: string): ProcessBook {
  return {
    async add(pid, mark) {
      const started = (await infoOf(pid))?.started;
      if (started === undefined) return;
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, String(pid)), JSON.stringify({ pid, started, mark } satisfies ProcessRecord));
    },
    remove: (pid) => rm(join(folder, String(pid)), { force: true }),
  };
}

async function infoOf(pid: number): Promise<ProcessInfo | undefined> {
  if (process.platform !== 'linux') return (await listProcesses()).find((info) => info.pid === pid);
  try {
    return parseStat(await readFile(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}
