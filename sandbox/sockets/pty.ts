/** A shell on a pseudo-terminal, as bytes. */
import { createRequire } from 'node:module';
import type { IPty, spawn } from '@lydell/node-pty';
import { findShell } from '../tools/terminal/channel.js';
import { endProcesses } from '../tools/terminal/processes.js';

export interface Size {
  cols: number;
  rows: number;
}

export interface Shell {
  readonly pid: number;
  /** Bytes that were written and that no program has read yet. */
  readonly unread: number;
  write(bytes: Buffer): void;
  /** Calls back once what was written has been taken. */
  onceRead(listener: () => void): void;
  resize(size: Size): void;
  pause(): void;
  resume(): void;
  onData(listener: (bytes: Buffer) => void): void;
  onExit(listener: (code: number) => void): void;
  /** Ends the shell and every process of its session; what was started by setsid goes on. Bounded in time. */
  end(): Promise<void>;
}

/** No pseudo-terminal can be had on this machine; the message says why. */
export class NoPtyError extends Error {
  override readonly name = 'NoPtyError';
}

/** What the package keeps to itself: the stream of the pseudo-terminal. */
interface WithStream {
  _socket: { writableLength: number; once(event: 'drain', listener: () => void): unknown };
}

/** No process carries it: the end of a shell spares what was started to outlive it. */
const NO_MARK = '-';

export interface ShellOptions extends Size {
  cwd: string;
  env: Record<string, string>;
}

/** @throws NoPtyError */
export function openShell({ cwd, env, cols, rows }: ShellOptions): Shell {
  const { file } = findShell(env['PATH'] ?? '');
  const pty = start(file, {
    name: 'xterm-256color',
    cols,
    rows,
    cwd,
    env: shellEnvironment(env, file),
    encoding: null,
  });
  const stream = (pty as unknown as WithStream)._socket;
  let ended = false;
  pty.onExit(() => (ended = true));
  return {
    pid: pty.pid,
    get unread() {
      return stream.writableLength;
    },
    write: (bytes) => {
      if (!ended) pty.write(bytes as unknown as string);
    },
    onceRead: (listener) => void stream.once('drain', listener),
    resize: ({ cols: width, rows: height }) => {
      if (!ended) pty.resize(width, height);
    },
    pause: () => pty.pause(),
    resume: () => pty.resume(),
    onData: (listener) => void pty.onData((data) => listener(data as unknown as Buffer)),
    onExit: (listener) => void pty.onExit(({ exitCode, signal }) => listener(signal ? 128 + signal : exitCode)),
    end: () => (ended ? Promise.resolve() : endProcesses(pty.pid, NO_MARK)),
  };
}

function start(file: string, options: Parameters<typeof spawn>[2]): IPty {
  try {
    const module = createRequire(import.meta.url)('@lydell/node-pty') as { spawn: typeof spawn };
    return module.spawn(file, [], options);
  } catch (error) {
    throw new NoPtyError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** What a person's shell has beside the tools' variables. Not a login shell: /etc/profile would throw PATH away. */
const shellEnvironment = (env: Record<string, string>, file: string): Record<string, string> => ({
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  // The workspace lies deep where pods are processes; the prompt shows its end.
  PROMPT_DIRTRIM: '2',
  ...env,
  SHELL: file,
  TERM: 'xterm-256color',
  COLORTERM: 'truecolor',
});
