/**
 * `/sockets/terminal/{conversation id}`: a shell in the conversation's workspace. Binary frames are the bytes of its
 * terminal, both ways; text frames are JSON: `{"type":"resize","cols":80,"rows":24}`, and `{"type":"ack","bytes":n}` by
 * which a client says how many bytes it has shown in all, so that a flood waits for the reader.
 */
import type { RawData, WebSocket } from 'ws';
import { z } from 'zod';
import type { Context } from '../context.js';
import { NoPtyError, openShell, type Shell } from './pty.js';

const MAX_SHELLS = 8;
/** Bytes on the way to a client, and bytes of a client on the way to a program, before the sender has to wait. */
const HIGH = 1 << 20;
const LOW = 256 << 10;
const DRAIN_MS = 20;
/** Frames that come before the shell is there. */
const MAX_EARLY = 100;
const MAX_FRAME = 1 << 20;

const controlSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('resize'), cols: z.int().min(2).max(1000), rows: z.int().min(1).max(1000) }),
  z.object({ type: z.literal('ack'), bytes: z.int().min(0) }),
  z.object({ type: z.literal('auth') }),
]);

const open = new WeakMap<Context, Map<string, number>>();

export async function serveTerminal(context: Context, socket: WebSocket, conversationId: string): Promise<void> {
  const inbox = collect(socket);
  const live = await context.conversations.live(conversationId);
  if (live === undefined) return socket.close(4004, 'Conversation not found');
  if (socket.readyState !== socket.OPEN) return;
  if (!countIn(context, socket, conversationId))
    return socket.close(1013, `Only ${MAX_SHELLS} terminals can be open in a conversation`);
  const { conversation } = live;
  try {
    const env = conversation.commandEnvironment();
    const shell = openShell({ cwd: conversation.workspaceDir, env, cols: 80, rows: 24 });
    join(context, socket, shell, inbox);
  } catch (error) {
    if (!(error instanceof NoPtyError)) throw error;
    context.log.warn({ err: error }, 'a terminal could not be opened');
    socket.close(1011, closeReason(`No terminal can be opened: ${error.message}`));
  }
}

type Frame = { bytes: Buffer; binary: boolean };
interface Inbox {
  serve(handle: (frame: Frame) => void): void;
}

/** Keeps the first frames until somebody serves them. */
function collect(socket: WebSocket): Inbox {
  const early: Frame[] = [];
  let handler: ((frame: Frame) => void) | undefined;
  socket.on('message', (data: RawData, binary: boolean) => {
    const frame = { bytes: data as Buffer, binary };
    if (frame.bytes.length > MAX_FRAME) socket.close(1009, `A frame has at most ${MAX_FRAME} bytes`);
    else if (handler !== undefined) handler(frame);
    else if (early.length < MAX_EARLY) early.push(frame);
  });
  return {
    serve(handle) {
      handler = handle;
      early.splice(0).forEach(handle);
    },
  };
}

/** False when the conversation has as many as it may. */
function countIn(context: Context, socket: WebSocket, id: string): boolean {
  const counts = open.get(context) ?? new Map<string, number>();
  open.set(context, counts);
  const count = counts.get(id) ?? 0;
  if (count >= MAX_SHELLS) return false;
  counts.set(id, count + 1);
  socket.once('close', () => {
    const left = (counts.get(id) ?? 1) - 1;
    if (left > 0) counts.set(id, left);
    else counts.delete(id);
  });
  return true;
}

function join(context: Context, socket: WebSocket, shell: Shell, inbox: Inbox): void {
  const flow = createFlow(socket, shell);
  const touch = () => (context.lastActivity = context.clock.monotonic());
  touch();
  shell.onData((bytes) => {
    touch();
    flow.send(bytes);
  });
  // The close frame goes behind the data that waits.
  shell.onExit((code) => socket.close(1000, `The shell ended with ${code}`));
  socket.once('close', () => {
    flow.stop();
    shell.end().catch((error: unknown) => context.log.warn({ err: error }, 'a shell did not end'));
  });
  inbox.serve(({ bytes, binary }) => {
    touch();
    if (!binary) return control(shell, flow, bytes.toString());
    shell.write(bytes);
    if (shell.unread < HIGH || socket.isPaused) return;
    // A program that does not read holds its typist up, not this server's memory.
    socket.pause();
    shell.onceRead(() => socket.resume());
  });
}

function control(shell: Shell, flow: Flow, text: string): void {
  const frame = controlSchema.safeParse(jsonOf(text));
  if (!frame.success) return;
  if (frame.data.type === 'resize') shell.resize(frame.data);
  else if (frame.data.type === 'ack') flow.shown(frame.data.bytes);
}

interface Flow {
  send(bytes: Buffer): void;
  /** The client has shown so many bytes in all. */
  shown(bytes: number): void;
  stop(): void;
}

/** Pauses the shell while the network or, if it says so, the client lags behind. */
function createFlow(socket: WebSocket, shell: Shell): Flow {
  let sent = 0;
  let acknowledged: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  const behind = () => Math.max(socket.bufferedAmount, acknowledged === undefined ? 0 : sent - acknowledged);
  const go = () => {
    clearTimeout(timer);
    timer = undefined;
    shell.resume();
  };
  const look = () => {
    if (behind() > LOW) timer = setTimeout(look, DRAIN_MS);
    else go();
  };
  return {
    send(bytes) {
      sent += bytes.length;
      socket.send(bytes);
      if (timer !== undefined || behind() <= HIGH) return;
      shell.pause();
      timer = setTimeout(look, DRAIN_MS);
    },
    shown(bytes) {
      acknowledged = Math.max(acknowledged ?? 0, Math.min(bytes, sent));
      if (timer !== undefined && behind() <= LOW) go();
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** At most 123 bytes, as the protocol demands. */
const closeReason = (text: string): string =>
  Buffer.from(text)
    .subarray(0, 120)
    .toString()
    .replace(/\uFFFD+$/, '');
