/**
 * The way to apps on the pod's loopback (contracts/relay.ts). It leads to nothing but listening sockets of processes that this
 * server started: where pods share a machine, its loopback has neighbours.
 */
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { RELAY_PATH, RELAY_PROTOCOL } from '../../contracts/relay.js';
import type { Context } from '../context.js';
import { headerOf, keyIsGood } from '../http/auth.js';
import { findApps } from '../services/apps.js';

const MAX_RELAYED = 512;
const DIAL_MS = 3_000;

export const isRelay = (request: IncomingMessage): boolean =>
  headerOf(request.headers, 'upgrade') === RELAY_PROTOCOL && request.url?.startsWith(RELAY_PATH) === true;

/** `relayed`: the streams under way; each is in it until it is closed. */
export async function relay(
  { context, relayed }: { context: Context; relayed: Set<Duplex> },
  request: IncomingMessage,
  stream: Duplex,
): Promise<void> {
  const refuse = (status: string) => stream.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  const isKnown = keyIsGood(context.config.sessionApiKeys, headerOf(request.headers, 'x-session-api-key'));
  if (context.init.state !== 'ready' || !isKnown) return void refuse('403 Forbidden');
  if (relayed.size >= MAX_RELAYED) return void refuse('503 Service Unavailable');
  relayed.add(stream);
  stream.once('close', () => relayed.delete(stream));
  const port = request.url?.slice(RELAY_PATH.length);
  const app = (await findApps(context.config)).find((found) => String(found.port) === port);
  if (app === undefined) return void refuse('404 Not Found');
  if (stream.destroyed) return;
  // Whatever it listens on, it answers here.
  const host = app.address.includes(':') ? '::1' : app.address.startsWith('127.') ? app.address : '127.0.0.1';
  const socket = connect({ port: app.port, host, allowHalfOpen: true, timeout: DIAL_MS });
  socket.once('timeout', () => socket.destroy(new Error('no answer')));
  socket.once('connect', () => {
    socket.setTimeout(0);
    stream.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${RELAY_PROTOCOL}\r\n\r\n`);
    stream.pipe(socket).pipe(stream);
  });
  // 'close' follows.
  socket.on('error', () => undefined);
  socket.once('close', (hadError) => {
    // What was cut must not look complete.
    if (hadError) stream.destroy();
    else stream.end();
  });
  stream.once('close', () => socket.destroy());
}
