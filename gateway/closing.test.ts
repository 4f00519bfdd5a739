/** How WebSockets and event streams end: always with a code or an event that says whether to come back. */
import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { A, agent, open as openEvents } from './testing/agent.js';
import { get } from './testing/client.js';
import { gatewayTo, hostOf, keyOf, listenLocal, rawClient, sandboxOf, sliceOf, waitFor } from './testing/harness.js';

async function setup(t: Test) {
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.send('welcome'));
  const { gateway, port } = await gatewayTo(t, { server, slot: A });
  const open = async (host = hostOf(A)) => {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/sockets/x`, {
      headers: { host, 'x-session-api-key': keyOf(A) },
    });
    const closed = new Promise<string>((resolve) =>
      socket.once('close', (code, reason) => resolve(`${code} ${reason.toString()}`)),
    );
    await new Promise((resolve) => socket.once('message', resolve));
    return { closed };
  };
  const cut = () => sockets.clients.forEach((socket) => socket.terminate());
  return { gateway, sockets, port, open, cut };
}

const paused = sandboxOf(A, { spec: { runState: 'Paused' }, status: { phase: 'Pausing' } });

t.test('a pod that dies: come back, or when it is resumed; what it says itself goes through', async (t) => {
  const { gateway, sockets, port, open, cut } = await setup(t);
  const [agents, apps] = [await open(), await open(hostOf(A, String(port)))];
  cut();
  t.equal(await agents.closed, '1012 SandboxRestarting');
  t.equal(await apps.closed, '1012 SandboxRestarting');
  const told = await open();
  for (const socket of sockets.clients) socket.close(4004, 'Conversation not found');
  t.equal(await told.closed, '4004 Conversation not found');
  const sleeping = await open();
  gateway.table.upsertSandbox(paused);
  gateway.later(0);
  t.equal(gateway.table.bySlot(A)?.load.streams, 1, 'the pod may still tell how it ends');
  cut();
  t.equal(await sleeping.closed, '1013 SandboxPaused');
  await waitFor(() => gateway.table.bySlot(A)?.load.streams === 0);
});

t.test('a pod that is replaced without a word: what went to the old one ends at once', async (t) => {
  const { gateway, open, port } = await setup(t);
  const socket = await open();
  const hanging = createServer(() => undefined);
  const hangs = await listenLocal(hanging);
  t.teardown(() => (hanging.closeAllConnections(), hanging.close()));
  gateway.table.upsertSlice(sliceOf(A, '127.0.0.1', { agent: port, 'worker-1': hangs }));
  const request = get(gateway.port, A, '/', { headers: { host: hostOf(A, 'work-1') }, method: 'POST', body: 'once' });
  await waitFor(() => gateway.table.bySlot(A)?.load.requests === 1);
  gateway.later(0);
  gateway.table.upsertSlice(sliceOf(A, '127.0.0.2', { agent: port, 'worker-1': hangs }));
  gateway.later(0);
  t.equal(await socket.closed, '1012 SandboxRestarting');
  t.match(await request, { status: 502, text: /"Unreachable"/, headers: { 'retry-after': '1' } });
});

t.test('a right that ends: agent sockets hear it as from agent servers, apps as a breach of policy', async (t) => {
  const { gateway, port, open } = await setup(t);
  const [agents, apps] = [await open(), await open(hostOf(A, String(port)))];
  // The port has a name on the agent's own address only.
  gateway.table.upsertSandbox(sandboxOf(A, { status: { keyEpoch: 2 } }));
  gateway.later(0);
  t.equal(await agents.closed, '4001 access ended');
  t.equal(await apps.closed, '4001 access ended');
  gateway.table.upsertSandbox(sandboxOf(A));
  const gone = await open();
  gateway.table.removeSandbox(sandboxOf(A));
  gateway.later(0);
  t.equal(await gone.closed, '4004 sandbox gone');
});

t.test('event streams end with the reason', async (t) => {
  const { gateway, sockets } = await agent(t);
  const first = await openEvents(gateway);
  await waitFor(() => first.frames.length === 1);
  gateway.table.upsertSandbox(paused);
  for (const socket of sockets.clients) socket.terminate();
  await first.ended;
  t.match(first.frames.at(-1), { event: 'end', data: '{"reason":"SandboxPaused"}' });
  gateway.table.upsertSandbox(sandboxOf(A));
  const second = await openEvents(gateway);
  await waitFor(() => second.frames.length === 1);
  gateway.table.upsertSlice(sliceOf(A, '127.0.0.2', { agent: 1 }));
  gateway.later(0);
  await second.ended;
  t.match(second.frames.at(-1), { event: 'end', data: '{"reason":"SandboxStarting"}' });
});

t.test('what is being opened while the gateway drains is sent away too', async (t) => {
  const server = createServer();
  const sockets = new WebSocketServer({ noServer: true });
  let accept: (() => void) | undefined;
  server.on('upgrade', (request, socket, head) => {
    accept = () => sockets.handleUpgrade(request, socket, head, () => undefined);
  });
  const { gateway } = await gatewayTo(t, { server, slot: A });
  const headers = { host: hostOf(A), 'x-session-api-key': keyOf(A) };
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/sockets/x`, { headers });
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  await waitFor(() => accept !== undefined);
  const drained = gateway.listening.drain(5_000);
  accept?.();
  t.equal(await closed, 1012);
  await drained;
});

t.test('a connection that was just made is answered yet, an idle one is ended', async (t) => {
  const server = createServer((_, response) => void response.end('here'));
  const { gateway } = await gatewayTo(t, { server, slot: A });
  const request = `GET / HTTP/1.1\r\nHost: ${hostOf(A)}\r\nX-Session-API-Key: ${keyOf(A)}\r\n\r\n`;
  const [fresh, kept] = [rawClient(gateway.port), rawClient(gateway.port)];
  kept.socket.write(request);
  await kept.until(/here/);
  await waitFor(() => gateway.gateway.connections.size === 2);
  const drained = gateway.listening.drain(200);
  await kept.ended;
  fresh.socket.write(request);
  t.match(await fresh.ended, /^HTTP\/1\.1 200 [^]*Connection: close[^]*here/);
  await drained;
});
