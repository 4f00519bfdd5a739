/** One loopback port for HTTP and HTTPS: the first byte tells which. */
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createNet, type AddressInfo, type Socket } from 'node:net';
import { createServer as createHttps } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Certificate } from './certificate.js';

const TLS_HANDSHAKE = 0x16;
const FIRST_BYTE_WITHIN = 30_000;

export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

export interface Listener {
  port: number;
  /** Stops listening and ends every connection. */
  close(): Promise<void>;
}

export async function listen(options: {
  host: string;
  port: number;
  certificate: Certificate;
  handlers: Handlers;
}): Promise<Listener> {
  const { handlers, certificate } = options;
  const plain = createHttp(handlers.request);
  const secure = createHttps(
    { key: certificate.key, cert: certificate.cert, ALPNProtocols: ['http/1.1'] },
    handlers.request,
  );
  for (const server of [plain, secure]) {
    server.on('upgrade', handlers.upgrade);
    // Long bodies and watches are ended by their own rules.
    server.requestTimeout = 60_000;
    server.keepAliveTimeout = 120_000;
    server.on('clientError', (_error: Error, socket: Duplex) => void socket.destroy());
  }
  const sockets = new Set<Socket>();
  const front = createNet((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    route(socket, plain, secure);
  });
  await new Promise<void>((resolve, reject) => {
    front.once('error', reject);
    front.listen(options.port, options.host, resolve);
  });
  return {
    port: (front.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((resolve) => void front.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function route(socket: Socket, plain: Server, secure: Server): void {
  socket.setNoDelay(true);
  socket.setTimeout(FIRST_BYTE_WITHIN, () => socket.destroy());
  socket.once('data', (first: Buffer) => {
    socket.setTimeout(0);
    socket.removeAllListeners('timeout');
    socket.pause();
    socket.unshift(first);
    (first[0] === TLS_HANDSHAKE ? secure : plain).emit('connection', socket);
    process.nextTick(() => socket.resume());
  });
}
