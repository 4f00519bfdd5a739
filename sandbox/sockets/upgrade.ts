/**
 * Sockets: `/sockets/events/{id}`, `/sockets/session/{id}`, `/sockets/terminal/{id}`, `/sockets/bash-events`. A key comes in the query, in a header,
 * or in the first frame. What is wrong before the handshake is an HTTP 403; after it, a close code.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Context } from '../context.js';
import { targetUrl } from '../../process/target.js';
import { headerOf, keyIsGood } from '../http/auth.js';
import { optionalFlag, parseTime, type Query } from '../http/query.js';
import { parseUuid } from '../http/uuid.js';
import { serveBash } from './bash.js';
import { serveEvents } from './events.js';
import { isRelay, relay } from './relay.js';
import { serveSession } from './session.js';
import { serveTerminal } from './terminal.js';

export interface Resend {
  /** Undefined: live events only. */
  mode: 'all' | 'since' | undefined;
  /** Microseconds since 1970. */
  after: number | undefined;
}

type Target =
  | { kind: 'events'; conversationId: string; resend: Resend }
  | { kind: 'session'; conversationId: string; afterSeq: number | undefined }
  | { kind: 'terminal'; conversationId: string }
  | { kind: 'bash'; resend: Resend };

const AUTH_MS = 10_000;
/** A message with images as data URLs. */
const MAX_FRAME = 64 << 20;
/** What a client may send before its key is known, in bytes: it is kept in memory until its frame is whole. */
const MAX_UNKNOWN = 128 << 10;
const PING_MS = 20_000;
/** From a close frame to the end of the connection, ms. */
const LAST_WORD_MS = 1_000;

export interface Sockets {
  /** Closes every socket (1001: going away). */
  close(): void;
}

export function serveSockets(server: Server, context: Context): Sockets {
  const accept = new WebSocketServer({ noServer: true, maxPayload: MAX_FRAME, perMessageDeflate: false });
  const sockets = new Set<WebSocket>();
  const alive = new WeakSet<WebSocket>();
  const relayed = new Set<Duplex>();
  server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    stream.on('error', () => stream.destroy());
    if (isRelay(request)) return void relay({ context, relayed }, request, stream).catch(() => stream.destroy());
    const url = targetUrl(request.url);
    const target = url !== undefined && context.init.state === 'ready' ? targetOf(url) : undefined;
    const given = url?.searchParams.get('session_api_key') ?? headerOf(request.headers, 'x-session-api-key');
    const keys = context.config.sessionApiKeys;
    if (target === undefined || (given !== undefined && !keyIsGood(keys, given))) return refuse(stream);
    accept.handleUpgrade(request, stream, head, (socket) => {
      sockets.add(socket);
      alive.add(socket);
      socket.on('pong', () => alive.add(socket));
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => socket.terminate());
      const start = () => serve(context, socket, target);
      if (given !== undefined || keys.length === 0) start();
      else awaitKey({ socket, stream }, keys, start);
    });
  });
  const pinger = setInterval(() => {
    for (const socket of sockets) {
      if (!alive.has(socket)) socket.terminate();
      alive.delete(socket);
      if (socket.readyState === socket.OPEN) socket.ping();
    }
  }, PING_MS).unref();
  return {
    close() {
      clearInterval(pinger);
      for (const socket of sockets) socket.close(1001, 'Going away');
      for (const stream of relayed) stream.destroy();
      setTimeout(() => sockets.forEach((socket) => socket.terminate()), LAST_WORD_MS).unref();
    },
  };
}

function refuse(stream: Duplex): void {
  stream.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n\r\n');
}

/** What an address asks for; undefined when it asks for nothing that there is, or wrongly. */
function targetOf(url: URL): Target | undefined {
  const [, area, kind, id, ...more] = url.pathname.split('/');
  if (area !== 'sockets' || more.length > 0) return undefined;
  const resend = resendOf(Object.fromEntries(url.searchParams));
  if (resend === undefined) return undefined;
  if (kind === 'bash-events' && id === undefined) return resend.mode === 'since' ? undefined : { kind: 'bash', resend };
  const conversationId = parseUuid(id ?? '');
  if (conversationId === undefined) return undefined;
  if (kind === 'events') return { kind, conversationId, resend };
  if (kind === 'terminal') return { kind, conversationId };
  if (kind !== 'session') return undefined;
  const after = url.searchParams.get('after_seq');
  if (after !== null && !/^-?\d{1,15}$/.test(after)) return undefined;
  return { kind, conversationId, afterSeq: after === null ? undefined : Number(after) };
}

function resendOf(query: Query): Resend | undefined {
  const { resend_mode: mode, after_timestamp: after } = query;
  if (mode !== undefined && mode !== 'all' && mode !== 'since') return undefined;
  const time = after === undefined ? undefined : parseTime(String(after));
  if (after !== undefined && time === undefined) return undefined;
  try {
    const all = optionalFlag(query, 'resend_all') === true;
    return { mode: mode ?? (all ? 'all' : undefined), after: time };
  } catch {
    return undefined;
  }
}

/** The key in the first frame: `{"type":"auth","session_api_key":"…"}`, within ten seconds. */
function awaitKey(
  { socket, stream }: { socket: WebSocket; stream: Duplex },
  keys: readonly string[],
  good: () => void,
): void {
  let bytes = 0;
  const count = (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_UNKNOWN) return;
    stream.off('data', count);
    socket.close(1009, 'The first frame is too large');
    // Nothing more is read; the client has a moment to see why.
    socket.pause();
    setTimeout(() => socket.terminate(), LAST_WORD_MS).unref();
  };
  const fail = () => socket.close(4001, 'Authentication failed');
  const timer = setTimeout(fail, AUTH_MS);
  stream.on('data', count);
  socket.once('close', () => clearTimeout(timer));
  socket.once('message', (data, binary) => {
    clearTimeout(timer);
    stream.off('data', count);
    const key = binary ? undefined : keyOf(String(data as Buffer));
    if (key !== undefined && keyIsGood(keys, key)) good();
    else fail();
  });
}

function keyOf(text: string): string | undefined {
  try {
    const frame = JSON.parse(text) as { type?: unknown; session_api_key?: unknown } | null;
    return frame?.type === 'auth' && typeof frame.session_api_key === 'string' ? frame.session_api_key : undefined;
  } catch {
    return undefined;
  }
}

function serve(context: Context, socket: WebSocket, target: Target): void {
  const work =
    target.kind === 'bash'
      ? serveBash(context, socket, target.resend)
      : target.kind === 'events'
        ? serveEvents(context, socket, target)
        : target.kind === 'terminal'
          ? serveTerminal(context, socket, target.conversationId)
          : serveSession(context, socket, target);
  work.catch((error: unknown) => {
    context.log.error({ err: error }, 'a socket failed');
    socket.close(1011, 'Internal error');
  });
}
