/** exec and attach over WebSocket channels: 0 stdin, 1 stdout, 2 stderr, 3 status, 4 terminal size; 255 closes one (v5). */
import type { Readable } from 'node:stream';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import type { PodStreamRequest } from '../../api/podHandlers.js';
import type { ContainerRunner, Surroundings } from '../container.js';
import { readLog } from '../logs.js';
import { signal as sendSignal } from '../processes.js';
import { rewriteAll } from '../rewrite.js';
import { startProcess, StartError } from '../spawn.js';
import { openWebSocket, sendBounded } from './wire.js';

const PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;
const RESIZE = 4;
const CLOSE = 255;

const sizeSchema = z.object({
  Width: z.number().int().min(1).max(10_000),
  Height: z.number().int().min(1).max(10_000),
});

/** What a client sees at the end; a code other than 0 becomes kubectl's own exit code. */
export function exitStatus(exitCode: number): string {
  if (exitCode === 0) return JSON.stringify({ metadata: {}, status: 'Success' });
  return JSON.stringify({
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  });
}

export const failureStatus = (message: string): string =>
  JSON.stringify({ metadata: {}, status: 'Failure', message, reason: 'InternalError', code: 500 });

interface Input {
  stdin(bytes: Buffer): void | Promise<void>;
  stdinEnd(): void;
  resize(columns: number, rows: number): void;
}

/** Frames from the client, one after the other; `input` comes when the process is there. */
function listen(socket: WebSocket, input: Promise<Input | undefined>): void {
  let queue = Promise.resolve();
  const take = async (frame: Buffer): Promise<void> => {
    const to = await input;
    const payload = frame.subarray(1);
    if (frame[0] === STDIN) {
      socket.pause();
      await to?.stdin(payload);
      socket.resume();
    } else if (frame[0] === CLOSE && payload[0] === STDIN) to?.stdinEnd();
    else if (frame[0] === RESIZE) {
      const size = sizeSchema.safeParse(parsed(payload));
      if (size.success) to?.resize(size.data.Width, size.data.Height);
    }
  };
  socket.on('message', (frame: Buffer) => {
    queue = queue.then(() => take(frame)).catch(() => undefined);
  });
  socket.on('close', () => {
    input.then((to) => to?.stdinEnd()).catch(() => undefined);
  });
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

const frameOf = (channel: number, bytes: Buffer | string): Buffer =>
  Buffer.concat([Buffer.of(channel), Buffer.from(bytes)]);

async function finish(socket: WebSocket, status: string): Promise<void> {
  await sendBounded(socket, frameOf(STATUS, status));
  socket.close(1000);
}

/** Runs the request's command in the container's place. Never rejects. */
export async function exec(stream: PodStreamRequest, around: Surroundings): Promise<void> {
  const { query } = stream;
  const socket = await openWebSocket(stream, PROTOCOLS);
  if (socket === undefined) return;
  const on = (name: string): boolean => ['true', '1'].includes(query.get(name) ?? '');
  const command = { ...around, argv: rewriteAll(query.getAll('command'), around.mounts) };
  try {
    const exitCode = on('tty') ? await withTerminal(socket, command) : await withPipes(socket, command, on('stdin'));
    await finish(socket, exitStatus(exitCode));
  } catch (error) {
    const message = error instanceof StartError ? error.message : 'the command could not be run';
    await finish(socket, failureStatus(message));
  }
}

async function withPipes(socket: WebSocket, command: Surroundings, stdin: boolean): Promise<number> {
  const starting = startProcess({ ...command, stdin });
  const input = starting.then(
    ({ child }): Input => ({
      stdin: (bytes) =>
        new Promise((resolve) => {
          if (child.stdin === null || child.stdin.destroyed) resolve();
          else child.stdin.write(bytes, () => resolve());
        }),
      stdinEnd: () => void child.stdin?.end(),
      resize: () => undefined,
    }),
    () => undefined,
  );
  listen(socket, input);
  const { child, pid, exited } = await starting;
  child.stdin?.on('error', () => undefined);
  const gone = () => void sendSignal(-pid, 'SIGKILL');
  socket.on('close', gone);
  const carry = async (from: Readable | null, channel: number): Promise<void> => {
    for await (const chunk of from ?? []) await sendBounded(socket, frameOf(channel, chunk as Buffer));
  };
  const output = Promise.all([carry(child.stdout, STDOUT), carry(child.stderr, STDERR)]).catch(() => undefined);
  const { exitCode } = await exited;
  socket.off('close', gone);
  // What the command left running may hold the pipes open for ever.
  const late = setTimeout(() => [child.stdout, child.stderr].forEach((from) => from?.destroy()), 500);
  await output;
  clearTimeout(late);
  return exitCode;
}

async function withTerminal(socket: WebSocket, { argv, cwd, env }: Surroundings): Promise<number> {
  const [file = '', ...args] = argv;
  const { spawn } = await import('@lydell/node-pty');
  const terminal = spawn(file, args, { name: 'xterm', cols: 80, rows: 24, cwd, env: { TERM: 'xterm', ...env } });
  listen(
    socket,
    Promise.resolve({
      stdin: (bytes: Buffer) => terminal.write(bytes.toString('utf8')),
      stdinEnd: () => terminal.write('\u0004'),
      resize: (columns: number, rows: number) => terminal.resize(columns, rows),
    }),
  );
  socket.on('close', () => {
    // The terminal is gone, as when a modem hangs up; node-pty throws for a process that has ended.
    try {
      terminal.kill('SIGHUP');
    } catch {
      return;
    }
  });
  terminal.onData((text) => {
    void sendBounded(socket, frameOf(STDOUT, text));
    if (socket.bufferedAmount > 1024 * 1024) {
      terminal.pause();
      const look = setInterval(() => {
        if (socket.readyState === socket.OPEN && socket.bufferedAmount > 0) return;
        clearInterval(look);
        terminal.resume();
      }, 20);
    }
  });
  return await new Promise((resolve) => {
    terminal.onExit(({ exitCode, signal }) => resolve(signal ? 128 + signal : exitCode));
  });
}

/** Shows what the container writes from now on. Input is not taken: its processes have none. */
export async function attach(stream: PodStreamRequest, runner: ContainerRunner): Promise<void> {
  const socket = await openWebSocket(stream, PROTOCOLS);
  if (socket === undefined) return;
  const gone = new AbortController();
  socket.on('close', () => gone.abort());
  const writer = runner.writer();
  const query = { follow: true, timestamps: false, tailLines: 0 };
  try {
    if (writer !== undefined)
      for await (const text of readLog(writer.path, query, { writer, signal: gone.signal }))
        await sendBounded(socket, frameOf(STDOUT, text));
    const { state } = runner.facts();
    await finish(socket, exitStatus(state.type === 'terminated' ? state.exitCode : 0));
  } catch {
    await finish(socket, failureStatus('the log could not be read'));
  }
}
