/**
 * Follows a conversation: what is stored after a place, then what happens. Agent servers mix live events into a replay and send
 * some twice, so a client that resumed from the last it saw would miss the rest. Here the socket is opened first, live only; the
 * history is read page by page while its frames wait; what both have is sent once, in the order in which it is stored.
 */
import { WebSocket } from 'ws';
import type { Answer } from '../answers.js';
import { cursorOf, HistoryError, readFrame, readPage, type From, type Pod, type PodEvent } from './history.js';
import type { Cursor } from './request.js';

export interface Sink {
  /** `cursor`: undefined for what is not stored. */
  event(event: PodEvent, cursor: Cursor | undefined): void;
  /** The history is complete; from now on events come as they happen. */
  live(): void;
  /** Nothing more comes; called once, not after `close`. */
  ended(why: Answer): void;
}

export interface Following {
  /** Stops reading until `resume`. */
  pause(): void;
  resume(): void;
  close(): void;
}

const MAX_FRAME = 16 << 20;
const DIAL_MS = 5_000;
/** The first frame, the state, says that the subscription stands. */
const FIRST_FRAME_MS = 5_000;
const MAX_WAITING = 500;
/** Characters of them: one frame may have MAX_FRAME. */
const MAX_WAITING_LENGTH = 8 << 20;
const MAX_RECENT = 512;

interface State {
  pod: Pod;
  sink: Sink;
  socket: WebSocket;
  abort: AbortController;
  /** The last stored event that was sent. */
  last: Cursor | undefined;
  isLive: boolean;
  isOver: boolean;
  /** Live events that the history may hold too, by id. */
  waiting: Map<string, PodEvent>;
  /** Characters of all that came to wait since it was last empty. */
  waitingLength: number;
  /** More waited than is kept: the history has them. */
  overflowed: boolean;
  /** Ids that came from the history and may still come by the socket. */
  recent: Set<string>;
  whole: PodEvent | undefined;
  resumed: (() => void) | undefined;
  isPaused: boolean;
}

export function followEvents(pod: Pod, after: Cursor | undefined, sink: Sink): Following {
  const host = pod.ip.includes(':') ? `[${pod.ip}]` : pod.ip;
  const socket = new WebSocket(`ws://${host}:${pod.port}/sockets/events/${pod.conversation}`, {
    headers: { 'x-session-api-key': pod.key },
    perMessageDeflate: false,
    maxPayload: MAX_FRAME,
    handshakeTimeout: DIAL_MS,
  });
  const state: State = {
    pod,
    sink,
    socket,
    abort: new AbortController(),
    last: after,
    isLive: false,
    isOver: false,
    waiting: new Map(),
    waitingLength: 0,
    overflowed: false,
    recent: new Set(),
    whole: undefined,
    resumed: undefined,
    isPaused: false,
  };
  const timer = setTimeout(() => end(state, UNREACHABLE), DIAL_MS + FIRST_FRAME_MS);
  let begun = false;
  socket.on('message', (data: Buffer) => {
    clearTimeout(timer);
    receive(state, data.toString('utf8'));
    if (begun) return;
    begun = true;
    catchUp(state).catch((error: unknown) => end(state, answerFor(error)));
  });
  socket.once('unexpected-response', (request) => {
    request.destroy();
    end(state, UNREACHABLE);
  });
  socket.on('error', () => end(state, begun ? GONE : UNREACHABLE));
  socket.once('close', (code) => end(state, code === 4004 ? UNKNOWN : begun ? GONE : UNREACHABLE));
  state.abort.signal.addEventListener('abort', () => clearTimeout(timer));
  return {
    pause() {
      state.isPaused = true;
      if (socket.readyState === WebSocket.OPEN) socket.pause();
    },
    resume() {
      state.isPaused = false;
      if (socket.readyState === WebSocket.OPEN) socket.resume();
      state.resumed?.();
    },
    close: () => stop(state),
  };
}

const UNREACHABLE: Answer = {
  status: 503,
  reason: 'SandboxStarting',
  message: 'Its agent server does not answer yet.',
  retryAfter: 1,
};
const GONE: Answer = {
  status: 502,
  reason: 'Unreachable',
  message: 'The connection to the sandbox was lost.',
  retryAfter: 1,
};
const UNKNOWN: Answer = { status: 404, reason: 'UnknownConversation', message: 'There is no such conversation.' };

/** Also for what should not happen: a follower that fails ends alone, never the process. */
function answerFor(error: unknown): Answer {
  if (!(error instanceof HistoryError)) return GONE;
  if (error.status === 404) return UNKNOWN;
  return error.status === 0 || error.status >= 500
    ? GONE
    : { status: 502, reason: 'BadAnswer', message: `Bad answer of the sandbox: ${error.message}.` };
}

function receive(state: State, text: string): void {
  const event = readFrame(text);
  if (event === undefined || state.isOver) return;
  const cursor = cursorOf(event);
  if (cursor === undefined) {
    if (event['key'] === 'full_state') state.whole = event;
    // What is not stored makes no sense before the history is there.
    if (state.isLive) state.sink.event(event, undefined);
    return;
  }
  if (state.recent.delete(cursor.id)) return;
  if (state.isLive) return send(state, event, cursor);
  state.waitingLength += text.length;
  if (state.waiting.size >= MAX_WAITING || state.waitingLength > MAX_WAITING_LENGTH) {
    state.waiting.clear();
    state.waitingLength = 0;
    state.overflowed = true;
    return;
  }
  state.waiting.set(cursor.id, event);
}

function send(state: State, event: PodEvent, cursor: Cursor): void {
  state.last = cursor;
  state.sink.event(event, cursor);
}

/** Reads the history until nothing is left that came by the socket meanwhile. */
async function catchUp(state: State): Promise<void> {
  do {
    state.overflowed = false;
    await readOn(state);
    if (state.isOver) return;
  } while (state.overflowed);
  for (const event of state.waiting.values()) {
    const cursor = cursorOf(event);
    if (cursor !== undefined) send(state, event, cursor);
  }
  state.waiting.clear();
  state.isLive = true;
  if (state.whole !== undefined) state.sink.event(state.whole, undefined);
  state.sink.live();
}

async function readOn(state: State): Promise<void> {
  let from: From = state.last && { id: state.last.id };
  let isFirst = true;
  while (!state.isOver) {
    const page = await readPage(state.pod, from, state.abort.signal);
    const known = isFirst && state.last !== undefined && page.items[0]?.id === state.last.id;
    const isLost = isFirst && state.last !== undefined && !known && from !== undefined && 'id' in from;
    if (isLost && state.last?.time !== undefined) {
      from = { time: state.last.time };
      continue;
    }
    for (const event of known ? page.items.slice(1) : page.items) await pass(state, event);
    if (page.next_page_id == null) return;
    from = { id: page.next_page_id };
    isFirst = false;
  }
}

async function pass(state: State, event: PodEvent): Promise<void> {
  if (state.isPaused) await new Promise<void>((resolve) => (state.resumed = resolve));
  const cursor = cursorOf(event);
  if (state.isOver || cursor === undefined) return;
  const waited = state.waiting.delete(cursor.id);
  if (state.waiting.size === 0) state.waitingLength = 0;
  if (!waited) {
    state.recent.add(cursor.id);
    if (state.recent.size > MAX_RECENT) state.recent.delete(state.recent.values().next().value ?? '');
  }
  send(state, event, cursor);
}

function end(state: State, why: Answer): void {
  if (state.isOver) return;
  stop(state);
  state.sink.ended(why);
}

function stop(state: State): void {
  state.isOver = true;
  state.abort.abort();
  state.resumed?.();
  state.socket.terminate();
}
