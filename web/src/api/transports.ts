/**
 * Three ways for the events of a conversation to get here: a WebSocket; where upgrades are stripped, server-sent events; where
 * those are held back by a proxy that buffers, long polling. All three tell the same events.
 */
import type { Agent } from './agent';
import { isEvent, type AgentEvent } from './events';

/** The newest stored event that is known. */
export interface Place {
  id: string;
  timestamp: string;
}

export interface TransportHandlers {
  /** The server has let us in. */
  onOpen(): void;
  onEvent(event: AgentEvent): void;
  /**
   * Over; called once, not after the returned function. `later`: the server answered, but not with events now; `blocked`: this
   * way seems not to lead there; `silent`: it does not, since something holds back what comes.
   */
  onEnd(why: End): void;
}

export type End = 'lost' | 'later' | 'blocked' | 'silent';

/** Starts; answers how to stop. */
export type Transport = (agent: Agent, since: Place | undefined, handlers: TransportHandlers) => () => void;

/** How long the first sign may take, and how long silence may last (the gateway gives a sign every 5 s). */
const FIRST_SIGN_MS = 8_000;
const SILENCE_MS = 12_000;
/** A poll waits 20 s at most. */
const POLL_MS = 40_000;

const pathOf = (agent: Agent) => `/sockets/events/${agent.conversationId}`;
const cursorOf = ({ id, timestamp }: Place) => `${id}/${timestamp}`;

/** The key goes into the first frame, never into an URL. */
export const webSocket: Transport = (agent, since, handlers) => {
  const query =
    since === undefined
      ? 'resend_mode=all'
      : `resend_mode=since&after_timestamp=${encodeURIComponent(since.timestamp)}`;
  const socket = new WebSocket(`${agent.base.replace(/^http/, 'ws')}${pathOf(agent)}?${query}`);
  let isOpen = false;
  const timer = setTimeout(() => socket.close(), FIRST_SIGN_MS);
  socket.onopen = () => socket.send(JSON.stringify({ type: 'auth', session_api_key: agent.sessionKey }));
  socket.onmessage = ({ data }) => {
    clearTimeout(timer);
    if (!isOpen) handlers.onOpen();
    isOpen = true;
    tell(parse(String(data)), handlers);
  };
  socket.onclose = ({ code }) => {
    clearTimeout(timer);
    // Codes from 1008 on are an answer of gateway or agent server, so the way there is open.
    handlers.onEnd(isOpen ? 'lost' : code >= 1008 && code !== 1015 ? 'later' : 'blocked');
  };
  return () => {
    clearTimeout(timer);
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
  };
};

export const serverSent: Transport = (agent, since, handlers) => {
  const abort = new AbortController();
  const headers = {
    accept: 'text/event-stream',
    'x-session-api-key': agent.sessionKey,
    ...(since === undefined ? {} : { 'last-event-id': cursorOf(since) }),
  };
  let isOpen = false;
  let timer = setTimeout(() => abort.abort('silent'), FIRST_SIGN_MS);
  const sign = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort('silent'), SILENCE_MS);
  };
  const read = async () => {
    const response = await fetch(`${agent.base}${pathOf(agent)}`, { headers, signal: abort.signal, cache: 'no-store' });
    if (!response.ok) return 'later';
    if (response.body === null || !isOfType(response, 'text/event-stream')) return 'blocked';
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const blocks = blocksIn();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return isOpen ? 'lost' : 'blocked';
      sign();
      if (!isOpen) handlers.onOpen();
      isOpen = true;
      for (const data of blocks(value)) tell(parse(data), handlers);
    }
  };
  run(read, abort, handlers, () => clearTimeout(timer));
  return () => abort.abort();
};

export const longPolling: Transport = (agent, since, handlers) => {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const read = async () => {
    let cursor = since === undefined ? undefined : cursorOf(since);
    for (let isOpen = false; ; isOpen = true) {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort('silent'), POLL_MS);
      const after = cursor === undefined ? '' : `&after=${encodeURIComponent(cursor)}`;
      const response = await fetch(`${agent.base}${pathOf(agent)}?transport=poll${after}`, {
        headers: { 'x-session-api-key': agent.sessionKey },
        signal: abort.signal,
        cache: 'no-store',
      });
      if (!response.ok) return isOpen ? 'lost' : 'later';
      const answer = (await response.json()) as { events?: unknown; next?: unknown };
      if (!Array.isArray(answer.events) || typeof answer.next !== 'string') return 'blocked';
      if (!isOpen) handlers.onOpen();
      for (const event of answer.events) tell(event, handlers);
      cursor = answer.next;
    }
  };
  run(read, abort, handlers, () => clearTimeout(timer));
  return () => abort.abort();
};

/** Reads until it ends or breaks; silence is a break, being told to stop is none. */
function run(read: () => Promise<End>, abort: AbortController, handlers: TransportHandlers, cleanUp: () => void): void {
  void read()
    .catch((): End => (abort.signal.reason === 'silent' ? 'silent' : 'blocked'))
    .then((why) => {
      cleanUp();
      const isStopped = abort.signal.aborted && abort.signal.reason !== 'silent';
      // A stream that is given up must not go on in the background.
      abort.abort();
      if (!isStopped) handlers.onEnd(why);
    });
}

const isOfType = (response: Response, type: string) => response.headers.get('content-type')?.startsWith(type) === true;

function tell(event: unknown, handlers: TransportHandlers): void {
  if (isEvent(event)) handlers.onEvent(event);
}

/** What a sandbox sends need not be JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Splits a stream of server-sent events into the data of each. The gateway sends data as one line. */
export function blocksIn(): (chunk: string) => string[] {
  let held = '';
  return (chunk) => {
    const blocks = (held + chunk).split('\n\n');
    held = blocks.pop() ?? '';
    return blocks.flatMap((block) => {
      const lines = block.split('\n');
      const data = lines.find((line) => line.startsWith('data: '));
      return data === undefined || lines.includes('event: end') ? [] : [data.slice(6)];
    });
  };
}
