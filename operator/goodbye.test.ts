/** The last words to an agent server: whatever listens there, they end. */
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import t from 'tap';
import { systemClock } from '../process/clock.js';
import { createAgentClient } from './agent.js';
import { sayGoodbye, type Call } from './goodbye.js';

const ID = '11111111-2222-4333-8444-555555555555';
const never = new AbortController().signal;

/** What is asked of an agent server that answers so, and how that ends. Waits are counted, not waited. */
async function talk(answers: (path: string) => unknown): Promise<{ end: string; asked: string[]; waits: number[] }> {
  const asked: string[] = [];
  const waits: number[] = [];
  const call: Call = async (path, { post = false }) => {
    const short = path.replace('/api/conversations/', '').replace(/\?.*/, '');
    asked.push(`${post ? 'POST' : 'GET'} ${short}`);
    const body = answers(short);
    if (body instanceof Error) throw body;
    return typeof body === 'number' && body >= 400 ? { status: body, body: {} } : { status: 200, body };
  };
  const end = await sayGoodbye(call, async (ms) => void waits.push(ms));
  return { end, asked, waits };
}

t.test('what is said, by what is answered', async (t) => {
  const idle = await talk((path) => (path === 'search' ? { items: [] } : null));
  t.same(idle, { end: 'stopped', asked: ['GET search', 'POST prepare-for-sandbox-pause'], waits: [] });

  let looks = 0;
  const busy = await talk((path) =>
    path === 'search' ? { items: [{ id: ID, more: 1 }] } : path === 'count' ? 1 - looks++ : null,
  );
  t.equal(busy.end, 'stopped');
  t.same(busy.asked, ['GET search', `POST ${ID}/pause`, 'GET count', 'GET count', 'POST prepare-for-sandbox-pause']);

  const stubborn = await talk((path) => (path === 'search' ? { items: [{ id: ID }] } : path === 'count' ? 1 : null));
  t.equal(stubborn.end, 'running');
  t.equal(stubborn.asked.filter((one) => one === 'GET count').length, 3, 'three looks and no more');
  t.ok(stubborn.asked.includes('POST prepare-for-sandbox-pause'), 'what there is is sent all the same');

  const old = await talk((path) => (path === 'search' ? { items: [] } : 404));
  t.equal(old.end, 'stopped', 'an agent server that knows no flush');
});

t.test('hostile answers end it', async (t) => {
  const rows: [string, unknown][] = [
    ['dormant', 503],
    ['no JSON', undefined],
    ['not a list', { items: 'x' }],
    ['an id that is a path', { items: [{ id: '../../api/settings' }] }],
    ['more than was asked for', { items: Array.from({ length: 1_000 }, () => ({ id: ID })) }],
    ['gone', new Error('ECONNREFUSED')],
  ];
  for (const [name, search] of rows) {
    const { end, asked } = await talk((path) => (path === 'search' ? search : null));
    t.same({ end, asked }, { end: 'silent', asked: ['GET search'] }, name);
  }
  const dies = await talk((path) =>
    path === 'search' ? { items: [{ id: ID }] } : path === 'count' ? new Error('reset') : new Error('reset'),
  );
  t.equal(dies.end, 'running', 'one that dies in between is not looked at again');
  t.equal(dies.asked.filter((one) => one === 'GET count').length, 1);
});

t.test('over real connections: dead, mute, endless and good ones', { timeout: 60_000 }, async (t) => {
  const agents = createAgentClient(systemClock);
  t.teardown(() => agents.close());
  const sockets = new Set<Socket>();
  const listening = async (server: ReturnType<typeof createTcpServer>): Promise<number> => {
    server.on('connection', (socket: Socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  };
  const http = (handler: RequestListener) => listening(createServer(handler));
  const leave = async (port: number) => agents.farewell({ host: '127.0.0.1', port }, 'key', never);

  const mute = await listening(createTcpServer());
  t.equal(await leave(1), 'silent', 'nothing listens');
  t.equal(await leave(mute), 'silent', 'a socket that never answers');
  const endless = await http((_request, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write('['.repeat(100_000)), 1);
    response.on('close', () => clearInterval(drip));
  });
  t.equal(await leave(endless), 'silent', 'an answer without end');
  let paused = 0;
  const keys = new Set<unknown>();
  const good = await http((request, response) => {
    keys.add(request.headers['x-session-api-key']);
    if (request.url?.endsWith('/pause') === true) paused += 1;
    const body = request.url?.includes('/search') === true ? { items: [{ id: ID }] } : 1 - paused;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  t.equal(await leave(good), 'stopped');
  t.same([...keys], ['key']);
  const stop = new AbortController();
  const aborted = agents.farewell({ host: '127.0.0.1', port: mute }, 'key', stop.signal);
  stop.abort();
  t.equal(await aborted, 'silent', 'the end of the term ends it');
});
