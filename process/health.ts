import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface HealthOptions {
  host: string;
  /** 0 lets the system choose. */
  port: number;
  registry: Registry;
  /** Why the program should get no traffic now; empty when it should. */
  ready: () => string[];
}

/** Serves /healthz (the process answers), /readyz (503 with the reasons while not ready) and /metrics, apart from the program's own port. */
export async function startHealth(options: HealthOptions): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    answer(options, request, response).catch((error: unknown) => send(response, 500, `${String(error)}\n`));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { port: (server.address() as AddressInfo).port, close };
}

async function answer(options: HealthOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, 405, 'method not allowed\n');
  switch ((request.url ?? '').split('?')[0]) {
    case '/healthz':
      return send(response, 200, 'ok\n');
    case '/readyz': {
      const reasons = options.ready();
      return reasons.length === 0 ? send(response, 200, 'ok\n') : send(response, 503, `${reasons.join('\n')}\n`);
    }
    case '/metrics':
      return send(response, 200, await options.registry.metrics(), options.registry.contentType);
    default:
      return send(response, 404, 'not found\n');
  }
}

function send(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}
