/** Hostile clients and hostile pods, with raw sockets: a 4xx or 5xx or a closed socket, and nothing for anybody else. */
import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import {
  addPod,
  hostOf,
  keyOf,
  listenLocal,
  rawClient,
  slotNamed,
  startTestGateway,
  waitFor,
} from './testing/harness.js';

const A = slotNamed('a');
const B = slotNamed('b');
const AUTH = `Host: ${hostOf(A)}\r\nX-Session-API-Key: ${keyOf(A)}\r\n`;
const GOOD = `GET /good HTTP/1.1\r\n${AUTH}\r\n`;
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood';

/** A pod that keeps all it hears and answers each connection by `answer`. */
async function rawPod(t: Test, answer: (socket: Socket, heard: string) => void) {
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const at = heard.push('') - 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      heard[at] += chunk.toString('latin1');
      answer(socket, chunk.toString('latin1'));
    });
  });
  const port = await listenLocal(server);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port, heard, sockets };
}

async function setup(t: Test, answer: (socket: Socket, heard: string) => void) {
  const pod = await rawPod(t, answer);
  const gateway = await startTestGateway();
  t.teardown(() => gateway.close());
  addPod(gateway, A, { agent: pod.port });
  return { pod, gateway };
}

async function send(port: number, text: string): Promise<string> {
  const client = rawClient(port);
  client.socket.write(text, 'latin1');
  return client.ended;
}

const post = (fields: string, body = '', line = 'POST /p HTTP/1.1') => `${line}\r\n${AUTH}${fields}\r\n${body}`;

/** Refused with the head: the pod must not hear a byte. */
const REFUSED: Record<string, string> = {
  nonsense: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
  'empty line first': `\r\n${GOOD}`,
  'bare line feeds': GOOD.replaceAll('\r\n', '\n'),
  'one bare line feed': GOOD.replace('\r\nX-', '\nX-'),
  'NUL in a value': post('X: a\0b\r\n'),
  'length and chunked': post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'chunked and length': post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', '0\r\n\r\n'),
  'two lengths': post('Content-Length: 4\r\nContent-Length: 5\r\n', 'abcde'),
  'two equal lengths': post('Content-Length: 4\r\nContent-Length: 4\r\n', 'abcd'),
  'length list': post('Content-Length: 4, 4\r\n', 'abcd'),
  'length with a sign': post('Content-Length: +4\r\n', 'abcd'),
  'length with a space inside': post('Content-Length: 1 2\r\n', 'abcd'),
  'chunked twice': post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  xchunked: post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'),
  'chunked, identity': post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n'),
  'chunked with a vertical tab': post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'),
  'space before the colon': post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'),
  'folded field': post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n'),
  'chunked in HTTP/1.0': post('Transfer-Encoding: chunked\r\n', '0\r\n\r\n', 'POST /p HTTP/1.0'),
  'absolute form': GOOD.replace('/good', 'http://other.example/good'),
  'authority form': 'CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n',
  'asterisk form': GOOD.replace('GET /good', 'OPTIONS *'),
  'second Host': GOOD.replace('\r\n\r\n', `\r\nHost: ${hostOf(B)}\r\n\r\n`),
  'no Host': `GET / HTTP/1.1\r\nX-Session-API-Key: ${keyOf(A)}\r\n\r\n`,
  'Host with a path': GOOD.replace(hostOf(A), `${hostOf(A)}/x`),
  'Host with a user': GOOD.replace(hostOf(A), `x@${hostOf(A)}`),
  'HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'HTTP/0.9': 'GET /good\r\n\r\n',
  'space in the target': GOOD.replace('/good', '/go od'),
  'tab as separator': GOOD.replace('GET /good', 'GET\t/good'),
  'giant head': `GET / HTTP/1.1\r\n${AUTH}X: ${'a'.repeat(40_000)}\r\n\r\n`,
  'giant head without an end': `GET / HTTP/1.1\r\n${AUTH}X: ${'a'.repeat(40_000)}`,
  'too many fields': `GET / HTTP/1.1\r\n${AUTH}${'A: b\r\n'.repeat(200)}\r\n`,
  'framing named in Connection': post('Content-Length: 4\r\nConnection: content-length\r\n', 'abcd'),
  'two keys': GOOD.replace('\r\n\r\n', `\r\nX-Session-API-Key: ${keyOf(A)}\r\n\r\n`),
  'handshake with a body': post(
    'Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n',
    'abcd',
    'GET /p HTTP/1.1',
  ),
};

t.test('ambiguous and malformed requests are refused before a pod hears of them', async (t) => {
  const { pod, gateway } = await setup(t, (socket) => socket.write(OK));
  for (const [name, text] of Object.entries(REFUSED)) {
    // A second request hides behind each: it must not be answered either.
    const answer = await send(gateway.port, `${text}${GOOD}`);
    t.match(answer, /^HTTP\/1\.1 (?:400|405|408|414|431|501|505) /, name);
    t.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1, `${name}: one answer`);
    t.match(answer, /\r\nConnection: close\r\n/, name);
  }
  t.same(pod.heard, []);
  t.match(gateway.finished, { length: Object.keys(REFUSED).length });
});

t.test('bodies with broken framing are cut; what follows them is nobody’s request', async (t) => {
  const { pod, gateway } = await setup(t, () => undefined);
  const chunked = (body: string) => post('Transfer-Encoding: chunked\r\n', body);
  const bodies = [
    'x\r\n',
    '5\r\nhelloX\r\n',
    '5\nhello\n0\n\n',
    '0\r\nX: y\nGET / HTTP/1.1\r\n\r\n',
    '-5\r\n',
    '5;a=\x01\r\nhello\r\n',
    'ffffffffff\r\n',
    '0\r\nHost: x\r\n\r\n',
    ' 5\r\n',
  ];
  for (const body of bodies) {
    const answer = await send(gateway.port, `${chunked(body)}${GOOD}`);
    t.match(answer, /^HTTP\/1\.1 400 /, JSON.stringify(body));
    t.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1);
  }
  t.notMatch(pod.heard.join(''), '/good');
  t.equal(pod.sockets.size, 0, 'connections that carried them are gone');
});

t.test('a body is exactly as long as it says: the next request goes its own way', async (t) => {
  const bodies: string[] = [];
  const { gateway } = await setup(t, (socket, heard) => {
    bodies.push(heard);
    socket.write(OK);
  });
  const other = await rawPod(t, (socket) => socket.write(OK.replace('good', 'ofB!')));
  addPod(gateway, B, { agent: other.port });
  const client = rawClient(gateway.port);
  const inner = `GET /smuggled HTTP/1.1\r\nHost: ${hostOf(A)}\r\n\r\n`;
  const ofB = `GET /b HTTP/1.1\r\nHost: ${hostOf(B)}\r\nX-Session-API-Key: ${keyOf(B)}\r\n\r\n`;
  client.socket.write(`${post(`Content-Length: ${inner.length}\r\n`, inner)}${ofB}${GOOD}`);
  const answers = await client.until(/good[^]*ofB![^]*good/);
  t.equal(answers.match(/200 OK/g)?.length, 3);
  t.equal(bodies.length, 2);
  t.match(bodies[0], /\/p HTTP[^]*\r\n\r\nGET \/smuggled/);
  t.match(other.heard, { length: 1, 0: /^GET \/b / });
  client.socket.destroy();
});

t.test('after a refused handshake frames are not read as requests', async (t) => {
  const { pod, gateway } = await setup(t, (socket) => socket.write(OK));
  const handshake = post(
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n',
    '',
    'GET /ws HTTP/1.1',
  );
  const answer = await send(gateway.port, `${handshake}${GOOD}`);
  t.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1);
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close/);
  t.equal(pod.heard.length, 1);
  t.notMatch(pod.heard[0], '/good');
  const unauthorised = handshake.replace(keyOf(A), 'wrong');
  t.equal((await send(gateway.port, `${unauthorised}${GOOD}`)).match(/HTTP\/1\.1 /g)?.length, 1);
});

/** Answers of a hostile pod; each must become a 502 or a cut, and never reach the next request. */
const ANSWERS: Record<string, string> = {
  nonsense: 'SSH-2.0-OpenSSH_9.2\r\n\r\n',
  'bare line feeds': 'HTTP/1.1 200 OK\nContent-Length: 4\n\ngood\r\n\r\n',
  'length and chunked': 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\ngood',
  'bad length': 'HTTP/1.1 200 OK\r\nContent-Length: 4x\r\n\r\ngood',
  folded: 'HTTP/1.1 200 OK\r\nX: a\r\n b: c\r\nContent-Length: 4\r\n\r\ngood',
  'header injection by CR': 'HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: sandlot-pass=x\r\nContent-Length: 4\r\n\r\ngood',
  NUL: 'HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 4\r\n\r\ngood',
  'unknown coding': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  'unasked 101': 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  'status 999': 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n',
  'giant head': `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(70_000)}`,
  'endless interim answers': 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(50),
};

t.test('malformed answers become 502 and are nobody else’s answer', async (t) => {
  let answer = '';
  const { pod, gateway } = await setup(t, (socket) => socket.write(answer, 'latin1'));
  for (const [name, text] of Object.entries(ANSWERS)) {
    answer = text;
    const client = rawClient(gateway.port);
    client.socket.write(GOOD);
    t.match(await client.until(/\r\n\r\n\{/), /^HTTP\/1\.1 502 [^]*BadAnswer/, name);
    answer = OK;
    client.socket.write(GOOD);
    t.match(await client.until(/good$/), /200 OK[^]*\r\n\r\ngood$/, `${name}: the next request is answered by itself`);
    client.socket.destroy();
  }
  t.equal(pod.heard.length, Object.keys(ANSWERS).length + 1, 'each malformed answer cost its connection');
});

t.test('surplus and unasked bytes of a pod are never another request’s answer', async (t) => {
  const forged = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged';
  let answer = `${OK}${forged}`;
  const { pod, gateway } = await setup(t, (socket) => socket.write(answer));
  const client = rawClient(gateway.port);
  client.socket.write(GOOD);
  await client.until(/good$/);
  answer = OK;
  client.socket.write(GOOD.replace('/good', '/two'));
  t.notMatch(await client.until(/good[^]*good$/), 'forged');
  t.equal(pod.heard.length, 2, 'the connection with surplus was dropped');
  for (const socket of pod.sockets) socket.write(forged);
  await waitFor(() => pod.sockets.size === 0);
  t.equal(pod.sockets.size, 0, 'an idle connection that speaks is dropped');
  client.socket.write(GOOD.replace('/good', '/three'));
  t.notMatch(await client.until(/good[^]*good[^]*good$/), 'forged');
  client.socket.destroy();
  answer = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n';
  t.equal(await send(gateway.port, GOOD), '', 'a broken chunk cuts the answer');
});

/** A small generator with a fixed seed (mulberry32), so that every run tries the same. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function mutate(text: string, random: (below: number) => number): string {
  const bits = [
    '\r',
    '\n',
    '\r\n',
    '\0',
    ' ',
    '\t',
    ':',
    ',',
    ';',
    '0',
    'f',
    '\x80',
    'Content-Length: 3\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Host: x\r\n',
    GOOD,
  ];
  let result = text;
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(result.length + 1);
    const cut = random(3) === 0 ? random(12) : random(2);
    result = result.slice(0, at) + (random(3) === 0 ? '' : (bits[random(bits.length)] ?? '')) + result.slice(at + cut);
  }
  return result;
}

t.test(
  'mutated requests: every connection ends in answers or silence, and pods hear only requests with their own key',
  async (t) => {
    const random = generator(20_261_123);
    let answered = 0;
    const { pod, gateway } = await setup(t, (socket) => socket.write(OK));
    const seeds = [
      GOOD,
      post('Content-Length: 5\r\n', 'hello'),
      post('Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\nX: y\r\n\r\n'),
      `${GOOD}${GOOD}`,
    ];
    for (let round = 0; round < 20; round++) {
      const texts = Array.from({ length: 30 }, () => mutate(seeds[random(seeds.length)] ?? GOOD, random));
      const clients = texts.map((text) => {
        const client = rawClient(gateway.port);
        client.socket.write(text, 'latin1');
        return client;
      });
      // Others are served meanwhile; then the clients' end ends every wait for more.
      for (let times = 0; times < 5; times++) await rawClientGet(gateway.port);
      for (const [index, client] of clients.entries()) {
        client.socket.end();
        const answer = await client.ended;
        if (answer !== '' && !/^HTTP\/1\.1 [1-5][0-9]{2} /.test(answer))
          t.fail(`${JSON.stringify(texts[index])} → ${JSON.stringify(answer.slice(0, 200))}`);
        if (answer !== '') answered++;
      }
    }
    t.ok(answered > 400, `${answered} of 600 were answered`);
    const strangers = pod.heard
      .filter((heard) => heard !== '')
      .filter(
        (heard) =>
          !heard.includes(`X-Session-API-Key: ${keyOf(A)}\r\n`) || !/^[A-Za-z]+ \/\S* HTTP\/1\.[01]\r\n/.test(heard),
      );
    t.same(strangers.slice(0, 3), []);
    const through = pod.heard.join('').split(' HTTP/1.1\r\n').length - 1;
    t.ok(through > 100, `${through} requests got through to the pod`);
    t.match(await rawClientGet(gateway.port), /200 OK/, 'still there');
    t.equal(gateway.table.bySlot(A)?.load.requests, 0);
  },
);

async function rawClientGet(port: number): Promise<string> {
  const client = rawClient(port);
  client.socket.write(GOOD);
  const text = await client.until(/good$/);
  client.socket.destroy();
  return text;
}

t.test('mutated answers: the client gets one well-formed head or nothing', async (t) => {
  const random = generator(7);
  let answer = OK;
  const { gateway } = await setup(t, (socket) => socket.end(answer, 'latin1'));
  const seeds = [
    OK,
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n4\r\ngood\r\n0\r\n\r\n',
    `HTTP/1.1 100 Continue\r\n\r\n${OK}`,
  ];
  for (let round = 0; round < 300; round++) {
    answer = mutate(seeds[random(seeds.length)] ?? OK, random);
    const client = rawClient(gateway.port);
    client.socket.write(GOOD.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    const text = await client.ended;
    const head = text.slice(0, text.indexOf('\r\n\r\n') + 2);
    const isFine = text === '' || /^HTTP\/1\.1 [1-5][0-9]{2}[^\r\n]*\r\n(?:[!-9;-~]+:[^\r\n\0]*\r\n)*$/.test(head);
    if (!isFine) t.fail(`round ${round}: ${JSON.stringify(answer)} → ${JSON.stringify(head)}`);
  }
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
  await waitFor(() => gateway.gateway.connections.size === 0);
});
