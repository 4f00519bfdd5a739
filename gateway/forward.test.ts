/** The moving of bytes, with real sockets on both sides. */
import { createHash, randomBytes } from 'node:crypto';
import { Agent, createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer, type Socket } from 'node:net';
import t from 'tap';
import { ask, deferred, gatewayFor, get, pod, raw, textOf } from './testing/client.js';
import { addPod, hostOf, listenLocal, rawClient, slotNamed, waitFor } from './testing/harness.js';

const A = slotNamed('a');
const B = slotNamed('b');

t.test('methods, statuses and bodies come through as they are', async (t) => {
  const { port } = await pod(t, (request, response) => {
    switch (request.url) {
      case '/range':
        return void response.writeHead(206, { 'content-range': 'bytes 1-2/5' }).end(request.headers.range);
      case '/empty':
        return void response.writeHead(204).end();
      case '/same':
        return void response.writeHead(304, { etag: '"x"' }).end();
      case '/close':
        return void response.writeHead(200, { connection: 'close' }).end('bye');
      case '/trailer':
        response.writeHead(200, { trailer: 'X-Sum' });
        response.write('body');
        response.addTrailers({ 'X-Sum': '42' });
        return void response.end();
      default:
        response.setHeader('x-method', request.method ?? '');
        return void request.pipe(response);
    }
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port } });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  t.match(await get(gateway.port, A, '/range', { headers: { range: 'bytes=1-2' }, agent }), {
    status: 206,
    text: 'bytes=1-2',
  });
  t.match(await get(gateway.port, A, '/x', { method: 'HEAD', agent }), {
    status: 200,
    text: '',
    headers: { 'x-method': 'HEAD' },
  });
  t.match(await get(gateway.port, A, '/empty', { agent }), { status: 204, text: '' });
  t.match(await get(gateway.port, A, '/same', { agent }), { status: 304, text: '', headers: { etag: '"x"' } });
  const closed = await get(gateway.port, A, '/close', { agent });
  t.match(closed, { status: 200, text: 'bye' });
  t.not(closed.headers.connection, 'close', 'what the pod says of its connection is not for the client');
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'])
    t.match(await get(gateway.port, A, '/x', { method, body: 'abc', agent, headers: { 'content-length': '3' } }), {
      status: 200,
      text: 'abc',
      headers: { 'x-method': method },
    });
  const chunked = { method: 'POST', body: 'abcdef', headers: { 'transfer-encoding': 'chunked' }, agent };
  t.match(await get(gateway.port, A, '/x', chunked), { status: 200, text: 'abcdef' });
  const withTrailer = await ask(gateway.port, A, '/trailer', { agent }).response;
  t.equal(await textOf(withTrailer), 'body');
  t.same(withTrailer.trailers, { 'x-sum': '42' });
  t.equal(gateway.gateway.connections.size, 1, 'all over one connection of the client');
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
  t.ok((gateway.table.bySlot(A)?.load.lastTraffic ?? 0) > 0);
});

t.test('connections to pods are reused, but never for another pod', async (t) => {
  const names = new Map<number, string>();
  const handler: RequestListener = (request, response) => {
    const served = names.get(request.socket.localPort ?? 0);
    response.end(`${served} ${request.url}`);
  };
  const one = await pod(t, handler);
  const two = await pod(t, handler);
  names.set(one.port, 'one').set(two.port, 'two');
  const gateway = await gatewayFor(t, { [A]: { agent: one.port }, [B]: { agent: two.port } });
  for (let round = 0; round < 20; round++) {
    const both = await Promise.all([get(gateway.port, A, `/a${round}`), get(gateway.port, B, `/b${round}`)]);
    t.same(
      both.map(({ text }) => text),
      [`one /a${round}`, `two /b${round}`],
    );
  }
  t.same([one.connections(), two.connections()], [1, 1]);
  // The address goes to another pod, as cluster networks do: nothing of the old one may be used.
  const C = slotNamed('c');
  addPod(gateway, C, { agent: one.port });
  t.equal((await get(gateway.port, C, '/c')).text, 'one /c');
  t.equal(one.connections(), 2);
  t.match(await get(gateway.port, A, '/a'), { status: 503 }, 'what is for the old pod does not reach the new one');
  addPod(gateway, B, { agent: one.port });
  t.equal((await get(gateway.port, B, '/b')).text, 'one /b');
  gateway.table.removeSandbox({ metadata: { name: `box-${B}`, namespace: 'default' }, spec: {} });
  t.match(await get(gateway.port, B, '/b'), { status: 404 });
  t.equal(gateway.gateway.pool.size().open, 0, 'what led to any of them is closed');
});

t.test('requests sent ahead are answered in order, and their answers do not pile up', async (t) => {
  const { port } = await pod(t, (request, response) => void response.end(`<${request.url}>`));
  const gateway = await gatewayFor(t, { [A]: { agent: port } });
  const client = rawClient(gateway.port);
  const many = 50;
  client.socket.write(Array.from({ length: many }, (_, at) => raw(A, `GET /${at} HTTP/1.1`)).join(''));
  const text = await client.until(new RegExp(`</${many - 1}>`));
  t.same(
    text.match(/<\/\d+>/g),
    Array.from({ length: many }, (_, at) => `</${at}>`),
  );
  client.socket.destroy();
  const lazy = rawClient(gateway.port);
  lazy.socket.pause();
  const flood = raw(A, `GET /${'x'.repeat(8000)} HTTP/1.1`).repeat(200);
  const accepted = lazy.socket.write(flood.repeat(20));
  t.equal(accepted, false);
  await get(gateway.port, A, '/x');
  for (const { socket, stash } of gateway.gateway.connections)
    t.ok(socket.writableLength < 1_000_000 && (stash?.length ?? 0) < 1_000_000, 'bounded');
  lazy.socket.destroy();
});

t.test('HTTP/1.0 and connections that are not kept', async (t) => {
  const { port } = await pod(t, (request, response) => {
    response.write(`${request.httpVersion} `);
    response.end('done');
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port } });
  const old = rawClient(gateway.port);
  old.socket.write(raw(A, 'GET / HTTP/1.0'));
  const text = await old.ended;
  t.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n\r\n1\.0 done$/);
  t.notMatch(text, /chunked/i);
  const closing = rawClient(gateway.port);
  closing.socket.write(raw(A, 'GET / HTTP/1.1', 'Connection: close\r\n'));
  t.match(await closing.ended, /Connection: close\r\n[^]*1\.1 /);
});

t.test('path form: pages, redirects and cookies below the prefix', async (t) => {
  const { port } = await pod(t, (request, response) => {
    const head = { 'content-type': 'text/html', etag: '"x"', 'set-cookie': 'a=1; Path=/' };
    if (request.url === '/go') return void response.writeHead(302, { location: '/home?x=1' }).end();
    if (request.url === '/length')
      return void response.writeHead(200, { ...head, 'content-length': '15' }).end('<a href="/x">y\n');
    if (request.url === '/close') {
      response.useChunkedEncodingByDefault = false;
      response.writeHead(200, { ...head, connection: 'close' });
      return void response.end('<a href="/x">');
    }
    if (request.url === '/text')
      return void response.writeHead(200, { 'content-type': 'text/plain' }).end('<a href="/x">');
    if (request.url === '/style.css')
      return void response
        .writeHead(200, { 'content-type': 'text/css', link: '</font>; rel=preload', 'content-length': '15' })
        .end('a{b:url("/x")}\n');
    response.writeHead(200, head);
    response.write('<a hr');
    setImmediate(() => response.end(`ef="/x">${request.url} ${request.headers['accept-encoding']}`));
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port, 'worker-1': port } });
  const prefix = `/${A}/work-1`;
  const page = (path: string) =>
    get(gateway.port, A, `${prefix}${path}`, {
      headers: { host: 'gateway.example', accept: 'text/html', 'accept-encoding': 'gzip' },
    });
  t.match(await page(''), { status: 302, headers: { location: `${prefix}/` } });
  t.match(await page('?q'), { status: 302, headers: { location: `${prefix}/?q` } });
  t.match(await page('/a'), {
    text: `<a href="${prefix}/x">/a identity`,
    headers: { 'set-cookie': [`a=1; Path=${prefix}/`], etag: undefined },
  });
  t.match(await page('/length'), { text: `<a href="${prefix}/x">y\n`, headers: { 'content-length': undefined } });
  t.match(await page('/close'), { text: `<a href="${prefix}/x">` });
  t.match(await page('/text'), { text: '<a href="/x">' });
  t.match(await page('/style.css'), {
    text: `a{b:url("${prefix}/x")}\n`,
    headers: { link: `<${prefix}/font>; rel=preload`, 'content-length': undefined },
  });
  t.match(await page('/go'), { status: 302, headers: { location: `${prefix}/home?x=1` } });
});

t.test('events arrive one by one', async (t) => {
  const next = [deferred(), deferred()];
  const { port } = await pod(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
    void next[0]?.promise.then(() => response.write('data: 2\n\n'));
    void next[1]?.promise.then(() => response.end('data: 3\n\n'));
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port } });
  const response = await ask(gateway.port, A, '/events').response;
  const seen: string[] = [];
  for await (const chunk of response) {
    seen.push(String(chunk).trim());
    // The pod goes on only after the last event has arrived: anything that buffers would wait for ever.
    next[seen.length - 1]?.resolve();
  }
  t.same(seen, ['data: 1', 'data: 2', 'data: 3']);
});

t.test('50 MB up and down, at the pace of the slower side', async (t) => {
  const size = 50 * 1024 * 1024;
  const block = randomBytes(1024 * 1024);
  let produced = 0;
  const { port } = await pod(t, (request, response) => {
    if (request.method === 'GET') {
      const produce = () => {
        while (produced < size) {
          produced += block.length;
          if (!response.write(block)) return void response.once('drain', produce);
        }
        response.end();
      };
      return produce();
    }
    const hash = createHash('sha256');
    request.on('data', (chunk: Buffer) => hash.update(chunk));
    request.on('end', () => response.end(hash.digest('hex')));
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port } });
  const expected = createHash('sha256');
  for (let sent = 0; sent < size; sent += block.length) expected.update(block);
  const hex = expected.digest('hex');
  for (const headers of [{ 'content-length': String(size) }, { 'transfer-encoding': 'chunked' }]) {
    const { request, response } = ask(gateway.port, A, '/up', { method: 'POST', headers });
    for (let sent = 0; sent < size; sent += block.length)
      if (!request.write(block)) await new Promise((resolve) => request.once('drain', resolve));
    request.end();
    t.equal(await textOf(await response), hex);
  }
  const response = await ask(gateway.port, A, '/down').response;
  // Nobody reads: the pod must come to a halt far from the end. Other traffic goes on meanwhile.
  for (let round = 0; round < 30; round++) await get(gateway.port, A, '/x', { method: 'POST', body: 'x' });
  t.ok(produced < 30 * 1024 * 1024, `halted after ${produced} bytes`);
  const hash = createHash('sha256');
  for await (const chunk of response) hash.update(chunk as Buffer);
  t.equal(hash.digest('hex'), hex);
  t.ok(gateway.finished.some((one) => one.bytesOut >= size) && gateway.finished.some((one) => one.bytesIn >= size));
});

t.test('100-continue, and an answer before the body is through', async (t) => {
  const { port, server } = await pod(t, (request, response) => {
    if (request.url === '/refuse') return void response.writeHead(413, { connection: 'close' }).end('too large');
    return void request.pipe(response);
  });
  server.on('checkContinue', (request: IncomingMessage, response) => {
    response.writeContinue();
    request.pipe(response);
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port } });
  const client = rawClient(gateway.port);
  client.socket.write(raw(A, 'POST /c HTTP/1.1', 'Content-Length: 5\r\nExpect: 100-continue\r\n'));
  await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  client.socket.write('hello');
  t.match(await client.until(/hello/), /HTTP\/1\.1 200 OK/);
  client.socket.destroy();
  const early = rawClient(gateway.port);
  early.socket.write(raw(A, 'POST /refuse HTTP/1.1', 'Content-Length: 1000000\r\n', 'some'));
  t.match(await early.until(/too large/), /^HTTP\/1\.1 413 [^]*Connection: close\r\n/);
  early.socket.destroy();
});

t.test('whoever hangs up, the other side learns it', async (t) => {
  const seen = deferred<Socket>();
  const gone = deferred();
  const { port } = await pod(t, (request, response) => {
    if (request.url === '/die') {
      response.writeHead(200, { 'content-length': '100' });
      response.write('some');
      return void setImmediate(() => request.socket.destroy());
    }
    if (request.url === '/die-early') return void request.socket.destroy();
    response.once('close', gone.resolve);
    response.write('x');
    seen.resolve(request.socket);
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port } });
  const { request, response } = ask(gateway.port, A, '/hang');
  await seen.promise;
  const message = await response;
  message.once('error', () => undefined);
  request.destroy();
  await gone.promise;
  t.pass('the pod saw the client leave');
  const cut = await ask(gateway.port, A, '/die').response;
  await t.rejects(textOf(cut), 'a missing end is no clean end');
  t.match(await get(gateway.port, A, '/die-early'), { status: 502, text: /"reason":"BadAnswer"/ });
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
  t.equal(gateway.gateway.pool.size().open, 0);
});

t.test('nobody listens: a page that waits, JSON for programs, and a second dial for agent servers', async (t) => {
  const free = createServer();
  const port = await listenLocal(free);
  await new Promise((resolve) => free.close(resolve));
  const gateway = await gatewayFor(t, { [A]: { agent: port, 'worker-1': port } });
  const work = { host: hostOf(A, 'work-1') };
  const page = await get(gateway.port, A, '/', {
    headers: { ...work, accept: 'text/html', 'sec-fetch-mode': 'navigate' },
  });
  t.match(page, { status: 502, headers: { 'x-sandlot-reason': 'NothingListening', 'content-type': /html/ } });
  t.match(page.text, `No app is listening on port ${port} yet.`);
  t.match(await get(gateway.port, A, '/', { headers: work }), {
    status: 502,
    text: /"reason":"NothingListening"/,
    headers: { 'retry-after': '2' },
  });
  t.match(await get(gateway.port, A, '/', { headers: { ...work, origin: 'http://localhost:3000' } }), {
    headers: { 'access-control-allow-origin': 'http://localhost:3000', 'access-control-allow-credentials': 'true' },
  });
  const waiting = get(gateway.port, A, '/x', { method: 'POST', body: 'kept' });
  const server = createHttpServer((request, response) => void request.pipe(response));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.match(await waiting, { status: 200, text: 'kept' }, 'the pod came up between two dials');
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
});

t.test('limits and silences end in an answer', async (t) => {
  const { port } = await pod(t, (request, response) => {
    if (request.url === '/now') response.end('now');
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port } }, { maxRequests: 1, maxStreams: 0 });
  const hanging = rawClient(gateway.port);
  hanging.socket.write(raw(A, 'GET /never HTTP/1.1'));
  await waitFor(() => gateway.table.bySlot(A)?.load.requests === 1);
  t.match(await get(gateway.port, A, '/now'), { status: 429, headers: { 'retry-after': '1' } });
  const socket = rawClient(gateway.port);
  socket.socket.write(raw(A, 'GET /s HTTP/1.1', 'Connection: upgrade\r\nUpgrade: websocket\r\n'));
  t.match(await socket.until(/\r\n\r\n/), /^HTTP\/1\.1 429 /, 'WebSockets are counted apart');
  const slow = rawClient(gateway.port);
  slow.socket.write('GET / HTTP/1.1\r\nHos');
  await waitFor(() => [...gateway.gateway.connections].some(({ stash }) => stash !== undefined));
  gateway.later(16_000);
  t.match(await slow.ended, /^HTTP\/1\.1 408 /);
  gateway.later(611_000);
  t.match(await hanging.until(/TimedOut/), /^HTTP\/1\.1 504 /);
  hanging.socket.destroy();
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
});

t.test('draining: requests end, idle connections close, nobody new', async (t) => {
  const release = deferred();
  const arrived = deferred();
  const { port } = await pod(t, (_request, response) => {
    arrived.resolve();
    void release.promise.then(() => response.end('late but whole'));
  });
  const gateway = await gatewayFor(t, { [A]: { agent: port } });
  const idle = rawClient(gateway.port);
  const busy = rawClient(gateway.port);
  busy.socket.write(raw(A, 'GET / HTTP/1.1'));
  await arrived.promise;
  const drained = gateway.listening.drain(10_000);
  release.resolve();
  t.match(await busy.ended, /^HTTP\/1\.1 200 [^]*Connection: close[^]*late but whole/);
  t.equal(await idle.ended, '');
  await drained;
  await t.rejects(get(gateway.port, A, '/'), { code: 'ECONNREFUSED' });
});
