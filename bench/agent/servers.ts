/** The two agent servers, each started as its users start it, on loopback with folders of its own. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../process/root.js';
import { freePorts } from '../../test/support/stack.js';

export type Kind = 'sandlot' | 'original';
export interface Running {
  url: string;
  dir: string;
  /** From the start of the process to the first 200 of `/ready`. */
  readyMs: number;
  /** Megabytes of the process and its children. */
  rss(): number;
  stop(): Promise<void>;
}

export const KEY = 'bench-key';
const VERSION = '1.58.0';
const READY_MS = 120_000;

/** The original, installed once; undefined where no Python 3.12 or 3.13 is. */
export function installOriginal(): string | undefined {
  const venv = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), `sandlot-agent-server-${VERSION}`);
  const program = join(venv, 'bin/python');
  if (existsSync(join(venv, 'complete'))) return program;
  const python = ['python3.13', 'python3.12', join(homedir(), '.pyenv/versions/3.13.0/bin/python')].find(works);
  if (python === undefined) return undefined;
  const packages = ['agent-server', 'sdk', 'tools'].map((name) => `openhands-${name}==${VERSION}`);
  execFileSync(python, ['-m', 'venv', venv]);
  execFileSync(program, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...packages], {
    stdio: 'inherit',
  });
  mkdirSync(join(venv, 'complete'));
  return program;
}

function works(python: string): boolean {
  try {
    execFileSync(python, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** `prepare` fills the data folder before the start. */
export async function start(
  kind: Kind,
  python: string | undefined,
  prepare?: (dir: string) => Promise<void>,
): Promise<Running> {
  const dir = mkdtempSync(join(tmpdir(), `bench-agent-${kind}-`));
  await prepare?.(dir);
  const [port = 0] = await freePorts();
  const begin = performance.now();
  const child = spawn(...command(kind, python, port), { cwd: dir, env: environment(dir, port), stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  await ready(child, url);
  return {
    url,
    dir,
    readyMs: performance.now() - begin,
    rss: () => residentOf(child.pid ?? 0),
    stop: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

const command = (kind: Kind, python: string | undefined, port: number): [string, string[]] =>
  kind === 'sandlot'
    ? [process.execPath, [join(packageRoot(), 'bin/sandlot.js'), 'agent-server']]
    : [python ?? '', ['-m', 'openhands.agent_server', '--host', '127.0.0.1', '--port', String(port)]];

const environment = (dir: string, port: number): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  HOME: dir,
  HOST: '127.0.0.1',
  PORT: String(port),
  OH_SESSION_API_KEYS_0: KEY,
  OH_SECRET_KEY: 'bench-secret',
  OH_CONVERSATIONS_PATH: join(dir, 'conversations'),
  OH_BASH_EVENTS_DIR: join(dir, 'bash'),
  OH_PERSISTENCE_DIR: join(dir, 'persistence'),
  OH_ENABLE_VSCODE: 'false',
  OH_MAX_CONCURRENT_RUNS: '32',
  OH_ENABLE_VNC: 'false',
  SANDLOT_WORKSPACE_ROOT: join(dir, 'workspace'),
  LITELLM_LOCAL_MODEL_COST_MAP: 'True',
  OPENHANDS_SUPPRESS_BANNER: '1',
  LOG_LEVEL: 'error',
});

async function ready(child: ChildProcess, url: string): Promise<void> {
  for (const end = Date.now() + READY_MS; Date.now() < end;) {
    if (child.exitCode !== null) throw new Error(`the server at ${url} ended with ${child.exitCode}`);
    if (
      await fetch(`${url}/ready`).then(
        (answer) => answer.ok,
        () => false,
      )
    )
      return;
    await sleep(10);
  }
  throw new Error(`the server at ${url} was not ready in time`);
}

/** Resident megabytes of a process and all below it. */
function residentOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const own = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  return children.reduce((sum, child) => sum + residentOf(Number(child)), own);
}
