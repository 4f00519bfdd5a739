/**
 * Mutated messages by fixed seeds. What holds for each: the other parser behind the gateway sees exactly the requests that the
 * gateway says it passed on, nobody gets an answer to another's request, and at the end nothing is left open.
 * SANDLOT_TEST_FUZZ_TIMES=20 does twenty times as many.
 */
import { createServer, type IncomingMessage } from 'node:http';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { generator, mutate, type Random } from './testing/fuzz.js';
import {
  addPod,
  gatewayTo,
  hostOf,
  keyOf,
  listenLocal,
  rawClient,
  startTestGateway,
  waitFor,
} from './testing/harness.js';
import { A, AUTH, GOOD, OK, post, setup } from './testing/raw.js';

/** How many rounds a suite does: its own number, or that many times more where somebody has the time. */
const rounds = (own: number): number => own * Number(process.env['SANDLOT_TEST_FUZZ_TIMES'] ?? 1);

/** A pod with Node's parser, which is as strict as parsers get, and not ours. */
async function startSecondParser(t: Test) {
  const seen: string[] = [];
  const strangers: string[] = [];
  const server = createServer((request, response) => {
    if (request.headers['x-session-api-key'] !== keyOf(A)) strangers.push(request.url ?? '');
    seen.push(`${request.method} ${request.url}`);
    echo(request, (text) => response.end(text));
  });
  server.on('upgrade', (request, socket) => {
    seen.push(`${request.method} ${request.url}`);
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
  });
  const refused = new Set<string>();
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    refused.add(error.code ?? error.message);
    socket.destroy();
  });
  const port = await listenLocal(server);
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port, seen, strangers, refused };
}

function echo(request: IncomingMessage, done: (text: string) => void): void {
  let length = 0;
  request.on('data', (chunk: Buffer) => (length += chunk.length));
  request.on('error', () => undefined);
  request.on('end', () => done(`<${request.url} ${length}>`));
}

/** Methods that Node does not know are good ones all the same, and clients that go away cut their bodies. */
const EXPECTED_THERE = new Set(['HPE_INVALID_METHOD', 'HPE_INVALID_EOF_STATE', 'ECONNRESET']);

/** The same in pieces, as networks deliver it. */
async function writeInPieces(
  socket: { write(text: string, encoding: 'latin1'): unknown },
  text: string,
  random: Random,
) {
  let at = 0;
  while (at < text.length) {
    const size = 1 + random(random(4) === 0 ? 8 : 400);
    socket.write(text.slice(at, at + size), 'latin1');
    at += size;
    if (random(3) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

t.test('mutated requests: a second parser sees what the gateway saw, and nobody another’s answer', async (t) => {
  const random = generator(20_261_123);
  const pod = await startSecondParser(t);
  const gateway = await startTestGateway();
  t.teardown(() => gateway.close());
  addPod(gateway, A, { agent: pod.port });
  let answered = 0;
  const seeds = [
    (id: number) => GOOD.replace('/good', `/n${id}`),
    (id: number) => post('Content-Length: 5\r\n', 'hello', `POST /n${id} HTTP/1.1`),
    (id: number) => post('Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\nX: y\r\n\r\n', `POST /n${id} HTTP/1.1`),
    (id: number) => GOOD.replace('/good', `/n${id}a`) + GOOD.replace('/good', `/n${id}b`),
  ];
  for (let round = 0; round < rounds(30); round++) {
    const clients = await Promise.all(
      Array.from({ length: 30 }, async (_, at) => {
        const id = 10_000 + round * 30 + at;
        const text = mutate((seeds[random(seeds.length)] ?? seeds[0])?.(id) ?? '', random);
        const client = rawClient(gateway.port);
        await writeInPieces(client.socket, text, random);
        return { id, text, client };
      }),
    );
    for (let times = 0; times < 3; times++) await getOwn(gateway.port);
    for (const { id, text, client } of clients) {
      client.socket.end();
      const answer = await client.ended;
      if (answer !== '') answered++;
      const isFine = answer === '' || /^HTTP\/1\.1 [1-5][0-9]{2} /.test(answer);
      // A mutation may touch the digits; then no whole number of anybody else's comes out by chance.
      const others = [...answer.matchAll(/<\/n([0-9]{5,})[ab]? /g)].filter(
        ([, n]) => n !== `${id}` && !text.includes(`/n${n}`),
      );
      if (!isFine || others.length > 0) t.fail(`${JSON.stringify(text)} → ${JSON.stringify(answer.slice(0, 300))}`);
    }
  }
  await waitFor(() => gateway.gateway.connections.size === 0);
  t.ok(answered > rounds(600), `${answered} were answered`);
  const passed = gateway.finished.filter(({ context, grant }) => context !== undefined && grant !== undefined);
  const ours = passed.map(({ head }) => `${head?.method} ${head?.target}`);
  t.same(surplus(pod.seen, ours), [], 'the pod heard of nothing that the gateway does not know of');
  t.ok(pod.seen.length > rounds(150), `${pod.seen.length} reached the pod`);
  t.same(
    [...pod.refused].filter((code) => !EXPECTED_THERE.has(code)),
    [],
    'nothing that passed here is malformed there',
  );
  t.same(pod.strangers, []);
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
});

async function getOwn(port: number): Promise<void> {
  const client = rawClient(port);
  client.socket.write(GOOD);
  await client.until(/<\/good 0>$/);
  client.socket.destroy();
}

/** What is in `more` oftener than in `all`. */
function surplus(more: string[], all: string[]): string[] {
  const counts = new Map<string, number>();
  for (const one of all) counts.set(one, (counts.get(one) ?? 0) + 1);
  return more.filter((one) => {
    const left = counts.get(one) ?? 0;
    counts.set(one, left - 1);
    return left <= 0;
  });
}

t.test('mutated answers: one well-formed head or nothing, and the next answer is its own', async (t) => {
  const random = generator(7);
  let answer = OK;
  const { gateway } = await setup(t, (socket, heard) => {
    const own = /^GET \/(own[0-9]+) /.exec(heard)?.[1];
    if (own === undefined) void writeInPieces(socket, answer, random);
    else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${own.length + 2}\r\n\r\n<${own}>`);
    if (own === undefined && random(2) === 0) socket.end();
  });
  const seeds = [
    OK,
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n4\r\ngood\r\n0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\ngood\r\n0\r\nX-Sum: 1\r\n\r\n',
    `HTTP/1.1 100 Continue\r\n\r\n${OK}`,
    'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
  ];
  for (let round = 0; round < rounds(400); round++) {
    answer = mutate(seeds[random(seeds.length)] ?? OK, random);
    const client = rawClient(gateway.port);
    client.socket.write(GOOD);
    const own = rawClient(gateway.port);
    own.socket.write(GOOD.replace('/good', `/own${round}`));
    const other = await own.until(/>$/);
    if (!other.endsWith(`\r\n\r\n<own${round}>`)) t.fail(`round ${round}: ${JSON.stringify(other)}`);
    own.socket.destroy();
    client.socket.end();
    const text = await client.ended;
    const head = text.slice(0, text.indexOf('\r\n\r\n') + 2);
    const isFine = text === '' || /^HTTP\/1\.1 [1-5][0-9]{2}[^\r\n]*\r\n(?:[!-9;-~]+:[^\r\n\0]*\r\n)*$/.test(head);
    if (!isFine || text.includes('<own')) t.fail(`round ${round}: ${JSON.stringify(answer)} → ${JSON.stringify(text)}`);
  }
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
  await waitFor(() => gateway.gateway.connections.size === 0);
  t.match(await getOwnOf(gateway.port), /<own1>$/, 'still there');
});

async function getOwnOf(port: number): Promise<string> {
  const client = rawClient(port);
  client.socket.write(GOOD.replace('/good', '/own1'));
  const text = await client.until(/>$/);
  client.socket.destroy();
  return text;
}

t.test('mutated frames: real ends judge them, and other WebSockets do not notice', async (t) => {
  const random = generator(99);
  const server = createServer();
  const sockets = new WebSocketServer({ server, maxPayload: 1024 * 1024 });
  sockets.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  const { gateway } = await gatewayTo(t, { server, slot: A });
  const good = new WebSocket(`ws://127.0.0.1:${gateway.port}/s`, {
    headers: { host: hostOf(A), 'x-session-api-key': keyOf(A) },
  });
  await new Promise((resolve) => good.once('open', resolve));
  const frames =
    '\x81\x85abcd\x09\x07\x0f\x08\x0e\x89\x80abcd\x82\xfe\x00\x80abcd' + 'x'.repeat(128) + '\x88\x82abcd\x62\x8a';
  const handshake = `GET /s HTTP/1.1\r\n${AUTH}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`;
  for (let round = 0; round < rounds(200); round++) {
    const client = rawClient(gateway.port);
    // Half of them at once with the handshake, which clients must not do but can.
    if (round % 2 === 0) client.socket.write(handshake);
    else client.socket.write(`${handshake}${mutate(frames, random)}`, 'latin1');
    await client.until(/^HTTP\/1\.1 101 /);
    if (round % 2 === 0) client.socket.write(mutate(frames, random), 'latin1');
    const echoed = new Promise((resolve) => good.once('message', (data: Buffer) => resolve(data.toString())));
    good.send(`mine ${round}`);
    if ((await echoed) !== `mine ${round}`) t.fail(`round ${round}: another’s message`);
    client.socket.end();
    await client.ended;
  }
  t.equal(good.readyState, WebSocket.OPEN);
  good.close();
  await waitFor(() => sockets.clients.size === 0 && gateway.gateway.connections.size === 0);
  t.equal(gateway.table.bySlot(A)?.load.streams, 0);
});
