/** A WebSocket after its handshake: bytes both ways, each side at the pace of the other. */
import { takeStash } from '../connection.js';
import { settle, type Exchange } from './books.js';
import { atBoundary, closeFrame, follow, newFrames, type Frames } from '../frames.js';
import type { Upstream } from '../pool.js';

interface Tunnel {
  exchange: Exchange;
  upstream: Upstream;
  fromPod: Frames;
  fromClient: Frames;
  /** Close frame for the client, to be put in between two frames of the pod. */
  goodbye: Buffer | undefined;
  /** Sides that have ended. */
  ended: number;
}

/** How long the other side may go on after one has ended. */
const HALF_CLOSED_MS = 30_000;
const GOODBYE_MS = 2_000;
/** 1012, service restart: clients come back. */
const RESTARTING = closeFrame(1012, 'restarting');
const REPLACED = closeFrame(1012, 'SandboxRestarting');
/** 1013, try again later: it is there again when somebody resumes it. */
const PAUSED = closeFrame(1013, 'SandboxPaused');
const IDLE = closeFrame(1001, 'idle');
/** 1008, policy violation: coming back with the same key or cookie is no use. */
const ACCESS_ENDED = closeFrame(1008, 'access ended');
/** What agent servers say to a wrong key, and of what they do not have. */
const KEY_ENDED = closeFrame(4001, 'access ended');
const GONE = closeFrame(4004, 'sandbox gone');

export function startTunnel(exchange: Exchange, upstream: Upstream, first: Buffer): void {
  const { connection } = exchange;
  const tunnel: Tunnel = {
    exchange,
    upstream,
    fromPod: newFrames(),
    fromClient: newFrames(),
    goodbye: undefined,
    ended: 0,
  };
  const client = connection.socket;
  const pod = upstream.socket;
  connection.user = {
    data: (chunk) => toPod(tunnel, chunk),
    ended: () => halfClosed(tunnel, () => pod.end()),
    closed: () => stop(tunnel),
    drained: () => pod.resume(),
    expired: () => (tunnel.goodbye === undefined && tunnel.ended === 0 ? leave(tunnel, IDLE) : stop(tunnel)),
    drain: () => leave(tunnel, RESTARTING),
    revoked: () => leave(tunnel, revocation(tunnel)),
    moved: () => leave(tunnel, REPLACED),
  };
  upstream.user = {
    data: (chunk) => toClient(tunnel, chunk),
    ended: () => podEnded(tunnel),
    closed: () => podEnded(tunnel),
    drained: () => client.resume(),
  };
  if (first.length > 0) toClient(tunnel, first);
  const ahead = takeStash(connection);
  if (ahead !== undefined) toPod(tunnel, ahead);
  // The drain has passed it by while it was being opened.
  if (connection.gateway.draining) leave(tunnel, RESTARTING);
}

function revocation({ exchange }: Tunnel): Buffer {
  const { connection, forward } = exchange;
  if (forward.port.name !== 'agent') return ACCESS_ENDED;
  return connection.gateway.table.bySlot(forward.route.slot) === undefined ? GONE : KEY_ENDED;
}

/** A pod that dies says no goodbye; clients must learn from somebody whether to come back, and when. */
function podEnded(tunnel: Tunnel): void {
  const { connection, forward } = tunnel.exchange;
  const { socket } = connection;
  if (tunnel.goodbye === undefined && !tunnel.fromPod.closing && atBoundary(tunnel.fromPod) && !socket.writableEnded) {
    const isPaused = connection.gateway.table.bySlot(forward.route.slot)?.state === 'paused';
    tunnel.goodbye = isPaused ? PAUSED : REPLACED;
    socket.write(tunnel.goodbye);
  }
  if (tunnel.upstream.ended && tunnel.upstream.socket.destroyed) stop(tunnel);
  else halfClosed(tunnel, () => socket.end());
}

function touch(tunnel: Tunnel, isData: boolean): void {
  const { connection, forward } = tunnel.exchange;
  const { now } = connection.gateway.clock;
  if (tunnel.ended === 0 && tunnel.goodbye === undefined)
    connection.deadline = now + connection.gateway.timeouts.idleMs;
  // Pings keep a connection open, but nobody works because of them.
  if (isData) forward.route.load.lastTraffic = now;
}

function toPod(tunnel: Tunnel, chunk: Buffer): void {
  const { exchange, upstream } = tunnel;
  if (upstream.socket.writableEnded) return;
  touch(tunnel, follow(tunnel.fromClient, chunk));
  exchange.bytesIn += chunk.length;
  if (!upstream.socket.write(chunk)) exchange.connection.socket.pause();
}

function toClient(tunnel: Tunnel, chunk: Buffer): void {
  const { exchange, upstream } = tunnel;
  const { socket } = exchange.connection;
  if (socket.writableEnded) return;
  touch(tunnel, follow(tunnel.fromPod, chunk));
  exchange.bytesOut += chunk.length;
  if (!socket.write(chunk)) upstream.socket.pause();
  if (tunnel.goodbye !== undefined) sayGoodbye(tunnel);
}

function halfClosed(tunnel: Tunnel, end: () => void): void {
  const { connection } = tunnel.exchange;
  end();
  if (++tunnel.ended === 2) return stop(tunnel);
  connection.deadline = connection.gateway.clock.now + HALF_CLOSED_MS;
}

function leave(tunnel: Tunnel, goodbye: Buffer): void {
  const { connection } = tunnel.exchange;
  if (tunnel.goodbye !== undefined) return;
  tunnel.goodbye = goodbye;
  connection.deadline = connection.gateway.clock.now + GOODBYE_MS;
  sayGoodbye(tunnel);
}

function sayGoodbye(tunnel: Tunnel): void {
  const { socket } = tunnel.exchange.connection;
  const { goodbye, fromPod } = tunnel;
  if (goodbye === undefined || !atBoundary(fromPod) || fromPod.closing || socket.writableEnded) return;
  socket.end(goodbye);
  tunnel.upstream.socket.end();
}

function stop(tunnel: Tunnel): void {
  const { exchange, upstream } = tunnel;
  if (exchange.over) return;
  settle(exchange);
  upstream.user = undefined;
  // What was written to either side still goes out; nothing more is read.
  upstream.socket.destroySoon();
  exchange.connection.socket.destroySoon();
}
