import t from 'tap';
import { ANNOTATION } from '../contracts/labels.js';
import { createActivity, isDue, STEP_MS } from './activity.js';
import { renderAnswer } from './answers.js';
import { cookieForm, cookieFromPod, cookiesForPod, cookieValues, setCookie } from './cookies.js';
import { acceptOf, atBoundary, closeFrame, follow, keyInFirstFrame, newFrames } from './frames.js';
import { headForClient, headForPod, withoutFrameAncestors } from './heads.js';
import { parseResponse } from './http/response.js';
import { type Route } from './table.js';
import { hostOf, requestTo, sandboxOf, slotNamed, UI } from './testing/harness.js';
import { filledTable } from './testing/table.js';

const A = slotNamed('a');
const NOW = Date.parse('2026-11-23T12:00:00Z');

t.test('cookies', async (t) => {
  const form = (protocol: string, host: string, isShared = false) => {
    const { name, attributes } = cookieForm({ protocol, host, slot: A, isShared });
    return `${name} ${attributes}`;
  };
  t.equal(form('https', 'x.example.org'), '__Host-sandlot-pass Path=/; HttpOnly; Secure; SameSite=None; Partitioned');
  t.equal(
    form('http', `${A}.sandbox.localhost:3001`),
    'sandlot-pass Path=/; HttpOnly; Secure; SameSite=None; Partitioned',
  );
  t.equal(form('http', 'x.lan'), 'sandlot-pass Path=/; HttpOnly; SameSite=Lax');
  t.equal(form('http', 'notlocalhost'), 'sandlot-pass Path=/; HttpOnly; SameSite=Lax');
  t.equal(
    form('https', 'example.org', true),
    `__Host-sandlot-pass-${A} Path=/; HttpOnly; Secure; SameSite=None; Partitioned`,
  );
  t.equal(setCookie({ name: 'n', attributes: 'Path=/' }, 'v', 5), 'n=v; Max-Age=5; Path=/');
  t.same(cookieValues('a=1; n=x; n=y; nn=z', 'n'), ['x', 'y']);
  t.equal(cookiesForPod('a=1; b=2'), 'a=1; b=2');
  t.equal(
    cookiesForPod(`a=1;sandlot-pass=x; __Host-sandlot-pass-${A}=y; SANDLOT-PASS=z; sandlot-passenger=1`),
    'a=1; sandlot-passenger=1',
  );
  for (const ours of ['sandlot-pass=x', 'sandlot-pass', ' sandlot-pass\t= x', '__HOST-Sandlot-Pass-guest-1=x;', ';'])
    t.equal(cookiesForPod(`${ours};sandlot-pass=`), undefined, ours);
  for (const others of ['sandlot-pass x=1', 'a=sandlot-pass', 'a; =sandlot-pass=x', 'xsandlot-pass=1'])
    t.equal(cookiesForPod(`${others}; sandlot-pass=x`), others, others);
  const cases: [string, string, string | undefined][] = [
    ['a=1; Path=/; HttpOnly', '', 'a=1; Path=/; HttpOnly'],
    ['a=1; Domain=localhost; Path=/', '', 'a=1; Path=/'],
    ['a=1;domain = .example.org', '', 'a=1'],
    ['sandlot-pass=x', '', undefined],
    ['__Host-sandlot-pass=x; Path=/; Secure', '', undefined],
    [' SandLot-Pass =x', '', undefined],
    ['=x', '', undefined],
    ['justvalue', '', undefined],
    ['a=1; Path=/app', `/${A}`, `a=1; Path=/${A}/app`],
    ['a=1', `/${A}`, `a=1; Path=/${A}/`],
    ['a=1; Path=/; Path=/b', `/${A}`, `a=1; Path=/${A}/b`],
    ['__Host-a=1; Path=/; Secure', `/${A}`, undefined],
  ];
  for (const [value, prefix, expected] of cases) t.equal(cookieFromPod(value, prefix), expected, value);
});

t.test('heads: what a pod gets to see', async (t) => {
  const head = requestTo(hostOf(A), '/p?q', {
    Connection: 'keep-alive, X-Hop',
    'X-Hop': '1',
    'Keep-Alive': 'timeout=5',
    'Proxy-Authorization': 'Basic x',
    TE: 'trailers',
    Cookie: 'sandlot-pass=secret; own=1',
    Authorization: 'Bearer sk-oh-platform',
    'X-API-Key': 'platform',
    'X-Session-API-Key': 'theirs',
    'X-Forwarded-For': '6.6.6.6',
    X_Forwarded_For: '6.6.6.6',
    'X-Forwarded-Prefix': '/evil',
    Forwarded: 'for=6.6.6.6',
    X_Session_API_Key: 'x',
    'X-Init-API-Key': 'x',
    'X-Sandlot-Owner': 'x',
    'Content-Length': '3',
    'X-Custom_Name': 'kept',
  });
  const out = {
    target: '/p?q',
    prefix: '',
    key: 'current',
    injectKey: 'current',
    isPlatformPort: true,
    clientIp: '9.9.9.9',
    protocol: 'https',
    forwardedFor: undefined,
  };
  t.same(headForPod(head, out).split('\r\n'), [
    'GET /p?q HTTP/1.1',
    `Host: ${hostOf(A)}`,
    'Cookie: own=1',
    'Content-Length: 3',
    'X-Custom_Name: kept',
    `Traceparent: ${head.trace}`,
    'X-Session-API-Key: current',
    'X-Forwarded-For: 9.9.9.9',
    `X-Forwarded-Host: ${hostOf(A)}`,
    'X-Forwarded-Proto: https',
    '',
    '',
  ]);
  const app = headForPod(head, {
    ...out,
    injectKey: undefined,
    isPlatformPort: false,
    prefix: '/x',
    forwardedFor: '1.1.1.1',
  });
  t.match(app, /\r\nX-API-Key: platform\r\nX-Session-API-Key: theirs\r\n/);
  t.match(app, /\r\nX-Forwarded-Prefix: \/x\r\nX-Forwarded-For: 1\.1\.1\.1, 9\.9\.9\.9\r\n/);
  t.notMatch(app, /sk-oh-platform|6\.6\.6\.6|evil/);
  const keys: [string, string, string, string][] = [
    // field, value, what the agent port and what an app's port gets
    ['X-Session-API-Key', 'current', 'current', ''],
    ['X-Session-API-Key', 'theirs', 'theirs', 'theirs'],
    ['Authorization', 'Bearer current', 'Bearer current', ''],
    ['Authorization', 'Bearer theirs', '', 'Bearer theirs'],
    ['X-API-Key', 'sk-oh-platform', '', ''],
  ];
  for (const [name, value, onAgent, onApp] of keys)
    for (const [isPlatformPort, expected] of [
      [true, onAgent],
      [false, onApp],
    ] as const) {
      // prettier-ignore
      const text = headForPod(requestTo(hostOf(A), '/', { [name]: value }), { ...out, injectKey: undefined, isPlatformPort });
      t.equal(
        new RegExp(`\r\n${name}: (.*)\r\n`).exec(text)?.[1] ?? '',
        expected,
        `${name}: ${value} ${isPlatformPort}`,
      );
    }
  const basic = requestTo(hostOf(A), '/', { Authorization: 'Basic abc' });
  t.match(headForPod(basic, { ...out, isPlatformPort: false }), 'Authorization: Basic abc');
  t.notMatch(headForPod(basic, out), 'Authorization');
  const bearer = requestTo(hostOf(A), '/', { Authorization: 'Bearer current' });
  t.match(headForPod(bearer, out), 'Authorization: Bearer current');
});

t.test('heads: what a browser gets to see', async (t) => {
  const answer = (fields: string, more: Partial<Parameters<typeof headForClient>[1]> = {}) => {
    const bytes = Buffer.from(`HTTP/1.1 200 OK\r\n${fields}`, 'latin1');
    const into = {
      prefix: '',
      trustedOrigin: undefined,
      embedders: ` ${UI}`,
      guarded: false,
      base: 'http://h',
      cookie: undefined,
      keepAlive: true,
      minor: 1 as const,
    };
    return headForClient(parseResponse(bytes, 0, bytes.length), { ...into, ...more })
      .split('\r\n')
      .slice(1, -2);
  };
  t.same(
    answer(
      'Content-Length: 5\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nAlt-Svc: h3=":1"\r\nClear-Site-Data: "cookies"\r\nX-Sandlot-Reason: x\r\nX-A: b\r\nSet-Cookie: a=b; Domain=h\r\nSet-Cookie: sandlot-pass=x\r\n',
    ),
    ['X-A: b', 'Set-Cookie: a=b', 'Content-Length: 5'],
  );
  t.same(
    answer(
      'NEL: {"report_to":"x","max_age":999}\r\nReport-To: {}\r\nStrict-Transport-Security: max-age=9; includeSubDomains\r\nAccept-CH: Sec-CH-UA-Model\r\nSecure-Session-Registration: (ES256);path="/"\r\nUse-As-Dictionary: match="/*"\r\n',
    ),
    [],
    'what browsers would keep for the whole origin',
  );
  t.same(
    answer(
      'X-Accel-Redirect: /internal/secret\r\nX-Accel-Buffering: yes\r\nX-Sendfile: /etc/passwd\r\nContent-Type: text/event-stream; charset=utf-8\r\n',
    ),
    ['Content-Type: text/event-stream; charset=utf-8', 'X-Accel-Buffering: no'],
    'a proxy in front takes orders from the gateway only',
  );
  t.same(answer('Transfer-Encoding: chunked\r\n', { keepAlive: false }), [
    'Transfer-Encoding: chunked',
    'Connection: close',
  ]);
  t.same(answer("X-Frame-Options: DENY\r\nContent-Security-Policy: default-src 'self'; frame-ancestors 'none'\r\n"), [
    "Content-Security-Policy: default-src 'self'",
    `Content-Security-Policy: frame-ancestors 'self' ${UI}`,
  ]);
  t.same(answer('', { guarded: true }), [`Content-Security-Policy: frame-ancestors 'self' ${UI}`]);
  t.same(answer('Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: X\r\n', { trustedOrigin: UI }), [
    'Access-Control-Expose-Headers: X',
    `Access-Control-Allow-Origin: ${UI}`,
    'Access-Control-Allow-Credentials: true',
    'Vary: Origin',
  ]);
  t.same(answer('Access-Control-Allow-Origin: *\r\n'), ['Access-Control-Allow-Origin: *']);
  const path = { prefix: '/p', base: 'http://h' };
  t.same(answer('Location: /a\r\nService-Worker-Allowed: /\r\nRefresh: 0; url=/b\r\nSet-Cookie: c=d\r\n', path), [
    'location: /p/a',
    'refresh: 0; url=/p/b',
    'Set-Cookie: c=d; Path=/p/',
  ]);
  t.same(
    answer(
      'Link: </a.css>; rel=preload; as=style, <https://x/>; rel=next\r\nRefresh: 5; /b\r\nContent-Location: //x/\r\n',
      path,
    ),
    ['link: </p/a.css>; rel=preload; as=style, <https://x/>; rel=next', 'refresh: 5; /p/b', 'content-location: //x/'],
  );
  t.equal(withoutFrameAncestors("Frame-Ancestors 'none'; default-src a, frame-ancestors b"), 'default-src a');
});

t.test('own answers: JSON for programs, a page for people, nothing of the request in either', async (t) => {
  const answer = { status: 503, reason: 'SandboxPaused', message: 'It is <paused>.', retryAfter: 5 } as const;
  const render = (fields: Record<string, string>, method = 'GET') =>
    renderAnswer(answer, {
      head: requestTo(hostOf(A), '/<script>', fields, method),
      keepAlive: true,
      lines: 'X: y\r\n',
      embedders: ` ${UI}`,
    });
  const json = render({});
  t.match(json, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  t.match(json, /Retry-After: 5\r\nX: y\r\n\r\n\{"detail":"It is <paused>\.","reason":"SandboxPaused"\}\n$/);
  const page = render({ accept: 'text/html' });
  t.match(page, 'It is &#60;paused&#62;.');
  t.match(page, /frame-ancestors 'self' http:\/\/localhost:3000\r\n/);
  t.notMatch(page, '/<script>');
  const [head = '', body = ''] = page.split('\r\n\r\n');
  t.match(head, `Content-Length: ${Buffer.byteLength(body)}`);
  t.match(render({}, 'HEAD'), /\r\n\r\n$/);
});

t.test('frames: boundaries, data and first frames', async (t) => {
  const masked = (text: string, first = 0x81) => {
    const payload = Buffer.from(text);
    const mask = [1, 2, 3, 4];
    const size =
      payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 255];
    return Buffer.from([first, ...size, ...mask, ...payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0))]);
  };
  const big = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]), Buffer.alloc(70_000)]);
  const ping = Buffer.from([0x89, 2, 1, 2]);
  const all = Buffer.concat([masked('hello'), ping, big, masked('x'.repeat(300)), closeFrame(1000, 'bye')]);
  for (const size of [1, 2, 3, 1000, 100_000]) {
    const frames = newFrames();
    for (let at = 0; at < all.length; at += size) follow(frames, all.subarray(at, at + size));
    t.equal(atBoundary(frames), true, `by ${size}`);
  }
  const frames = newFrames();
  t.equal(follow(frames, ping), false);
  t.equal(follow(frames, big.subarray(0, 100)), true);
  t.equal(atBoundary(frames), false);
  t.equal(follow(frames, big.subarray(100)), true);
  t.same(closeFrame(4001, 'no'), Buffer.from([0x88, 4, 0x0f, 0xa1, 0x6e, 0x6f]));
  t.equal(acceptOf('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'the example of RFC 6455');
  t.equal(acceptOf('short'), undefined);
  const auth = JSON.stringify({ type: 'auth', session_api_key: 'k'.repeat(200) });
  const frame = masked(auth);
  t.same(keyInFirstFrame(Buffer.concat([frame, ping])), { key: 'k'.repeat(200) });
  for (let cut = 0; cut < frame.length; cut++) t.equal(keyInFirstFrame(frame.subarray(0, cut)), 'more');
  for (const bad of ['not json', '[]', 'null', '{}', '{"type":"auth"}', '{"type":"auth","session_api_key":1}', '1'])
    t.equal(keyInFirstFrame(masked(bad)), 'bad', bad);
  t.equal(keyInFirstFrame(masked(auth, 0x01)), 'bad', 'in pieces');
  t.equal(keyInFirstFrame(masked(auth, 0x82)), 'bad', 'binary');
  t.equal(keyInFirstFrame(masked(auth, 0xc1)), 'bad', 'compressed');
  t.equal(keyInFirstFrame(Buffer.from([0x81, 0x05])), 'bad', 'unmasked');
  t.equal(keyInFirstFrame(Buffer.from([0x81, 0xff])), 'bad', 'endless');
});

t.test('activity: one write a minute and sandbox, failures ignored', async (t) => {
  const { table } = filledTable();
  const route = table.bySlot(A) as Route;
  const writes: unknown[] = [];
  const results: string[] = [];
  let fails = false;
  const activity = createActivity({
    client: {
      patch: async (_kind, ref, body) => {
        if (fails) throw new Error('down');
        writes.push([ref.name, body]);
        return {} as never;
      },
    },
    routes: () => table.routes(),
    written: (result) => void results.push(result),
  });
  await activity.round(NOW);
  t.same(writes, [], 'nobody used anything');
  route.load.lastTraffic = NOW;
  await activity.round(NOW);
  await activity.round(NOW + 1000);
  t.same(writes, [
    [`box-${A}`, { metadata: { annotations: { [ANNOTATION.lastTraffic]: '2026-11-23T12:00:00.000Z' } } }],
  ]);
  const written = sandboxOf(A);
  written.metadata.annotations = { [ANNOTATION.lastTraffic]: new Date(NOW).toISOString() };
  table.upsertSandbox(written);
  route.load.lastTraffic = NOW + STEP_MS - 1;
  await activity.round(NOW + 2 * STEP_MS);
  t.equal(writes.length, 1, 'less than a step later');
  route.load.lastTraffic = NOW + STEP_MS;
  fails = true;
  await activity.round(NOW + 2 * STEP_MS);
  fails = false;
  await activity.round(NOW + 2 * STEP_MS + 1000);
  t.equal(writes.length, 1, 'a failure is not repeated at once');
  await activity.round(NOW + 3 * STEP_MS);
  t.equal(writes.length, 2);
  t.same(results, ['ok', 'error', 'ok']);
  t.equal(isDue(table.bySlot(A) as Route, NOW + 9 * STEP_MS, NOW + 9 * STEP_MS), false);
});
