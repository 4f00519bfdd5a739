/** Answers upgrades: WebSocket with one of the protocols that the client offers, or plain SPDY/3.1. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';

const MAX_MESSAGE = 4 * 1024 * 1024;
/** A client that sends no pings is asked itself; one that is gone answers neither. */
const PING_MS = 30_000;
/** Above this the source waits. */
const MAX_BUFFERED = 1024 * 1024;

export interface UpgradeRequest {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
}

export const offers = (request: IncomingMessage): string[] =>
  (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());

export const isSpdy = (request: IncomingMessage): boolean => /^spdy\/3\.1$/i.test(request.headers.upgrade ?? '');

/** The WebSocket with the first of `protocols` that the client offers; undefined after an error answer was written. */
export function openWebSocket(
  { request, socket, head }: UpgradeRequest,
  protocols: readonly string[],
): Promise<WebSocket | undefined> {
  const offered = offers(request);
  const chosen = protocols.find((name) => offered.includes(name));
  if (chosen === undefined || request.headers.upgrade?.toLowerCase() !== 'websocket') {
    refuse(socket, 400, `unable to upgrade: one of these WebSocket protocols is needed: ${protocols.join(', ')}`);
    return Promise.resolve(undefined);
  }
  // ws refuses names with a slash, which the tunnel's has: it gets to see a plain one, the client gets the real one back.
  request.headers['sec-websocket-protocol'] = 'chosen';
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: MAX_MESSAGE,
    perMessageDeflate: false,
    handleProtocols: () => chosen,
  });
  return new Promise((resolve) => {
    socket.once('close', () => resolve(undefined));
    server.handleUpgrade(request, socket, head, (opened) => {
      keepAlive(opened);
      resolve(opened);
    });
  });
}

function keepAlive(socket: WebSocket): void {
  let alive = true;
  socket.on('pong', () => (alive = true));
  socket.on('message', () => (alive = true));
  const timer = setInterval(() => {
    if (!alive) return socket.terminate();
    alive = false;
    socket.ping();
  }, PING_MS);
  timer.unref();
  socket.on('close', () => clearInterval(timer));
  socket.on('error', () => socket.terminate());
}

/** An error as a Status, on a connection that was to be upgraded. */
export function refuse(socket: Duplex, code: number, message: string): void {
  const body = JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: code === 400 ? 'BadRequest' : 'InternalError',
    code,
  });
  socket.on('error', () => undefined);
  socket.end(
    `HTTP/1.1 ${code} ${code === 400 ? 'Bad Request' : 'Internal Server Error'}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/** Sends and resolves when the client has taken enough of what waits. Resolves too when the connection is gone. */
export async function sendBounded(socket: WebSocket, bytes: Buffer): Promise<void> {
  if (socket.readyState !== socket.OPEN) return;
  const sent = new Promise<void>((resolve) => socket.send(bytes, () => resolve()));
  if (socket.bufferedAmount > MAX_BUFFERED) await sent;
}
