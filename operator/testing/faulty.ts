/** A proxy in front of a Kubernetes API that fails as a real one does: with a seed, or whole for a while. */
import {
  createServer,
  request as plainRequest,
  type ClientRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { loadKubeConfig, type KubeConfig } from '../../kube/config.js';

export interface FaultyApi {
  /** For createClient: everything goes through the proxy. */
  config: KubeConfig;
  /** Share of the calls that fail, 0 to 1: half are refused, a quarter is done and its answer cut, a quarter ends watches. */
  rate: number;
  /** Answers 503 to everything and cuts what is open, until it is called again. */
  down(on: boolean): void;
  failed(): number;
  close(): Promise<void>;
}

const REFUSALS = [
  [409, 'Conflict'],
  [429, 'TooManyRequests'],
  [500, 'InternalError'],
  [503, 'ServiceUnavailable'],
] as const;

export async function startFaultyApi(kubeconfig: string, seed: number): Promise<FaultyApi> {
  const inner = loadKubeConfig({ KUBECONFIG: kubeconfig });
  const { headers: own, tls } = await inner.credentials();
  const base = new URL(inner.server);
  const open = new Set<Socket>();
  let state = seed;
  let isDown = false;
  let failed = 0;
  /** xorshift32. */
  const random = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  const refuse = (response: ServerResponse, [code, reason]: readonly [number, string]): void => {
    failed += 1;
    const status = {
      kind: 'Status',
      apiVersion: 'v1',
      status: 'Failure',
      code,
      reason,
      message: 'a fault of the proxy',
    };
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(status));
  };
  const forward = (incoming: IncomingMessage, take: (answer: IncomingMessage) => void): ClientRequest => {
    const headers = { ...incoming.headers, ...own, host: base.host };
    const options = { method: incoming.method, headers, path: incoming.url };
    return base.protocol === 'https:'
      ? tlsRequest(base, { ...options, ...tls }, take)
      : plainRequest(base, options, take);
  };

  const server = createServer((incoming, response) => {
    const faulty = isDown || random() < self.rate;
    const kind = random();
    if (isDown || (faulty && kind < 0.5)) {
      incoming.resume();
      return refuse(response, isDown ? REFUSALS[3] : (REFUSALS[Math.floor(random() * 4)] ?? REFUSALS[0]));
    }
    const onward = forward(incoming, (answer) => {
      if (faulty) {
        // Done there, and nobody hears of it.
        failed += 1;
        answer.resume();
        answer.on('end', () => incoming.socket.destroy());
        return setTimeout(() => incoming.socket.destroy(), 50).unref();
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on('error', () => response.destroy());
      return answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    return incoming.pipe(onward);
  });
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const self: FaultyApi = {
    config: {
      server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      credentials: async () => ({ headers: {}, tls: {} }),
    },
    rate: 0,
    down(on) {
      isDown = on;
      if (on) for (const socket of open) socket.destroy();
    },
    failed: () => failed,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
  return self;
}
