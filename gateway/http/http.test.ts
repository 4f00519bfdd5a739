import t from 'tap';
import { advance, chunkedBody, closeBody, lengthBody, noBody } from './body.js';
import { BadMessage, MAX_FIELDS } from './message.js';
import { isNavigation, parseRequest, queryOf } from './request.js';
import { parseResponse } from './response.js';

const request = (text: string) => {
  const bytes = Buffer.from(text, 'latin1');
  return parseRequest(bytes, 0, bytes.length);
};
const response = (text: string) => {
  const bytes = Buffer.from(text, 'latin1');
  return parseResponse(bytes, 0, bytes.length);
};
const statusOf = (run: () => unknown): number => {
  try {
    run();
    return 0;
  } catch (error) {
    if (error instanceof BadMessage) return error.status;
    throw error;
  }
};

t.test('request heads that are good', async (t) => {
  t.match(request('GET /a/b?c=d HTTP/1.1\r\nHost: Sandbox.LOCALHOST:3001\r\nX-Note:\t two words \r\n'), {
    method: 'GET',
    target: '/a/b?c=d',
    path: '/a/b',
    query: 'c=d',
    minor: 1,
    host: 'sandbox.localhost:3001',
    keepAlive: true,
    websocket: false,
    chunked: false,
    length: undefined,
    fields: [{ name: 'host' }, { name: 'x-note', value: 'two words', line: 'X-Note:\t two words ' }],
  });
  t.match(request('POST / HTTP/1.0\r\nHost: [::1]:80\r\nContent-Length: 007\r\n'), {
    length: 7,
    keepAlive: false,
    minor: 0,
  });
  t.match(request('GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n'), { keepAlive: true });
  t.match(request('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n'), {
    chunked: true,
    keepAlive: false,
  });
  t.match(request('GET /s HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n'), {
    websocket: true,
  });
  t.match(request('GET /s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n'), { websocket: false });
  t.match(
    request('GET /s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n'),
    { websocket: false },
    'not named in Connection',
  );
  t.match(request('GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n'), { cookie: 'a=1; b=2' });
  t.match(request('PROPFIND /~u|{}[]^`"<>\\ HTTP/1.1\r\nHost: a_b.c\r\n'), { method: 'PROPFIND' });
});

t.test('request heads that two parsers could read differently are refused', async (t) => {
  const host = 'Host: a\r\n';
  const cases: [number, string][] = [
    [400, ` GET / HTTP/1.1\r\n${host}`],
    [400, `GET  / HTTP/1.1\r\n${host}`],
    [400, `GET / HTTP/1.1 \r\n${host}`],
    [400, `GET /\r\n${host}`],
    [400, `GET /a b HTTP/1.1\r\n${host}`],
    [400, `GET /\u00e4 HTTP/1.1\r\n${host}`],
    [400, `GET /a#b HTTP/1.1\r\n${host}`],
    [400, `GET http://a/ HTTP/1.1\r\n${host}`],
    [400, `GET a HTTP/1.1\r\n${host}`],
    [400, `OPTIONS * HTTP/1.1\r\n${host}`],
    [400, `G(T / HTTP/1.1\r\n${host}`],
    [400, `GET / http/1.1\r\n${host}`],
    [405, `CONNECT a:1 HTTP/1.1\r\n${host}`],
    [405, `TRACE / HTTP/1.1\r\n${host}`],
    [505, `GET / HTTP/2.0\r\n${host}`],
    [505, `PRI * HTTP/2.0\r\n`],
    [505, `GET / HTTP/1.2\r\n${host}`],
    [414, `GET /${'a'.repeat(17_000)} HTTP/1.1\r\n${host}`],
    [400, 'GET / HTTP/1.1\r\nX: y\r\n'],
    [400, `GET / HTTP/1.1\r\n${host}${host}`],
    [400, 'GET / HTTP/1.1\r\nHost:\r\n'],
    [400, 'GET / HTTP/1.1\r\nHost: a/b\r\n'],
    [400, 'GET / HTTP/1.1\r\nHost: a@b\r\n'],
    [400, 'GET / HTTP/1.1\r\nHost: a, b\r\n'],
    [400, 'GET / HTTP/1.1\r\nHost: a:port\r\n'],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 5\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length: 5, 5\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length: +5\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length: -1\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length: 0x5\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length:\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length: 99999999999999999999\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`],
    [501, `GET / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n`],
    [501, `GET / HTTP/1.1\r\n${host}Transfer-Encoding: identity\r\n`],
    [501, `GET / HTTP/1.1\r\n${host}Transfer-Encoding: "chunked"\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`],
    [400, `GET / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Transfer-Encoding : chunked\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}X: a\r\n b\r\n`],
    [400, `GET / HTTP/1.1\r\n X: a\r\n${host}`],
    [400, `GET / HTTP/1.1\r\n${host}X: a\nY: b\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}X: a\rY: b\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}X: a\0b\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}X: a\x7f\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}: empty\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}no colon\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}b\u00e4d: x\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}X-Session-API-Key: a\r\nx-session-api-key: b\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Authorization: a\r\nAuthorization: b\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Origin: a\r\nOrigin: b\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Content-Length: 3\r\nConnection: content-length\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Connection: keep-alive, Cookie\r\n`],
    [400, `GET / HTTP/1.1\r\n${host}Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n`],
    [417, `GET / HTTP/1.1\r\n${host}Expect: something\r\n`],
    [431, `GET / HTTP/1.1\r\n${host}${'X: y\r\n'.repeat(MAX_FIELDS)}`],
  ];
  for (const [status, text] of cases)
    t.equal(
      statusOf(() => request(text)),
      status,
      JSON.stringify(text.slice(0, 90)),
    );
});

t.test('response heads', async (t) => {
  t.match(response('HTTP/1.1 200\r\n'), { status: 200, reason: '', keepAlive: true });
  t.match(response('HTTP/1.1 404 Not \u00e4 Found\r\nContent-Length: 5\r\nKeep-Alive: timeout=3, max=9\r\n'), {
    status: 404,
    length: 5,
    keepAliveSeconds: 3,
  });
  t.match(response('HTTP/1.0 200 OK\r\n'), { keepAlive: false });
  t.match(response('HTTP/1.1 200 OK\r\nConnection: close, content-length, x-a\r\n'), {
    keepAlive: false,
    nominated: ['close', 'x-a'],
  });
  const bad = [
    'HTTP/1.1 20 OK\r\n',
    'HTTP/1.1 600 OK\r\n',
    'HTTP/2 200 OK\r\n',
    'ICY 200 OK\r\n',
    'HTTP/1.1  200 OK\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
    'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n',
    'HTTP/1.1 200 OK\r\nSet-Cookie: a=b\nX: y\r\n',
    'HTTP/1.1 200 OK\r\nX : a\r\n',
  ];
  for (const text of bad)
    t.equal(
      statusOf(() => response(text)),
      502,
      JSON.stringify(text),
    );
});

/** Feeds `text` in pieces of every size and returns what passed, what was left over, or the status of the refusal. */
function through(text: string, size: number, status = 400) {
  const body = chunkedBody(status);
  const bytes = Buffer.from(text, 'latin1');
  let passed = '';
  try {
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size);
      const end = advance(body, piece, 0);
      passed += piece.toString('latin1', 0, body.passed);
      if (body.done) return { passed, trailer: body.trailer, rest: bytes.toString('latin1', at + end) };
    }
  } catch (error) {
    if (error instanceof BadMessage) return { refused: error.status };
    throw error;
  }
  return { passed, open: true };
}

t.test('chunked bodies end where they end, however they are cut', async (t) => {
  const cases: [string, object][] = [
    ['0\r\n\r\nGET /', { passed: '0\r\n', trailer: '\r\n', rest: 'GET /' }],
    ['5\r\nhello\r\n0\r\n\r\n', { passed: '5\r\nhello\r\n0\r\n', trailer: '\r\n', rest: '' }],
    ['A;x=1\r\n0123456789\r\n000\r\n\r\nx', { passed: 'A;x=1\r\n0123456789\r\n000\r\n', trailer: '\r\n', rest: 'x' }],
    [
      '1\r\na\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\nz',
      { passed: '1\r\na\r\n0\r\n', trailer: 'X-Sum: 1\r\nY: 2\r\n\r\n', rest: 'z' },
    ],
    ['5\r\nhel', { passed: '5\r\nhel', open: true }],
    ['0\r\nX: 1\r\n', { passed: '0\r\n', open: true }],
  ];
  for (const [text, expected] of cases)
    for (const size of [1, 2, 3, 5, 1000]) t.same(through(text, size), expected, `${JSON.stringify(text)} by ${size}`);
  const broken = [
    'g\r\n',
    '\r\n',
    ' 5\r\n',
    '0x5\r\n',
    '-1\r\n',
    '5 \r\nhello\r\n',
    '5\nhello\n0\n\n',
    '5\r\nhello!\r\n',
    '5\r\nhello0\r\n\r\n',
    '5\r\nhello\n0\r\n\r\n',
    '5;a\nb\r\nhello\r\n0\r\n\r\n',
    `5;${'a'.repeat(300)}\r\n`,
    '123456789\r\n',
    '0\r\nContent-Length: 5\r\n\r\n',
    '0\r\nX-Session-API-Key: k\r\n\r\n',
    '0\r\nSet-Cookie: a=b\r\n\r\n',
    '0\r\nno colon\r\n\r\n',
    '0\r\nX: a\nY: b\r\n\r\n',
    '0\r\n folded: a\r\n\r\n',
    `0\r\n${'X: y\r\n'.repeat(2000)}\r\n`,
  ];
  for (const text of broken)
    for (const size of [1, 7, 100_000])
      t.same(through(text, size), { refused: 400 }, `${JSON.stringify(text.slice(0, 60))} by ${size}`);
  t.same(through('zz', 1, 502), { refused: 502 });
});

t.test('other bodies', async (t) => {
  const length = lengthBody(5, 400);
  t.equal(advance(length, Buffer.from('abc'), 0), 3);
  t.equal(length.done, false);
  t.equal(advance(length, Buffer.from('defgh'), 0), 2);
  t.equal(length.done, true);
  t.equal(lengthBody(0, 400).done, true);
  t.equal(noBody().done, true);
  const close = closeBody();
  t.equal(advance(close, Buffer.from('abc'), 1), 3);
  t.equal(close.done, false);
});

t.test('queries and navigations', async (t) => {
  t.equal(queryOf('a=1&pass=x%2By&b', 'pass'), 'x+y');
  t.equal(queryOf('xpass=1', 'pass'), undefined);
  t.equal(queryOf('pass=%zz', 'pass'), undefined);
  t.equal(queryOf('pass=', 'pass'), '');
  const head = (more: string, method = 'GET') => request(`${method} / HTTP/1.1\r\nHost: a\r\n${more}`);
  t.equal(isNavigation(head('Accept: text/html,*/*\r\n')), true);
  t.equal(isNavigation(head('Accept: text/html\r\nSec-Fetch-Mode: cors\r\n')), false);
  t.equal(isNavigation(head('Sec-Fetch-Mode: navigate\r\n')), true);
  t.equal(isNavigation(head('Accept: */*\r\n')), false);
  t.equal(isNavigation(head('Accept: text/html\r\n', 'POST')), false);
});
