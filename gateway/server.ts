/** The listening side: accepts connections, keeps their deadlines, and lets them go in good order. */
import { createServer, type AddressInfo } from 'node:net';
import type { Connection } from './connection.js';
import type { Gateway } from './gateway.js';
import { isCrowded } from './limits.js';
import { endRevoked } from './rights.js';
import { acceptConnection } from './serve.js';

export interface Listening {
  port: number;
  /** Stops accepting, tells WebSockets to come back elsewhere (spread over half of `withinMs`), and waits for requests. */
  drain(withinMs: number): Promise<void>;
  close(): Promise<void>;
}

const TICK_MS = 500;

export async function listenGateway(
  gateway: Gateway,
  options: { host: string; port: number; maxConnections: number },
): Promise<Listening> {
  // Half-open, so that the end of one direction can be passed on as just that.
  const server = createServer({ allowHalfOpen: true }, (socket) => acceptConnection(gateway, socket));
  server.maxConnections = options.maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  const ticking = setInterval(() => tick(gateway, Date.now()), TICK_MS);
  ticking.unref();
  const closed = new Promise<void>((resolve) => server.once('close', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async drain(withinMs) {
      gateway.draining = true;
      server.close();
      sendAway(gateway, withinMs / 2);
      await Promise.race([closed, pause(withinMs)]);
    },
    async close() {
      clearInterval(ticking);
      if (!gateway.draining) server.close();
      for (const { socket } of gateway.connections) socket.destroy();
      gateway.pool.close();
      await closed;
    },
  };
}

/** One pass over all deadlines. */
export function tick(gateway: Gateway, now: number): void {
  gateway.clock.now = now;
  gateway.pool.sweep(now);
  endRevoked(gateway, now);
  for (const connection of gateway.connections) if (isOver(connection, now)) connection.user.expired();
}

const isOver = ({ gateway, deadline, yieldAt, forward }: Connection, now: number) =>
  deadline <= now || (yieldAt <= now && forward !== undefined && isCrowded(forward.route, gateway.rules));

/** Not all in one moment, or all clients would come back in one. */
function sendAway(gateway: Gateway, overMs: number): void {
  const connections = [...gateway.connections];
  connections.forEach((connection, index) => {
    const timer = setTimeout(() => connection.user.drain(), (overMs * index) / connections.length);
    timer.unref();
  });
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
