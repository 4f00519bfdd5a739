/** Hostile in time and amount rather than in form: floods, truncation, slowness, work that grows faster than its cause. */
import { createServer } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { WebSocketServer } from 'ws';
import { cookieFromPod } from './cookies.js';
import { parseRequest } from './http/request.js';
import { parseResponse } from './http/response.js';
import { locate } from './locate.js';
import { createTable } from './table.js';
import { DOMAIN, gatewayTo, hostOf, keyOf, rawClient, SECRET, waitFor } from './testing/harness.js';
import { A, AUTH, GOOD, OK, getGood, post, send, setup } from './testing/raw.js';

const HANDSHAKE = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n`;
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

t.test('interim answers: only the one that was asked for, and none inside a WebSocket', async (t) => {
  let answer = `${CONTINUE.repeat(5)}HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${OK}`;
  const { pod, gateway } = await setup(t, (socket) => socket.write(answer, 'latin1'));
  t.match(await getGood(gateway.port), /^HTTP\/1\.1 200 OK/, 'nobody expects one');
  const client = rawClient(gateway.port);
  client.socket.write(post('Content-Length: 5\r\nExpect: 100-continue\r\n'));
  const text = await client.until(/good$/);
  t.equal(text.split('100 Continue').length - 1, 1, 'one, though the pod said it five times');
  t.notMatch(text, '103');
  client.socket.destroy();
  // The handshake was accepted by the gateway: whatever comes before the pod's 101 would be frames to the client.
  answer = `${CONTINUE}HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi`;
  const socket = rawClient(gateway.port);
  socket.socket.write(`GET /sockets/x HTTP/1.1\r\nHost: ${hostOf(A)}\r\n${HANDSHAKE}\r\n`);
  await socket.until(/\r\n\r\n$/);
  socket.socket.write(firstFrame(keyOf(A)));
  const after = (await socket.until(/hi$/)).split('\r\n\r\n');
  t.same(after.slice(1), ['\x81\x02hi'], 'one handshake, then the frame');
  t.match(pod.heard.at(-1), /^GET \/sockets\/x /);
  socket.socket.destroy();
});

function firstFrame(key: string): Buffer {
  const payload = Buffer.from(JSON.stringify({ type: 'auth', session_api_key: key }));
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

/** Cut in the middle: the client must not take it for the whole. */
const TRUNCATED: Record<string, string> = {
  'no answer at all': '',
  'half a status line': 'HTTP/1.1 20',
  'half a head': 'HTTP/1.1 200 OK\r\nContent-Le',
  'short of its length': 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ngood',
  'without the last chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n',
  'in the middle of a chunk': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ngood',
  'in the middle of the trailer': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nX: y',
  'after an interim answer': CONTINUE,
};

t.test('truncated answers are 502 or cut, never whole', async (t) => {
  let answer = '';
  const { gateway } = await setup(t, (socket) => socket.end(answer));
  for (const [name, text] of Object.entries(TRUNCATED)) {
    answer = text;
    const got = await send(gateway.port, GOOD.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    if (/^HTTP\/1\.1 502 /.test(got)) t.match(got, /BadAnswer/, name);
    else t.ok(/good/.test(got) && !/\r\n0\r\n\r\n$/.test(got) && !/Content-Length: 4\r/.test(got), name);
  }
  await waitFor(() => gateway.gateway.connections.size === 0);
  t.equal(gateway.gateway.pool.size().open, 0);
});

t.test('answers to HEAD, 204 and 304 have no body, whatever the pod sends after them', async (t) => {
  let answer = '';
  const { gateway } = await setup(t, (socket) => socket.write(answer, 'latin1'));
  const client = rawClient(gateway.port);
  for (const [line, head] of [
    ['HEAD /h HTTP/1.1', 'HTTP/1.1 200 OK\r\nContent-Length: 6'],
    ['GET /a HTTP/1.1', 'HTTP/1.1 204 No Content\r\nContent-Length: 6'],
    ['GET /b HTTP/1.1', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 6'],
  ] as const) {
    const before = client.text().length;
    answer = `${head}\r\n\r\nforged`;
    client.socket.write(`${line}\r\n${AUTH}\r\n`);
    answer = `${head}\r\n\r\nforged`;
    await client.until(new RegExp(`^[^]{${before}}HTTP/1\\.1 [^]*\\r\\n\\r\\n$`));
  }
  answer = OK;
  client.socket.write(GOOD);
  t.notMatch(await client.until(/good$/), 'forged');
  client.socket.destroy();
});

t.test('a switch of protocols that nobody asked for, or asked for in part', async (t) => {
  const { pod, gateway } = await setup(t, (socket, heard) =>
    socket.write(
      heard.includes('Upgrade: websocket')
        ? 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'
        : OK,
    ),
  );
  for (const fields of [
    'Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n',
    'Upgrade: websocket\r\n',
    'Connection: keep-alive, Upgrade\r\nUpgrade: websocket, h2c\r\n',
    'Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n',
  ]) {
    const got = await send(gateway.port, post(`${fields}Connection: close\r\n`, '', 'GET /u HTTP/1.1'));
    t.match(got, /^HTTP\/1\.1 200 OK\r\n/, fields);
  }
  t.notMatch(pod.heard.join(''), /upgrade:|http2-settings/i, 'none of it reached the pod');
  const client = rawClient(gateway.port);
  client.socket.write(post(HANDSHAKE, GOOD, 'POST /u HTTP/1.1'));
  await client.until(/good[^]*good$/);
  t.match(pod.heard.join(''), /POST \/u [^]*GET \/good /, 'a POST is no handshake: what follows is a request');
  client.socket.destroy();
});

t.test('slow heads, silent clients and silent pods are let go; others are served meanwhile', async (t) => {
  const { pod, gateway } = await setup(t, (socket, heard) => {
    if (!heard.includes('/hang')) socket.write(OK);
  });
  const silent = Array.from({ length: 50 }, () => rawClient(gateway.port));
  const slow = Array.from({ length: 50 }, () => rawClient(gateway.port));
  for (const { socket } of slow) socket.write('GET / HTTP/1.1\r\nHost: ');
  const hanging = rawClient(gateway.port);
  hanging.socket.write(GOOD.replace('/good', '/hang'));
  await waitFor(() => pod.heard.length === 1 && gateway.gateway.connections.size === 101);
  await waitFor(() => [...gateway.gateway.connections].filter(({ stash }) => stash !== undefined).length === 50);
  // One more byte buys no more time.
  for (const { socket } of slow) socket.write('a');
  await waitFor(() =>
    [...gateway.gateway.connections].every(({ stash }) => stash === undefined || stash.length === 23),
  );
  t.match(await getGood(gateway.port), /200 OK/);
  gateway.later(16_000);
  for (const { ended } of slow) t.match(await ended, /^HTTP\/1\.1 408 [^]*Connection: close/);
  gateway.later(61_000);
  for (const { ended } of silent) t.equal(await ended, '');
  gateway.later(611_000);
  t.match(await hanging.until(/TimedOut/), /^HTTP\/1\.1 504 /);
  hanging.socket.destroy();
  await waitFor(() => gateway.gateway.connections.size === 0);
});

t.test('bodies without end and readers that do not read: the gateway holds little of them', async (t) => {
  const endless = Buffer.alloc(64 * 1024, 'x');
  const { gateway } = await setup(t, (socket, heard) => {
    if (heard.startsWith('GET /endless ')) {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      const produce = () => {
        while (!socket.destroyed && socket.write(endless));
      };
      socket.on('drain', produce);
      produce();
    } else if (heard.startsWith('POST /unread ')) socket.pause();
  });
  const readers = Array.from({ length: 20 }, () => rawClient(gateway.port));
  for (const { socket } of readers) socket.pause().write(GOOD.replace('/good', '/endless'));
  const writers = Array.from({ length: 20 }, () => rawClient(gateway.port));
  for (const { socket } of writers) {
    socket.write(post('Transfer-Encoding: chunked\r\n', '', 'POST /unread HTTP/1.1'));
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), endless, Buffer.from('\r\n')]);
    const produce = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', produce);
    produce();
  }
  // All of them have come to a halt when nothing moves any more.
  let moved = -1;
  const held = () =>
    [...gateway.gateway.connections].reduce(
      (sum, { socket, stash }) => sum + socket.writableLength + (stash?.length ?? 0),
      0,
    );
  const transferred = () =>
    [...gateway.gateway.connections].reduce((sum, { socket }) => sum + socket.bytesRead + socket.bytesWritten, 0);
  await waitFor(() => {
    const now = transferred();
    const halted = now === moved && now > 0;
    moved = now;
    return halted;
  });
  t.ok(held() < 40 * 256 * 1024, `${held()} bytes held for 40 connections`);
  for (const { socket } of [...readers, ...writers]) socket.destroy();
  await waitFor(() => gateway.gateway.connections.size <= writers.length);
  // Nothing is read from those that wait for their pod, so only the silence tells that they are gone.
  gateway.later(611_000);
  await waitFor(() => gateway.gateway.connections.size === 0 && gateway.gateway.pool.size().open === 0);
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
});

t.test('a WebSocket that nobody reads, and frames that announce the impossible', async (t) => {
  const server = createServer();
  const sockets = new WebSocketServer({ server, maxPayload: 1024 * 1024 });
  const codes: number[] = [];
  sockets.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.on('close', (code) => codes.push(code));
  });
  const { gateway } = await gatewayTo(t, { server, slot: A });
  const abuses = {
    'a frame of 2^63 bytes': '\x82\xff\x80\0\0\0\0\0\0\0abcd',
    'not masked': '\x81\x02hi',
    'reserved bits': '\xf1\x80abcd',
    'a reserved opcode': '\x83\x80abcd',
    'a long ping': `\x89\xfe\x00\x80abcd${'x'.repeat(128)}`,
    'a ping in pieces': '\x09\x80abcd',
    'a continuation of nothing': '\x80\x80abcd',
    'text that is no text': '\x81\x82\0\0\0\0\xff\xfe',
    'a request': GOOD,
  };
  for (const [name, bytes] of Object.entries(abuses)) {
    const client = rawClient(gateway.port);
    client.socket.write(`GET /s HTTP/1.1\r\n${AUTH}${HANDSHAKE}\r\n`);
    await client.until(/\r\n\r\n$/);
    client.socket.write(bytes, 'latin1');
    const text = await client.until(/\r\n\r\n\x88[^]+$/);
    t.equal(text.split('HTTP/1.1 ').length - 1, 1, `${name}: a close frame, and nothing else`);
    client.socket.destroy();
  }
  await waitFor(() => sockets.clients.size === 0 && gateway.gateway.connections.size === 0);
  t.equal(gateway.table.bySlot(A)?.load.streams, 0);
});

/** Steps that grow with the square of their input show as minutes: the limit of the suite catches them, no clock does. */
t.test('no work that grows faster than what was sent', { timeout: 20_000 }, async (t) => {
  const blanks = ' '.repeat(60_000);
  for (let times = 0; times < 50; times++) {
    cookieFromPod(`a=b; Path=/${blanks}x`, '/p');
    cookieFromPod(`a=b; ${blanks}Domain${blanks}x`, '/p');
    cookieFromPod(`a=b${';'.repeat(60_000)}`, '/p');
  }
  const { gateway } = await setup(t, (socket) => {
    const chunks = `1\r\nx\r\n`.repeat(11_000).repeat(40);
    const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n';
    socket.write(`${head}${(60_000).toString(16)}\r\n<a ${'x'.repeat(59_997)}\r\n${chunks}0\r\n\r\n`);
  });
  const client = rawClient(gateway.port);
  client.socket.write(
    `GET /${A}/work-1/page HTTP/1.1\r\nHost: gateway.example\r\nX-Session-API-Key: ${keyOf(A)}\r\n\r\n`,
  );
  await client.until(/\r\n0\r\n\r\n$/);
  client.socket.destroy();
  t.pass('it came to its end');
});

t.test('what is remembered of heads holds no heads', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const filler = 'v'.repeat(30_000);
  const nothing = createTable(SECRET);
  const slotOf = (at: number) => `s${at.toString(36).padStart(13, 'a')}`;
  const before = heap();
  for (let at = 0; at < 6_000; at++) {
    const bytes = Buffer.from(
      `GET / HTTP/1.1\r\nHost: ${slotOf(at)}.${DOMAIN}\r\nX-Unheard-Of-Name-${at}: ${filler}\r\n`,
    );
    locate(parseRequest(bytes, 0, bytes.length), nothing, DOMAIN);
    const answer = Buffer.from(`HTTP/1.1 200 OK\r\nX-Never-Heard-Of-Name-${at}: ${filler}\r\n`);
    parseResponse(answer, 0, answer.length);
  }
  const grown = heap() - before;
  t.ok(grown < 8_000_000, `${grown} bytes kept of 12,000 heads`);
});
