/**
 * Follows a conversation: what is stored after a place, then what happens. Agent servers mix live events into a replay and send
 * some twice, so a client that resumed from the last it saw would miss the rest. Here the socket is opened first, live only; the
 * history is read page by page while its frames wait; what both have is sent once, in the order in which it is stored.
 */
import { WebSocket } from 'ws';
import type { Answer } from '../answers.js';
import type { Budget } from './budget.js';
import { readHistory, type Reading } from './catchup.js';
import { cursorOf, HistoryError, readFrame, type Pod, type PodEvent } from './history.js';
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
/** What is kept of live events while the history is read; it has the rest. */
const MAX_WAITING = 100;
/** Characters of them: one frame may have MAX_FRAME. */
const MAX_WAITING_LENGTH = 256 << 10;
/** Repeats come soon after, or not by this many; of what is older only the history can say whether it was sent. */
const MAX_RECENT = 64;

interface State extends Reading {
  sink: Sink;
  socket: WebSocket;
  abort: AbortController;
  isLive: boolean;
  /** The client has been told that the history is complete. */
  isComplete: boolean;
  isOver: boolean;
  /** Characters of all that came to wait since it was last empty. */
  waitingLength: number;
  /** Ids of what was sent last → its time. */
  recent: Map<string, string | undefined>;
  /** Time of the last that was sent and is not in `recent`. */
  horizon: string | undefined;
  whole: PodEvent | undefined;
}

export function followEvents(pod: Pod, after: Cursor | undefined, sink: Sink, budget: Budget): Following {
  const host = pod.ip.includes(':') ? `[${pod.ip}]` : pod.ip;
  const socket = new WebSocket(`ws://${host}:${pod.port}/sockets/events/${pod.conversation}`, {
    headers: { 'x-session-api-key': pod.key },
    perMessageDeflate: false,
    maxPayload: MAX_FRAME,
    handshakeTimeout: DIAL_MS,
  });
  const abort = new AbortController();
  const state: State = {
    pod,
    sink,
    budget,
    socket,
    abort,
    signal: abort.signal,
    last: after,
    isLive: false,
    isComplete: false,
    isOver: false,
    waiting: new Map(),
    waitingLength: 0,
    missed: false,
    recent: new Map(after && [[after.id, after.time]]),
    horizon: after?.time,
    whole: undefined,
    resumed: undefined,
    isPaused: false,
    pass: (event, cursor) => pass(state, event, cursor),
  };
  const timer = setTimeout(() => end(state, UNREACHABLE), DIAL_MS + FIRST_FRAME_MS);
  let begun = false;
  socket.on('message', (data: Buffer) => {
    clearTimeout(timer);
    receive(state, data.toString('utf8'));
    if (begun) return;
    begun = true;
    void catchUp(state);
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
  if (state.recent.has(cursor.id)) return;
  if (isDoubtful(state, cursor)) return lookUp(state);
  if (state.isLive) return send(state, event, cursor);
  state.waitingLength += text.length;
  if (state.waiting.size < MAX_WAITING && state.waitingLength <= MAX_WAITING_LENGTH) {
    state.waiting.set(cursor.id, event);
    return;
  }
  state.waiting.clear();
  state.waitingLength = 0;
  state.missed = true;
}

/** It is older than what is remembered: a late frame of what the history had, or new with an old time. */
const isDoubtful = ({ horizon }: State, { time }: Cursor) =>
  horizon !== undefined && time !== undefined && time <= horizon;

/** The history tells: it has after the last that was sent what is new. */
function lookUp(state: State): void {
  state.missed = true;
  if (!state.isLive) return;
  state.isLive = false;
  void catchUp(state);
}

function send(state: State, event: PodEvent, cursor: Cursor): void {
  const { recent } = state;
  state.last = cursor;
  recent.set(cursor.id, cursor.time);
  if (recent.size > MAX_RECENT) {
    const [oldest = '', time] = recent.entries().next().value ?? [];
    recent.delete(oldest);
    state.horizon = time ?? state.horizon;
  }
  state.sink.event(event, cursor);
}

/** What the history has and was not sent; then what came meanwhile. */
async function catchUp(state: State): Promise<void> {
  try {
    await readHistory(state);
  } catch (error) {
    return end(state, answerFor(error));
  }
  if (state.isOver) return;
  for (const event of state.waiting.values()) {
    const cursor = cursorOf(event);
    if (cursor !== undefined) send(state, event, cursor);
  }
  state.waiting.clear();
  state.waitingLength = 0;
  state.isLive = true;
  if (state.isComplete) return;
  state.isComplete = true;
  if (state.whole !== undefined) state.sink.event(state.whole, undefined);
  state.sink.live();
}

function pass(state: State, event: PodEvent, cursor: Cursor): void {
  state.waiting.delete(cursor.id);
  if (state.waiting.size === 0) state.waitingLength = 0;
  if (!state.recent.has(cursor.id)) send(state, event, cursor);
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
