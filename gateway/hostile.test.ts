/** Hostile clients and hostile pods, with raw sockets: a 4xx or 5xx or a closed socket, and nothing for anybody else. */
import t from 'tap';
import { addPod, hostOf, keyOf, rawClient, waitFor } from './testing/harness.js';
import { A, AUTH, B, GOOD, OK, post, rawPod, send, setup } from './testing/raw.js';

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
  'Host named in Connection': post('Connection: close, host\r\n'),
  'a cookie named in Connection': post('Connection: Cookie\r\nCookie: a=b\r\n'),
  'the key named in Connection': post('Connection: x-session-api-key\r\n'),
  'two keys': GOOD.replace('\r\n\r\n', `\r\nX-Session-API-Key: ${keyOf(A)}\r\n\r\n`),
  'framing hidden by a tab': post('Transfer-Encoding\t: chunked\r\n', '0\r\n\r\n'),
  'framing with a quoted value': post('Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n'),
  'an empty coding in the list': post('Transfer-Encoding: ,chunked\r\n', '0\r\n\r\n'),
  'an empty length': post('Content-Length:\r\n', 'abcd'),
  'a hexadecimal length': post('Content-Length: 0x4\r\n', 'abcd'),
  'a length beyond numbers': post('Content-Length: 18446744073709551616\r\n', 'abcd'),
  'a length in other digits': post('Content-Length: \u00b24\r\n', 'abcd'),
  'a carriage return inside a value': post('X: a\rTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'a field that begins with a blank': `GET /good HTTP/1.1\r\n Transfer-Encoding: chunked\r\n${AUTH}\r\n`,
  'a field without a name': post(': chunked\r\n'),
  'a field without a colon': post('Transfer-Encoding chunked\r\n'),
  'a name beyond ASCII': post('Tr\u00e4nsfer-Encoding: chunked\r\n'),
  'Host as a list': GOOD.replace(hostOf(A), `${hostOf(A)}, ${hostOf(B)}`),
  'an unknown expectation': post('Expect: 200-ok\r\nContent-Length: 4\r\n', 'abcd'),
  'a giant target': GOOD.replace('/good', `/${'g'.repeat(20_000)}`),
  'a version of its own': GOOD.replace('HTTP/1.1', 'HTTP/1.10'),
  'a version in small letters': GOOD.replace('HTTP/1.1', 'http/1.1'),
  'a target beyond ASCII': GOOD.replace('/good', '/g\u00f6\u00f6d'),
  'a target with a fragment': GOOD.replace('/good', '/good#x'),
  'a target of another host': GOOD.replace('/good', '@other.example/good'),
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
    t.match(answer, /^HTTP\/1\.1 (?:400|405|408|414|417|431|501|505) /, name);
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
    '5 \r\nhello\r\n0\r\n\r\n',
    '0x5\r\nhello\r\n0\r\n\r\n',
    '+5\r\nhello\r\n0\r\n\r\n',
    '5;\nhello\r\n0\r\n\r\n',
    `5;${'x'.repeat(300)}\r\nhello\r\n0\r\n\r\n`,
    '\r\n5\r\nhello\r\n0\r\n\r\n',
    '5\rhello\r0\r\r',
    '0\r\n\n',
    '0\r\nX: a\r\n b\r\n\r\n',
    '0\r\nX : a\r\n\r\n',
    '0\r\nContent-Length: 4\r\n\r\n',
    '0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n',
    `0\r\n${'A: b\r\n'.repeat(200)}\r\n`,
    `0\r\nX: ${'a'.repeat(9_000)}\r\n\r\n`,
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

t.test('what a client calls hop-by-hop takes nothing away that the pod is told by the gateway', async (t) => {
  const { pod, gateway } = await setup(t, (socket) => socket.write(OK));
  const named = 'x-forwarded-for, x-forwarded-proto, x-forwarded-host, traceparent, x-own';
  const fields = `Connection: close, ${named}\r\nX-Forwarded-For: 9.9.9.9\r\nX-Own: c\r\n`;
  t.match(await send(gateway.port, post(fields, '', 'GET /p HTTP/1.1')), /^HTTP\/1\.1 200 /);
  const [heard = ''] = pod.heard;
  for (const field of [
    'host',
    'x-session-api-key',
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
    'traceparent',
  ])
    t.equal(heard.match(new RegExp(`\r\n${field}: .`, 'gi'))?.length, 1, `${field}: once`);
  t.notMatch(heard, /9\.9\.9\.9|x-own/i);
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
  'a folded first field': 'HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 4\r\n\r\ngood',
  'space before the colon': 'HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\ngood',
  'a signed length': 'HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\ngood',
  'a list of lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\ngood',
  'chunked twice': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'chunked, but not last': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n',
  'a name with a blank': 'HTTP/1.1 200 OK\r\nSet Cookie: a=b\r\nContent-Length: 4\r\n\r\ngood',
  'too many fields': `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(200)}Content-Length: 4\r\n\r\ngood`,
  'a reason with a line break': 'HTTP/1.1 200 OK\rSet-Cookie: sandlot-pass=x\r\nContent-Length: 4\r\n\r\ngood',
  'HTTP/2': 'HTTP/2 200\r\nContent-Length: 4\r\n\r\ngood',
  'HTTP/0.9': '<html>good</html>\r\n\r\n',
  'a status of two digits': 'HTTP/1.1 20 OK\r\nContent-Length: 4\r\n\r\ngood',
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
