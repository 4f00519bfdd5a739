/** Pods and clients that stop in the middle: each phase has its time, and who is silent does not keep the others' places. */
import { createServer } from 'node:http';
import t from 'tap';
import { addPod, hostOf, keyOf, listenLocal, rawClient, slotNamed, waitFor } from './testing/harness.js';
import { A, AUTH, GOOD, OK, setup, type RawAnswer } from './testing/raw.js';

/** Answers by what is asked, and then says nothing more. */
const stops: RawAnswer = (socket, heard) => {
  if (heard.startsWith('GET /good')) socket.write(OK);
  if (heard.startsWith('GET /length')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
  if (heard.startsWith('GET /chunked'))
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n');
  if (heard.startsWith('GET /events'))
    socket.write(
      'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    );
};
const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\n${AUTH}${more}\r\n`;
const SOCKET = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n';

t.test('each phase has its time', async (t) => {
  const phases: [string, string, RegExp, number, RegExp | undefined][] = [
    ['no head', get('/never'), /^$/, 330_000, /^HTTP\/1\.1 504 [^]*TimedOut/],
    ['half a body with a length', get('/length'), /half$/, 60_000, /half$/],
    ['half a body without', get('/chunked'), /half\r\n$/, 330_000, /half\r\n$/],
    ['an event stream', get('/events'), /half\r\n$/, 610_000, /half\r\n$/],
    ['a handshake', get('/socket', SOCKET), /^$/, 60_000, /^HTTP\/1\.1 504 /],
    [
      'a client that does not go on',
      `POST /x HTTP/1.1\r\n${AUTH}Content-Length: 9\r\n\r\nhalf`,
      /^$/,
      60_000,
      /^HTTP\/1\.1 408 /,
    ],
  ];
  for (const [name, request, before, ms, after] of phases) {
    const { gateway, pod } = await setup(t, stops);
    const client = rawClient(gateway.port);
    client.socket.write(request);
    await waitFor(() => pod.heard.length === 1 && before.test(client.text()));
    const open = () => gateway.gateway.pool.size().open;
    await waitFor(() => open() === 1);
    gateway.later(ms - 5_000);
    t.equal(open(), 1, `${name}: there at ${ms} ms less a little`);
    gateway.later(ms + 5_000);
    await waitFor(() => open() === 0);
    if (after !== undefined) await waitFor(() => after.test(client.text()));
    t.match(gateway.table.bySlot(A)?.load, { requests: 0, streams: 0 }, name);
    client.socket.destroy();
  }
});

t.test(
  'when places are scarce, whatever is silent for long gives up its own; what moves, and streams, do not',
  async (t) => {
    const { gateway, pod } = await setup(t, stops, { maxRequests: 4 });
    const load = () => gateway.table.bySlot(A)?.load;
    const stream = rawClient(gateway.port);
    stream.socket.write(get('/events'));
    await stream.until(/half/);
    const stuck = [rawClient(gateway.port), rawClient(gateway.port)];
    for (const [at, { socket }] of stuck.entries()) socket.write(get(`/never${at}`));
    await waitFor(() => load()?.requests === 2 && pod.heard.length === 3);
    gateway.later(35_000);
    t.equal(load()?.requests, 2, 'nobody needs the places');
    for (const path of ['/length', '/chunked']) {
      const client = rawClient(gateway.port);
      client.socket.write(get(path));
      await client.until(/half/);
      stuck.push(client);
    }
    const refused = rawClient(gateway.port);
    refused.socket.write(GOOD);
    t.match(await refused.until(/\r\n\r\n/), /^HTTP\/1\.1 429 /);
    gateway.later(25_000);
    t.equal(load()?.requests, 4, 'long polls have their time');
    gateway.later(35_000);
    for (const client of stuck.slice(0, 2)) t.match(await client.until(/TimedOut/), /^HTTP\/1\.1 504 /);
    t.match(load(), { requests: 2, streams: 1 }, 'no more than it takes');
    refused.socket.write(GOOD);
    t.match(await refused.until(/good$/), /200 OK/);
    for (const client of [refused, stream, ...stuck]) client.socket.destroy();
  },
);

t.test('guests leave a quarter to the owner, and no sandbox takes all places of its owner', async (t) => {
  const { gateway } = await setup(t, stops, { maxRequests: 8, maxUserRequests: 64 });
  addPod(
    gateway,
    A,
    { agent: 1, 'worker-1': await silentPod(t) },
    {
      spec: { ports: [{ name: 'worker-1', port: 20_011, visibility: 'Public' }] },
    },
  );
  const asked = (host: string, more = '') => {
    const client = rawClient(gateway.port);
    t.teardown(() => client.socket.destroy());
    client.socket.write(`GET /never HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`);
    return client;
  };
  const load = () => gateway.table.bySlot(A)?.load.requests;
  for (let at = 0; at < 6; at++) asked(hostOf(A, 'work-1'));
  await waitFor(() => load() === 6);
  t.match(await asked(hostOf(A, 'work-1')).until(/\r\n\r\n/), /^HTTP\/1\.1 429 /);
  asked(hostOf(A, 'work-1'), `X-Session-API-Key: ${keyOf(A)}\r\n`);
  await waitFor(() => load() === 7);
  const owner = gateway.table.bySlot(A)?.ownerLoad;
  if (owner === undefined) throw new Error('no owner');
  owner.requests = 64;
  t.match(await asked(hostOf(A), `X-Session-API-Key: ${keyOf(A)}\r\n`).until(/\r\n\r\n/), /^HTTP\/1\.1 429 /);
  const B = slotNamed('b');
  addPod(gateway, B, { agent: await silentPod(t) });
  asked(hostOf(B), `X-Session-API-Key: ${keyOf(B)}\r\n`);
  await waitFor(() => gateway.table.bySlot(B)?.load.requests === 1);
  t.match(
    await asked(hostOf(B), `X-Session-API-Key: ${keyOf(B)}\r\n`).until(/\r\n\r\n/),
    /^HTTP\/1\.1 429 [^]*of its owner/,
    'a 64th of them, here one',
  );
});

async function silentPod(t: { teardown(done: () => void): void }): Promise<number> {
  const server = createServer(() => undefined);
  const port = await listenLocal(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return port;
}
