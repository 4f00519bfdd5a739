/** `/sockets/events/{id}`: the state, the history when asked for, live events; messages in the other direction. */
import type { WebSocket } from 'ws';
import { z } from 'zod';
import type { Context } from '../context.js';
import type { Conversation } from '../conversations/conversation.js';
import { messageSchema } from '../conversations/requests.js';
import { userMessage } from '../conversations/new-record.js';
import type { Live } from '../conversations/service.js';
import type { EventLog } from '../log/log.js';
import { readFrame } from './frames.js';
import { startPump } from './pump.js';
import type { Resend } from './upgrade.js';

const MAX_SUBSCRIBERS = 50;
/** Deltas are dropped for a reader that is this far behind: the whole message follows. */
const DELTA_LIMIT = 256 << 10;
const subscribers = new WeakMap<Conversation, number>();

/** Like a REST message, but its role must be said. */
const frameSchema = z.looseObject({ ...messageSchema.shape, role: messageSchema.shape.role.unwrap() });

/** Finds the conversation or closes the socket with the code that says why not. Counts the subscriber. */
export async function subscribe(context: Context, socket: WebSocket, id: string): Promise<Live | undefined> {
  const live = await context.conversations.live(id);
  if (live === undefined) {
    socket.close(4004, 'Conversation not found');
    return undefined;
  }
  const { conversation } = live;
  const count = subscribers.get(conversation) ?? 0;
  if (count >= MAX_SUBSCRIBERS) {
    socket.close(1013, 'Too many connections for this conversation');
    return undefined;
  }
  subscribers.set(conversation, count + 1);
  socket.once('close', () => subscribers.set(conversation, (subscribers.get(conversation) ?? 1) - 1));
  return live;
}

export async function serveEvents(
  context: Context,
  socket: WebSocket,
  target: { conversationId: string; resend: Resend },
): Promise<void> {
  const waiting = collectFrames(socket);
  const live = await subscribe(context, socket, target.conversationId);
  if (live === undefined) return;
  const { conversation } = live;
  socket.send(JSON.stringify(conversation.stateEvent()));
  const stopTransient = conversation.onTransient((event) => {
    if (socket.bufferedAmount < DELTA_LIMIT) socket.send(JSON.stringify(event));
  });
  const log = conversation.events;
  startPump({
    socket,
    log,
    from: firstOf(log, target.resend),
    skip: sinceFilter(log, target.resend),
    frame: (_seq, json) => json,
  });
  socket.once('close', stopTransient);
  socket.once(
    'close',
    conversation.onShut(() => socket.close(1001, 'Conversation closed')),
  );
  waiting.serve((text) => receive(context, live, socket, text));
}

/** Frames that come while the conversation is being opened are kept; then they go one after the other. */
export function collectFrames(socket: WebSocket): { serve(handle: (text: string) => Promise<void>): void } {
  const early: string[] = [];
  let handler: ((text: string) => Promise<void>) | undefined;
  let turn = Promise.resolve();
  const next = (text: string) => {
    const handle = handler;
    if (handle === undefined) {
      if (early.length < 100) early.push(text);
      return;
    }
    turn = turn.then(() => handle(text)).catch(() => undefined);
  };
  // Binary frames with JSON in them are read like text ones.
  socket.on('message', (data) => next(String(data as Buffer)));
  return {
    serve(handle) {
      handler = handle;
      for (const text of early.splice(0)) next(text);
    },
  };
}

const firstOf = (log: EventLog, resend: Resend): number =>
  resend.mode === 'all' || (resend.mode === 'since' && resend.after === undefined)
    ? 0
    : resend.mode === 'since'
      ? firstSince(log, resend.after ?? 0)
      : log.index.size;

function firstSince(log: EventLog, micros: number): number {
  for (let seq = 0; seq < log.index.size; seq++) if (log.index.get(seq).time >= micros) return seq;
  return log.index.size;
}

/** A clock that jumped back leaves older events behind newer ones; `since` means the time, not the place. */
const sinceFilter = (log: EventLog, resend: Resend): ((seq: number) => boolean) => {
  const end = log.index.size;
  const { after } = resend;
  return (seq) => resend.mode === 'since' && after !== undefined && seq < end && log.index.get(seq).time < after;
};

async function receive(context: Context, live: Live, socket: WebSocket, text: string): Promise<void> {
  const { conversation } = live;
  const answer = (code: string, detail: string) =>
    socket.send(JSON.stringify(conversation.transient({ kind: 'ServerErrorEvent', code, detail })));
  if (isAuth(text)) return;
  const frame = readFrame(text, frameSchema, 'Message');
  if (!frame.ok) return answer(frame.code, frame.detail);
  try {
    await context.conversations.message(live, userMessage(frame.value), {
      run: true,
      ...(frame.value.sender == null ? {} : { sender: frame.value.sender }),
    });
  } catch (error) {
    answer(error instanceof Error ? error.name : 'Error', error instanceof Error ? error.message : String(error));
  }
}

/** A client that authenticates by its first frame may send that frame although the key came another way. */
export function isAuth(text: string): boolean {
  try {
    return (JSON.parse(text) as { type?: unknown } | null)?.type === 'auth';
  } catch {
    return false;
  }
}
