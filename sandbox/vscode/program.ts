/** The VS Code server as a process: started when somebody needs it, on a socket file that only this user may open. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../process/log.js';
import type { VscodeBinary } from './binary.js';

export interface Program {
  /** The socket file of a server that listens; starts it when none does. Throws when it cannot. */
  ready(): Promise<string>;
  readonly running: boolean;
  close(): Promise<void>;
}

export interface ProgramOptions {
  find(): Promise<VscodeBinary | undefined>;
  /** Folder for settings and extensions. */
  data(): string;
  env(): Record<string, string>;
  log: Logger;
}

const READY_MS = 30_000;
const POLL_MS = 50;
const STOP_MS = 3000;
const KEPT_OUTPUT = 2000;
/** Addresses of sockets have 104 bytes on some systems, and VS Code makes names of 50 in the folder. */
const MAX_FOLDER = 40;

interface Running {
  child: ChildProcess;
  folder: string;
  socket: string;
  said: string;
}

export function createProgram(options: ProgramOptions): Program {
  let running: Running | undefined;
  let starting: Promise<string> | undefined;
  let closing = false;

  const start = async (): Promise<string> => {
    const binary = await options.find();
    if (binary === undefined) throw new Error('VS Code is not installed');
    const started = await launch(binary, options);
    running = started;
    const gone = (why: object) => {
      if (running === started) running = undefined;
      void rm(started.folder, { recursive: true, force: true }).catch(() => undefined);
      if (!closing) options.log.warn({ ...why, said: started.said }, 'VS Code ended; the next request starts it again');
    };
    started.child.once('exit', (code, signal) => gone({ code, signal }));
    started.child.once('error', (error) => gone({ err: error }));
    if (closing) started.child.kill('SIGKILL');
    await listening(started);
    return started.socket;
  };

  return {
    get running() {
      return running !== undefined && starting === undefined;
    },
    ready() {
      if (closing) return Promise.reject(new Error('The sandbox is being stopped'));
      if (running !== undefined && starting === undefined) return Promise.resolve(running.socket);
      return (starting ??= start().finally(() => (starting = undefined)));
    },
    async close() {
      closing = true;
      await starting?.catch(() => undefined);
      const child = running?.child;
      if (child === undefined) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

async function launch(binary: VscodeBinary, { data, env }: ProgramOptions): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir().length <= MAX_FOLDER ? tmpdir() : '/tmp', 'vscode-'));
  const socket = join(folder, 'socket');
  await writeSettings(data());
  const [file = '', ...first] = binary.command;
  const child = spawn(file, [...first, ...binary.args({ socket, data: data() })], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Prompts show the end of the folder: where pods are processes it lies deep.
    env: { PROMPT_DIRTRIM: '2', ...cleanEnvironment(env()), XDG_RUNTIME_DIR: folder },
  });
  const started: Running = { child, folder, socket, said: '' };
  const keep = (bytes: Buffer) => (started.said = (started.said + bytes.toString()).slice(-KEPT_OUTPUT));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  return started;
}

/** Settings to begin with; a file that is there is the user's. */
const SETTINGS = {
  'workbench.startupEditor': 'none',
  'remote.autoForwardPorts': false,
  'telemetry.telemetryLevel': 'off',
};

async function writeSettings(data: string): Promise<void> {
  const folder = join(data, 'Machine');
  await mkdir(folder, { recursive: true });
  const text = `${JSON.stringify(SETTINGS, undefined, 2)}\n`;
  await writeFile(join(folder, 'settings.json'), text, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

/** A server that was started from a terminal of another VS Code must not take itself for a part of that. */
const cleanEnvironment = (env: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !/^(?:VSCODE_|ELECTRON_|CODE_SERVER_|PORT$)/.test(name)));

async function listening(started: Running): Promise<void> {
  const { child, socket } = started;
  const end = Date.now() + READY_MS;
  while (child.exitCode === null && child.signalCode === null && child.pid !== undefined && Date.now() < end) {
    if (await answers(socket)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  child.kill('SIGKILL');
  const last = started.said.trim().split('\n').at(-1) ?? '';
  throw new Error(`VS Code did not start${last === '' ? '' : `: ${last}`}`);
}

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
