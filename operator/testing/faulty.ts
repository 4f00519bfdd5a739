/** A proxy in front of a Kubernetes API that fails as a real one does: by rules, and where a test cuts or parts it. */
import {
  createServer,
  request as plainRequest,
  type ClientRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { request as tlsRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadKubeConfig, type KubeConfig } from '../../kube/config.js';
import { callOf, type Call, type Fault } from './fault.js';

export interface FaultyApi {
  /** For createClient: everything goes through the proxy. */
  config: KubeConfig;
  /** Asked for each call; set it to change the weather. */
  rule: (call: Call) => Fault | undefined;
  /** All calls, in order. */
  calls: Call[];
  failed(): number;
  /** Ends all connections, or those of watches only. */
  cut(what: 'all' | 'watches'): void;
  /** Ends the open watches as a server does that has forgotten their version. */
  expireWatches(): void;
  /**
   * While on, nothing arrives at either side, and nobody is told. What the sender gave up meanwhile is lost; the rest arrives
   * when it is off again, as TCP does it.
   */
  partition(on: boolean): void;
  close(): Promise<void>;
}

const statusOf = (code: number, reason: string, message = 'a fault of the proxy') => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  code,
  reason,
  message,
});
const GONE = `${JSON.stringify({ type: 'ERROR', object: statusOf(410, 'Expired', 'too old resource version') })}\n`;
const LOSE_MS = 50;

interface OpenWatch {
  answer: IncomingMessage;
  response: ServerResponse;
}

export async function startFaultyApi(kubeconfig: string): Promise<FaultyApi> {
  const inner = loadKubeConfig({ KUBECONFIG: kubeconfig });
  const { headers: own, tls } = await inner.credentials();
  const base = new URL(inner.server);
  const open = new Set<Socket>();
  const watches = new Set<OpenWatch>();
  let healed: { promise: Promise<void>; resolve: () => void } | undefined;
  let failed = 0;

  const refuse = (
    response: ServerResponse,
    { code, reason, message, retryAfter }: Fault & { kind: 'refuse' },
  ): void => {
    const header = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
    response
      .writeHead(code, { 'content-type': 'application/json', ...header })
      .end(JSON.stringify(statusOf(code, reason, message)));
  };
  const send = (incoming: IncomingMessage, take: (answer: IncomingMessage) => void): ClientRequest => {
    const headers = { ...incoming.headers, ...own, host: base.host };
    const options = { method: incoming.method, headers, path: incoming.url };
    return base.protocol === 'https:'
      ? tlsRequest(base, { ...options, ...tls }, take)
      : plainRequest(base, options, take);
  };
  /** Done there, and nobody hears of it. */
  const lose = (incoming: IncomingMessage, answer: IncomingMessage): void => {
    answer.resume();
    answer.on('end', () => incoming.socket.destroy());
    setTimeout(() => incoming.socket.destroy(), LOSE_MS).unref();
  };
  const deliverSome = (bytes: number, response: ServerResponse, answer: IncomingMessage): void => {
    let left = bytes;
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    response.flushHeaders();
    const end = (last: Buffer): void => {
      answer.destroy();
      // What was written before has to leave before the connection ends.
      response.write(last, () => response.destroy());
    };
    if (bytes === 0) return end(Buffer.alloc(0));
    answer.on('data', (chunk: Buffer) => {
      if (left <= 0) return;
      left -= chunk.length;
      if (left > 0) response.write(chunk);
      else end(chunk.subarray(0, chunk.length + left));
    });
    answer.on('close', () => response.destroy());
  };
  const deliver = (call: Call, response: ServerResponse, answer: IncomingMessage): void => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.on('error', () => response.destroy());
    if (healed === undefined) answer.pipe(response);
    if (call.verb !== 'watch' && healed === undefined) return;
    const watch = { answer, response };
    watches.add(watch);
    response.on('close', () => watches.delete(watch));
  };
  const forward = (call: Call, fault: Fault | undefined, incoming: IncomingMessage, response: ServerResponse): void => {
    call.forwardedAt = performance.now();
    const onward = send(incoming, (answer) => {
      if (fault?.kind === 'lose') lose(incoming, answer);
      else if (fault?.kind === 'cut') deliverSome(fault.bytes, response, answer);
      else deliver(call, response, answer);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    incoming.pipe(onward);
  };
  const take = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const call = callOf(incoming.method ?? 'GET', incoming.url ?? '/');
    self.calls.push(call);
    const fault = self.rule(call);
    if (fault !== undefined) failed += 1;
    if (fault?.kind === 'delay') await sleep(fault.ms);
    while (healed !== undefined) await healed.promise;
    if (response.destroyed || incoming.socket.destroyed) return;
    if (fault?.kind === 'refuse' || fault?.kind === 'gone') incoming.resume();
    if (fault?.kind === 'refuse') refuse(response, fault);
    else if (fault?.kind === 'gone') response.writeHead(200, { 'content-type': 'application/json' }).end(GONE);
    else forward(call, fault, incoming, response);
  };

  const server = createServer((incoming, response) => void take(incoming, response));
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
    rule: () => undefined,
    calls: [],
    failed: () => failed,
    cut(what) {
      if (what === 'all') for (const socket of open) socket.destroy();
      else for (const { response } of watches) response.destroy();
    },
    expireWatches() {
      for (const { answer, response } of watches) {
        answer.unpipe(response);
        response.end(GONE);
      }
    },
    partition(on) {
      if (on) {
        let resolve = (): void => undefined;
        healed = { promise: new Promise<void>((done) => (resolve = done)), resolve: () => resolve() };
        for (const { answer, response } of watches) answer.unpipe(response);
      } else {
        healed?.resolve();
        healed = undefined;
        for (const { answer, response } of watches) answer.pipe(response);
      }
    },
    close: () =>
      new Promise((resolve) => {
        self.partition(false);
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
  return self;
}
