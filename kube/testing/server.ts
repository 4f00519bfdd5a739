import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createClient, kubeConfigOf } from '../client.js';

export type Answer = (response: ServerResponse, request: IncomingMessage, body: string) => void;
export interface Seen {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: string;
}

/** Answers requests from a script, one after the other; the last answer stays. */
export async function startServer(test: { teardown(run: () => Promise<void>): unknown }) {
  const seen: Seen[] = [];
  const script: Answer[] = [];
  const sockets = new Set<Socket>();
  const arrivals: (() => void)[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'http://x');
      const body = Buffer.concat(chunks).toString();
      seen.push({
        method: request.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body,
      });
      const answer = script.length > 1 ? script.shift() : script[0];
      if (answer === undefined) response.writeHead(500).end();
      else answer(response, request, body);
      for (const arrived of arrivals.splice(0)) arrived();
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const config = kubeConfigOf({ server: url, token: 'secret-token' });
  const client = createClient(config, { timeoutMs: 5000 });
  test.teardown(async () => {
    await client.close();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    client,
    config,
    seen,
    script,
    sockets,
    server,
    async until(count: number): Promise<void> {
      while (seen.length < count) await new Promise<void>((resolve) => arrivals.push(resolve));
    },
  };
}
