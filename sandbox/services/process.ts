/** A shell command as a process group of its own: output in pieces, a time-out, a way to stop it. */
import { spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';

export interface ShellResult {
  /** -1 timed out or not started; minus the signal's number when stopped. */
  exitCode: number;
  stdout: string;
  stderr: string;
}
export interface ShellOptions {
  command: string;
  cwd: string;
  env: Record<string, string>;
  timeoutMs: number;
  chunkBytes: number;
  /** Gets output as soon as `chunkBytes` of it wait; the command is held up while a promise of it is open. The rest comes with the result. */
  onChunk: (chunk: { stdout: string; stderr: string }) => void | Promise<void>;
}
export interface ShellProcess {
  result: Promise<ShellResult>;
  stop(): void;
}

const KILL_AFTER_MS = 2000;
/** A command that left a process behind may keep the pipes open; its own end is what counts. */
const LINGER_MS = 250;
const SIGNALS: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGPIPE: 13, SIGTERM: 15 };

/** Starts `bash -c command`. Never throws: a missing folder or shell is a result with exit code -1. */
export function runShell(options: ShellOptions): ShellProcess {
  let stop: () => void = () => undefined;
  const result = new Promise<ShellResult>((resolve) => {
    const child = spawn('bash', ['-c', options.command], {
      cwd: options.cwd,
      env: options.env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = collect(options);
    let timedOut = false;
    let ended = false;
    const kill = (signal: NodeJS.Signals) => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, signal);
      } catch {
        // The whole group is gone already.
      }
    };
    stop = () => {
      kill('SIGTERM');
      setTimeout(() => ended || kill('SIGKILL'), KILL_AFTER_MS).unref();
    };
    const timer = setTimeout(() => {
      timedOut = true;
      stop();
    }, options.timeoutMs);
    let exited: number | undefined;
    let lingering: NodeJS.Timeout | undefined;
    const end = (exitCode: number) => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      clearTimeout(lingering);
      resolve({ exitCode: timedOut ? -1 : exitCode, ...output.rest() });
    };
    /** After the command's end: waits for output that is on its way, not for processes that it left behind. */
    const linger = () => {
      if (exited === undefined) return;
      clearTimeout(lingering);
      lingering = setTimeout(() => end(exited ?? -1), LINGER_MS);
    };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].on('data', (data: Buffer) => {
        // A process that was left behind goes on; closing its pipe would end it at its next word.
        if (ended) return;
        const taken = output.add(name, data);
        if (taken === undefined) return linger();
        clearTimeout(lingering);
        for (const stream of [child.stdout, child.stderr]) stream.pause();
        const goOn = () => {
          for (const stream of [child.stdout, child.stderr]) stream.resume();
          linger();
        };
        void taken.then(goOn, goOn);
      });
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT' ? `[Errno 2] No such file or directory: '${options.cwd}'` : error.message;
      void output.add('stderr', Buffer.from(`Error executing command: ${missing}`));
      end(-1);
    });
    const codeOf = (code: number | null, signal: NodeJS.Signals | null) => code ?? -(SIGNALS[signal ?? ''] ?? 1);
    child.on('close', (code, signal) => end(codeOf(code, signal)));
    child.on('exit', (code, signal) => {
      exited = codeOf(code, signal);
      linger();
    });
  });
  return { result, stop: () => stop() };
}

function collect(options: Pick<ShellOptions, 'chunkBytes' | 'onChunk'>): {
  add(stream: 'stdout' | 'stderr', data: Buffer): Promise<void> | undefined;
  rest(): { stdout: string; stderr: string };
} {
  const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };
  const waiting = { stdout: createBytes(), stderr: createBytes() };
  let bytes = 0;
  const take = () => {
    bytes = 0;
    const text = (stream: 'stdout' | 'stderr') => decoders[stream].write(waiting[stream].take());
    return { stdout: text('stdout'), stderr: text('stderr') };
  };
  return {
    add(stream, data) {
      waiting[stream].add(data);
      bytes += data.length;
      if (bytes < options.chunkBytes) return undefined;
      const taken = options.onChunk(take());
      return taken instanceof Promise ? taken : undefined;
    },
    rest() {
      const { stdout, stderr } = take();
      return { stdout: stdout + decoders.stdout.end(), stderr: stderr + decoders.stderr.end() };
    },
  };
}

/** Bytes that add up in one place, which is used again: neither a copy for each piece, nor a piece of memory for each byte. */
function createBytes(): { add(data: Buffer): void; take(): Buffer } {
  let buffer = Buffer.alloc(0);
  let length = 0;
  return {
    add(data) {
      if (length + data.length > buffer.length) {
        const larger = Buffer.allocUnsafe(Math.max(4096, 2 * buffer.length, length + data.length));
        buffer.copy(larger, 0, 0, length);
        buffer = larger;
      }
      data.copy(buffer, length);
      length += data.length;
    },
    /** Good until the next piece. */
    take() {
      const taken = buffer.subarray(0, length);
      length = 0;
      return taken;
    },
  };
}
