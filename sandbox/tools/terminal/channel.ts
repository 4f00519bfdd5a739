/** A shell process and the way to talk to it: a pseudo-terminal where its native module loads, pipes elsewhere. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { StringDecoder } from 'node:string_decoder';

export interface Channel {
  pid: number;
  /** False on pipes: no job control, and programs see no terminal. */
  pty: boolean;
  write(data: string): void;
  onData(listener: (chunk: string) => void): void;
  onExit(listener: (code: number) => void): void;
  pause(): void;
  resume(): void;
}

interface PtyModule {
  spawn(
    file: string,
    args: string[],
    options: { name: string; cols: number; rows: number; cwd: string; env: Record<string, string> },
  ): {
    pid: number;
    write(data: string): void;
    onData(listener: (chunk: string) => void): unknown;
    onExit(listener: (exit: { exitCode: number; signal?: number }) => void): unknown;
    pause(): void;
    resume(): void;
  };
}

let loaded: PtyModule | null | undefined;
function ptyModule(): PtyModule | null {
  if (loaded !== undefined) return loaded;
  try {
    loaded = createRequire(import.meta.url)('@lydell/node-pty') as PtyModule;
  } catch {
    loaded = null;
  }
  return loaded;
}

/** Bash if the machine has it, else sh. */
export function findShell(path: string): { file: string; bash: boolean } {
  const folders = [...path.split(':'), '/bin', '/usr/bin', '/usr/local/bin'].filter((folder) => folder.startsWith('/'));
  const bash = folders.map((folder) => `${folder}/bash`).find((file) => existsSync(file));
  return bash === undefined ? { file: '/bin/sh', bash: false } : { file: bash, bash: true };
}

export interface ChannelOptions {
  file: string;
  args: string[];
  cwd: string;
  env: Record<string, string>;
  /** 'pipe' is for tests and for machines without the native module. */
  prefer?: 'pty' | 'pipe';
}

export function openChannel(options: ChannelOptions): Channel {
  const module = options.prefer === 'pipe' ? null : ptyModule();
  return module === null ? openPipes(options) : openPty(module, options);
}

function openPty(module: PtyModule, { file, args, cwd, env }: ChannelOptions): Channel {
  const pty = module.spawn(file, args, { name: 'xterm-256color', cols: 200, rows: 50, cwd, env });
  return {
    pid: pty.pid,
    pty: true,
    write: (data) => pty.write(data),
    onData: (listener) => void pty.onData(listener),
    onExit: (listener) => void pty.onExit(({ exitCode, signal }) => listener(signal ? 128 + signal : exitCode)),
    pause: () => pty.pause(),
    resume: () => pty.resume(),
  };
}

/** One pipe for both outputs, so that their order is kept; a process group of its own, so that it can be ended whole. */
function openPipes({ file, args, cwd, env }: ChannelOptions): Channel {
  const child = spawn('/bin/sh', ['-c', 'exec "$0" "$@" 2>&1', file, ...args], {
    cwd,
    env,
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const decoder = new StringDecoder('utf8');
  child.stdin.on('error', () => undefined);
  return {
    pid: child.pid ?? -1,
    pty: false,
    write: (data) => {
      // Without a terminal nobody turns Ctrl-C into a signal; the interactive shell itself outlives it.
      if (data === '\u0003' && child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
      else child.stdin.write(data);
    },
    onData: (listener) => void child.stdout.on('data', (chunk: Buffer) => listener(decoder.write(chunk))),
    onExit: (listener) => {
      child.on('error', () => listener(127));
      child.on('close', (code, signal) => listener(code ?? (signal === null ? 1 : 137)));
    },
    pause: () => void child.stdout.pause(),
    resume: () => void child.stdout.resume(),
  };
}
