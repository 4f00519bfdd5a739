/** A gateway with real sockets on both sides, for tests and benchmarks: pods are servers of the caller. */
import type { AddressInfo, Server } from 'node:net';
import { connect, type Socket } from 'node:net';
import type { Test } from 'tap';
import { parseRequest, type RequestHead } from '../http/request.js';
import { SHARED_SERVICE } from '../../contracts/labels.js';
import { sessionKey } from '../../contracts/keys.js';
import type { Sandbox } from '../../contracts/resources.js';
import type { EndpointSlice } from '../../kube/kinds.js';
import { buildGateway } from '../build.js';
import type { Finished, Gateway, Timeouts } from '../gateway.js';
import { createPool } from '../pool.js';
import { routeChanged } from '../rights.js';
import { listenGateway, tick, type Listening } from '../server.js';
import type { Waker } from '../wake.js';
import { createTable, type RouteTable } from '../table.js';

export const SECRET = 'an installation secret of enough characters';
export const DOMAIN = 'sandbox.localhost:3001';
export const UI = 'http://localhost:3000';

export const slotNamed = (letter: string) => `s${letter.repeat(13)}`;

export function sandboxOf(
  slot: string,
  more: { [K in 'spec' | 'status']?: Partial<Sandbox[K]> } & { name?: string } = {},
): Sandbox {
  return {
    metadata: { name: more.name ?? `box-${slot}`, namespace: 'default', uid: `uid-${slot}`, resourceVersion: '1' },
    spec: { owner: 'alice', ...more.spec },
    status: { slot, keyEpoch: 1, phase: 'Running', ...more.status },
  };
}

export function sliceOf(slot: string, ip: string, ports: Record<string, number>, ready = true): EndpointSlice {
  return {
    metadata: { name: `${SHARED_SERVICE}-${slot}`, namespace: 'default' },
    addressType: 'IPv4',
    ports: Object.entries(ports).map(([name, port]) => ({ name, port })),
    endpoints: [{ addresses: [ip], conditions: { ready }, targetRef: { kind: 'Pod', name: slot } }],
  } as EndpointSlice;
}

export const noWaker: Waker = { wake: () => undefined };

export interface TestGateway {
  gateway: Gateway;
  table: RouteTable;
  listening: Listening;
  port: number;
  finished: Finished[];
  /** Lets time pass: deadlines are checked as if it were `ms` later. */
  later(ms: number): void;
  close(): Promise<void>;
}

export async function startTestGateway(
  options: {
    timeouts?: Partial<Timeouts>;
    waker?: Waker;
    maxRequests?: number;
    maxStreams?: number;
    maxUserRequests?: number;
    maxUserStreams?: number;
    port?: number;
    /** With the port, for browsers. */
    domain?: string;
    ui?: string;
  } = {},
): Promise<TestGateway> {
  const finished: Finished[] = [];
  const pool = createPool({ dialTimeoutMs: 2_000, idleMs: 60_000, maxIdlePerPort: 64 });
  const table = createTable(SECRET, { moved: pool.forget, changed: (slot) => routeChanged(gateway, slot) });
  const gateway = buildGateway(
    {
      secret: SECRET,
      domain: options.domain ?? DOMAIN,
      protocol: 'http',
      uiOrigins: [options.ui ?? UI],
      maxRequests: options.maxRequests ?? 1000,
      maxStreams: options.maxStreams ?? 1000,
      maxUserRequests: options.maxUserRequests ?? 2000,
      maxUserStreams: options.maxUserStreams ?? 2000,
      trustForwarded: false,
    },
    {
      table,
      pool,
      isSynced: () => true,
      waker: options.waker ?? noWaker,
      observer: { finished: (one) => void finished.push(one), dialFailed: () => undefined },
      ...(options.timeouts === undefined ? {} : { timeouts: options.timeouts }),
    },
  );
  const listening = await listenGateway(gateway, {
    host: '127.0.0.1',
    port: options.port ?? 0,
    maxConnections: 10_000,
  });
  return {
    gateway,
    table,
    listening,
    port: listening.port,
    finished,
    later: (ms) => tick(gateway, Date.now() + ms),
    close: () => listening.close(),
  };
}

export const keyOf = (slot: string, epoch = 1) => sessionKey(SECRET, slot, epoch);
export const hostOf = (slot: string, service = '') => `${service === '' ? '' : `${service}-`}${slot}.${DOMAIN}`;

/** Puts a sandbox into the table whose ports answer at `ports` of 127.0.0.1. */
export function addPod(
  test: Pick<TestGateway, 'table'>,
  slot: string,
  ports: Record<string, number>,
  more: Parameters<typeof sandboxOf>[1] = {},
): void {
  test.table.upsertSandbox(sandboxOf(slot, more));
  test.table.upsertSlice(sliceOf(slot, '127.0.0.1', ports));
}

/** A server of the test's as a sandbox's pod, behind a gateway; both end with the test, and what they have open. */
export async function gatewayTo(
  t: Test,
  { server, slot, ports = ['agent'] }: { server: Server; slot: string; ports?: string[] },
): Promise<{ gateway: TestGateway; port: number }> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => open.add(socket.once('close', () => open.delete(socket))));
  const port = await listenLocal(server);
  const gateway = await startTestGateway();
  t.teardown(async () => {
    await gateway.close();
    for (const socket of open) socket.destroy();
    server.close();
  });
  addPod(gateway, slot, Object.fromEntries(ports.map((name) => [name, port])));
  return { gateway, port };
}

export async function listenLocal(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

export function requestTo(
  host: string,
  target: string,
  fields: Record<string, string> = {},
  method = 'GET',
): RequestHead {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines.join('')}`, 'latin1');
  return parseRequest(bytes, 0, bytes.length);
}

/** A raw client: what it sends and all that comes back until the other side ends, or until `until` matches. */
export function rawClient(port: number): {
  socket: Socket;
  text(): string;
  until(pattern: RegExp): Promise<string>;
  ended: Promise<string>;
} {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  const waiting: { pattern: RegExp; resolve: (text: string) => void }[] = [];
  const check = () => {
    for (const entry of [...waiting])
      if (entry.pattern.test(text)) {
        waiting.splice(waiting.indexOf(entry), 1);
        entry.resolve(text);
      }
  };
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    check();
  });
  socket.on('error', () => undefined);
  const ended = new Promise<string>((resolve) => socket.once('close', () => resolve(text)));
  return {
    socket,
    text: () => text,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        waiting.push({ pattern, resolve });
        socket.once('close', () =>
          reject(new Error(`closed before ${String(pattern)}: ${JSON.stringify(text.slice(0, 500))}`)),
        );
        check();
      }),
    ended,
  };
}

/** Waits for what other sockets' events bring about. */
export async function waitFor(check: () => boolean): Promise<void> {
  for (let tries = 0; !check(); tries++) {
    if (tries > 1000) throw new Error(`never came true: ${String(check)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
