/** All agent servers of a test behind one loopback port: told apart by their init keys and session keys. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { initKey } from '../../contracts/keys.js';

export interface FakeAgents {
  port: number;
  /** Session keys that a slot's agent server was given, in order; undefined while it is dormant. */
  keysOf(slot: string): string[] | undefined;
  /** Slots that were initialised, in order. */
  initialised: string[];
  /** What POST /api/init answers next for any slot: a status, or the connection is cut after the work is done. */
  next: (number | 'cut')[];
  /** Seconds that /server_info tells. */
  idle: number;
  /** Ids of conversations that run in each initialised agent server, until they are paused. */
  running: string[];
  /** Conversations go on when they are asked to pause. */
  stubborn: boolean;
  /** What was asked on the way out: `slot path`, in order. */
  farewells: string[];
  /** Told of each of those, with their number so far, before it is answered. */
  said: (count: number) => void;
  close(): Promise<void>;
}

/** `slots` must name every slot that may ask: a real agent server knows its own key only. */
export async function startAgents(secret: string, slots: () => string[]): Promise<FakeAgents> {
  const keys = new Map<string, string[]>();
  const paused = new Set<string>();
  const left = (slot: string) => agents.running.filter((id) => agents.stubborn || !paused.has(`${slot} ${id}`));
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
    const path = (request.url ?? '').split('?')[0] ?? '';
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      if (path === '/server_info') return answer(200, { idle_time: agents.idle });
      const session = String(request.headers['x-session-api-key']);
      const [known] = [...keys].find(([, own]) => own.includes(session)) ?? [];
      if (path.startsWith('/api/conversations/')) {
        if (known === undefined) return answer(401, { detail: 'Unauthorized' });
        if (request.method === 'POST' || path.endsWith('/search')) {
          agents.farewells.push(`${known} ${path}`);
          agents.said(agents.farewells.length);
        }
        if (path.endsWith('/count')) return answer(200, left(known).length);
        if (path.endsWith('/search')) return answer(200, { items: left(known).map((id) => ({ id })) });
        paused.add(`${known} ${path.split('/')[3] ?? ''}`);
        return answer(200, { success: true });
      }
      const slot = slots().find((one) => initKey(secret, one) === request.headers['x-init-api-key']);
      if (path !== '/api/init' || slot === undefined) return answer(401, { detail: 'Unauthorized' });
      const next = agents.next.shift();
      if (typeof next === 'number' && next !== 200) return answer(next, { detail: 'no' });
      if (keys.has(slot)) return answer(400, { detail: 'server already in state: ready' });
      keys.set(slot, (JSON.parse(text) as { session_api_keys: string[] }).session_api_keys);
      agents.initialised.push(slot);
      if (next === 'cut') return void request.socket.destroy();
      return answer(200, { state: 'ready', error: null });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const agents: FakeAgents = {
    port: (server.address() as AddressInfo).port,
    keysOf: (slot) => keys.get(slot),
    initialised: [],
    next: [],
    idle: 0,
    running: [],
    stubborn: false,
    farewells: [],
    said: () => undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return agents;
}
