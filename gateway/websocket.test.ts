/** WebSockets through the gateway, with the real `ws` on both sides. */
import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer, type ClientOptions } from 'ws';
import { DOMAIN, gatewayTo, hostOf, keyOf, slotNamed, UI, waitFor } from './testing/harness.js';

const A = slotNamed('a');
const B = slotNamed('b');

async function setup(t: Test) {
  const server = createServer((_request, response) => void response.writeHead(403).end('no sockets here'));
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: true,
    handleProtocols: (offered) => (offered.has('streamlit') ? 'streamlit' : false),
  });
  const seen: { url: string | undefined; headers: NodeJS.Dict<string | string[]> }[] = [];
  server.on('upgrade', (request, socket, head) => {
    seen.push({ url: request.url, headers: request.headers });
    if (request.url === '/refuse' || request.url === '/sockets/refuse')
      return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      // A server that speaks first: these bytes come in one packet with its 101.
      webSocket.send('welcome');
      webSocket.on('message', (data, isBinary) => webSocket.send(data, { binary: isBinary }));
    });
  });
  const { gateway, port } = await gatewayTo(t, { server, slot: A, ports: ['agent', 'worker-1'] });
  return { gateway, sockets, seen, port };
}

function open(port: number, path: string, options: ClientOptions & { protocols?: string[]; first?: string } = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, options.protocols ?? [], options);
  const messages: string[] = [];
  const waiting: (() => void)[] = [];
  socket.on('message', (data: Buffer) => {
    messages.push(data.toString());
    waiting.splice(0).forEach((wake) => wake());
  });
  if (options.first !== undefined) socket.on('open', () => socket.send(options.first ?? ''));
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
  );
  const refused = new Promise<number>((resolve) => {
    socket.on('unexpected-response', (_request, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.on('error', () => undefined);
  });
  const count = async (n: number) => {
    while (messages.length < n) await new Promise<void>((resolve) => waiting.push(resolve));
    return messages;
  };
  return { socket, messages, count, closed, refused };
}
const withKey = (host = hostOf(A)) => ({ headers: { host, 'x-session-api-key': keyOf(A) } });

t.test('text, binary, subprotocol, compression, large messages and close codes', async (t) => {
  const { gateway, sockets } = await setup(t);
  const client = open(gateway.port, '/_stcore/stream', {
    ...withKey(hostOf(A, 'work-1')),
    protocols: ['streamlit', 'other'],
    perMessageDeflate: true,
  });
  t.same(await client.count(1), ['welcome']);
  t.equal(client.socket.protocol, 'streamlit');
  t.match(client.socket.extensions, 'permessage-deflate');
  const large = 'x'.repeat(3_000_000);
  client.socket.send('hello');
  client.socket.send(Buffer.from('binary'));
  client.socket.send(large);
  t.same((await client.count(4)).slice(1), ['hello', 'binary', large]);
  t.equal(gateway.table.bySlot(A)?.load.streams, 1);
  for (const socket of sockets.clients) socket.close(4321, 'enough');
  t.same(await client.closed, { code: 4321, reason: 'enough' });
  await waitFor(() => gateway.table.bySlot(A)?.load.streams === 0 && gateway.gateway.pool.size().open === 0);
  t.match(gateway.finished.at(-1), { status: 101, grant: 'key' });
});

t.test('a refused handshake is the answer of the pod, and the connection ends', async (t) => {
  const { gateway } = await setup(t);
  t.equal(await open(gateway.port, '/refuse', withKey()).refused, 403);
  t.equal(await open(gateway.port, '/x', { headers: { host: hostOf(A) } }).refused, 401);
  t.equal(await open(gateway.port, '/x', { headers: { host: hostOf(B) } }).refused, 404);
  t.equal(
    await open(gateway.port, '/sockets/x', { headers: { host: hostOf(A), 'x-session-api-key': 'wrong' } }).refused,
    401,
  );
  await waitFor(() => gateway.gateway.connections.size === 0);
  t.equal(gateway.table.bySlot(A)?.load.streams, 0);
});

t.test('a key in the first frame: the gateway checks it before the pod hears anything', async (t) => {
  const { gateway, seen } = await setup(t);
  const auth = (key: string) => JSON.stringify({ type: 'auth', session_api_key: key });
  for (const [host, path] of [
    [hostOf(A), '/sockets/events/x?resend_mode=all'],
    [DOMAIN, '/sockets/bash-events'],
    ['127.0.0.1', '/sockets/session/x'],
  ] as const) {
    const client = open(gateway.port, path, { headers: { host, origin: UI }, first: auth(keyOf(A)) });
    // The pod gets the frame too: agent servers authenticate by themselves.
    t.same(await client.count(2), ['welcome', auth(keyOf(A))]);
    t.match(seen.at(-1), {
      url: path,
      headers: { 'sec-websocket-extensions': undefined, 'x-session-api-key': undefined },
    });
    client.socket.close(1000);
    t.equal((await client.closed).code, 1000);
  }
  const before = seen.length;
  const failed = { code: 4001, reason: 'Authentication failed' };
  for (const first of ['not json', '[]', '{"role":"user","content":[]}', auth('wrong'), auth(keyOf(B))]) {
    t.same(
      await open(gateway.port, '/sockets/events/x', { headers: { host: hostOf(A) }, first }).closed,
      failed,
      first,
    );
    t.same(await open(gateway.port, '/sockets/bash-events', { first }).closed, failed, first);
  }
  const silent = open(gateway.port, '/sockets/events/x', { headers: { host: hostOf(A) } });
  await new Promise((resolve) => silent.socket.once('open', resolve));
  gateway.later(11_000);
  t.same(await silent.closed, failed);
  t.equal(seen.length, before, 'none of them reached the pod');
  t.equal((await open(gateway.port, '/sockets/refuse', { first: auth(keyOf(A)) }).closed).code, 1011);
  gateway.table.upsertSandbox({
    metadata: { name: `box-${A}`, namespace: 'default' },
    spec: { owner: 'alice', runState: 'Paused' },
    status: { slot: A, keyEpoch: 1, phase: 'Running' },
  });
  t.same(await open(gateway.port, '/sockets/bash-events', { first: auth(keyOf(A)) }).closed, {
    code: 1013,
    reason: 'SandboxPaused',
  });
});

t.test('pings keep a WebSocket open but are no activity; silence ends it', async (t) => {
  const { gateway, sockets } = await setup(t);
  const client = open(gateway.port, '/x', withKey());
  await client.count(1);
  const load = gateway.table.bySlot(A)?.load ?? { lastTraffic: -1 };
  load.lastTraffic = 0;
  for (const socket of sockets.clients) socket.ping('x'.repeat(100));
  await new Promise((resolve) => client.socket.once('ping', resolve));
  client.socket.ping();
  await new Promise((resolve) => client.socket.once('pong', resolve));
  t.equal(load.lastTraffic, 0);
  client.socket.send('work');
  await client.count(2);
  t.ok(load.lastTraffic > 0);
  gateway.later(609_000);
  t.equal(client.socket.readyState, WebSocket.OPEN);
  gateway.later(611_000);
  t.same(await client.closed, { code: 1001, reason: 'idle' });
});

t.test('draining tells WebSockets to come back', async (t) => {
  const { gateway, sockets } = await setup(t);
  const clients = Array.from({ length: 5 }, () => open(gateway.port, '/x', withKey()));
  await Promise.all(clients.map((client) => client.count(1)));
  const waiting = open(gateway.port, '/sockets/x', { headers: { host: hostOf(A) } });
  await new Promise((resolve) => waiting.socket.once('open', resolve));
  const drained = gateway.listening.drain(1_000);
  for (const client of [...clients, waiting]) t.same(await client.closed, { code: 1012, reason: 'restarting' });
  await drained;
  await waitFor(() => sockets.clients.size === 0);
  t.equal(gateway.table.bySlot(A)?.load.streams, 0);
});
