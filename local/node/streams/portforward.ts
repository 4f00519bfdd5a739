/**
 * Port-forward in the three ways that clients know: SPDY/3.1 inside a WebSocket (kubectl since 1.31), plain SPDY/3.1 (kubectl
 * before), and channels in a WebSocket (client libraries).
 */
import { connect, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import type { WebSocket } from 'ws';
import type { PodStreamRequest } from '../../api/podHandlers.js';
import { createSpdy, type SpdyConnection, type SpdyStream } from './spdy.js';
import { isSpdy, offers, openWebSocket, refuse, sendBounded } from './wire.js';

const TUNNEL = 'SPDY/3.1+portforward.k8s.io';
const CHANNELS = ['v4.channel.k8s.io', 'v5.channel.k8s.io', 'portforward.k8s.io'];
const CONNECT_MS = 10_000;
const MAX_PORTS = 16;

export async function portForward(stream: PodStreamRequest, host: string): Promise<void> {
  if (isSpdy(stream.request)) return plainSpdy(stream, host);
  if (offers(stream.request).includes(TUNNEL)) {
    const socket = await openWebSocket(stream, [TUNNEL]);
    if (socket !== undefined) tunnel(socket, host);
    return;
  }
  const ports = portsOf(stream.query);
  if (ports === undefined)
    return refuse(stream.socket, 400, 'query parameter "ports" is needed: numbers from 1 to 65535');
  const socket = await openWebSocket(stream, CHANNELS);
  if (socket !== undefined) channels(socket, host, ports);
}

export function portsOf(query: URLSearchParams): number[] | undefined {
  const ports = query
    .getAll('ports')
    .flatMap((list) => list.split(','))
    .map(Number);
  const good =
    ports.length > 0 &&
    ports.length <= MAX_PORTS &&
    ports.every((port) => Number.isInteger(port) && port > 0 && port < 65536);
  return good ? ports : undefined;
}

/** Connects to the pod's port; the error says what kubectl shows. */
function dial(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, allowHalfOpen: true });
    const failed = (error: Error): void => {
      socket.destroy();
      reject(new Error(`failed to connect to ${host}:${port} inside the pod: ${error.message}`));
    };
    socket.setTimeout(CONNECT_MS, () => failed(new Error('timeout')));
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      socket.setTimeout(0);
      resolve(socket);
    });
  });
}

/** Pairs the streams of one connection (headers `requestid`, `streamtype`: error, data) and carries the data. */
function forwarder(host: string): (stream: SpdyStream) => void {
  const errors = new Map<string, SpdyStream>();
  return (stream) => {
    const { requestid = '', streamtype, port = '' } = stream.headers;
    stream.data.on('error', () => undefined);
    if (streamtype === 'error') {
      errors.set(requestid, stream);
      stream.data.once('close', () => errors.delete(requestid));
      return stream.data.resume();
    }
    const error = errors.get(requestid);
    dial(host, Number(port)).then(
      (socket) => {
        socket.on('error', () => undefined);
        // Each direction ends by itself; the error stream ends when both have.
        pipeline(stream.data, socket, () => undefined);
        pipeline(socket, stream.data, () => void error?.data.end());
      },
      (failure: Error) => {
        error?.data.end(failure.message);
        stream.data.end();
      },
    );
  };
}

function serve(
  connection: SpdyConnection,
  bytes: Buffer,
  fail: () => void,
  pause: (paused: boolean) => void,
): Promise<void> {
  pause(true);
  return connection.receive(bytes).then(
    () => pause(false),
    () => fail(),
  );
}

function tunnel(socket: WebSocket, host: string): void {
  const connection = createSpdy({ send: (bytes) => sendBounded(socket, bytes), onStream: forwarder(host) });
  let queue = Promise.resolve();
  socket.on('message', (data: Buffer) => {
    queue = queue.then(() =>
      serve(
        connection,
        data,
        () => socket.close(1002),
        (paused) => (paused ? socket.pause() : socket.resume()),
      ),
    );
  });
  socket.on('close', () => connection.close());
}

function plainSpdy({ request, socket, head }: PodStreamRequest, host: string): void {
  const version = request.headers['x-stream-protocol-version'] ?? 'portforward.k8s.io';
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: ${String(version)}\r\n\r\n`,
  );
  const send = (bytes: Buffer): Promise<void> =>
    new Promise((resolve) => {
      if (socket.destroyed) resolve();
      else socket.write(bytes, () => resolve());
    });
  const connection = createSpdy({ send, onStream: forwarder(host) });
  let queue = Promise.resolve();
  const take = (bytes: Buffer): void => {
    queue = queue.then(() =>
      serve(
        connection,
        bytes,
        () => socket.destroy(),
        (paused) => void (paused ? socket.pause() : socket.resume()),
      ),
    );
  };
  if (head.length > 0) take(head);
  socket.on('data', take);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => connection.close());
}

/** Channel 2i carries the data of the i-th port, 2i+1 its errors; the first frame of each is the port, little-endian. */
function channels(socket: WebSocket, host: string, ports: readonly number[]): void {
  const targets = new Map<number, Promise<Socket | undefined>>();
  const frame = (channel: number, bytes: Buffer): Promise<void> =>
    sendBounded(socket, Buffer.concat([Buffer.of(channel), bytes]));
  ports.forEach((port, index) => {
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    const greeted = Promise.all([frame(2 * index, number), frame(2 * index + 1, number)]);
    const opened = dial(host, port).then(
      async (target) => {
        await greeted;
        carry(
          target,
          (bytes) => frame(2 * index, bytes),
          () => ports.length === 1 && socket.close(1000),
        );
        return target;
      },
      async (error: Error) => {
        await frame(2 * index + 1, Buffer.from(error.message));
        if (ports.length === 1) socket.close(1000);
        return undefined;
      },
    );
    targets.set(2 * index, opened);
  });
  let queue = Promise.resolve();
  socket.on('message', (data: Buffer) => {
    queue = queue.then(async () => {
      const target = await targets.get(data[0] ?? -1);
      if (target === undefined || target.destroyed || data.length < 2) return;
      socket.pause();
      await new Promise<void>((resolve) => target.write(data.subarray(1), () => resolve()));
      socket.resume();
    });
  });
  socket.on('close', () => {
    for (const target of targets.values()) void target.then((open) => open?.destroy());
  });
}

function carry(target: Socket, send: (bytes: Buffer) => Promise<void>, ended: () => void): void {
  const run = async (): Promise<void> => {
    for await (const chunk of target) await send(chunk as Buffer);
  };
  void run()
    .catch(() => undefined)
    .finally(ended);
}
