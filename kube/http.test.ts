/** Client, watch, reflector and port-forward against a small server whose single answers are faults. */
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import t from 'tap';
import { WebSocketServer } from 'ws';
import { createClient, KubeError, type KubeClient } from './client.js';
import { CONFIG_MAP } from './kinds.js';
import { openPortForward } from './portforward.js';
import { startReflector } from './reflector.js';
import { createFakeClock, settled } from './testing/clock.js';
import { startServer, type Answer } from './testing/server.js';
import type { KubeObject } from './types.js';

const json =
  (value: unknown, code = 200, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
const failure = (code: number, reason: string, headers: Record<string, string> = {}): Answer =>
  json(
    { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason, message: `because ${reason}` },
    code,
    headers,
  );
const map = (name: string, version: number, data?: Record<string, string>) => ({
  metadata: { namespace: 'n', name, resourceVersion: String(version), managedFields: [{}] },
  ...(data === undefined ? {} : { data }),
});
const list = (version: number, items: KubeObject[], next?: string): Answer =>
  json({ metadata: { resourceVersion: String(version), ...(next === undefined ? {} : { continue: next }) }, items });
const lines = (...values: unknown[]): string => values.map((value) => JSON.stringify(value) + '\n').join('');
/** A watch answer that stays open after these events. */
const open =
  (...events: unknown[]): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (events.length > 0) response.write(lines(...events));
  };
const ended =
  (...events: unknown[]): Answer =>
  (response) =>
    response.writeHead(200).end(lines(...events));
const cut: Answer = (response) => response.socket?.destroy();

t.test('client: what is sent', async (t) => {
  const { client, seen, script } = await startServer(t);
  script.push(json({ metadata: { name: 'x' }, items: [] }));
  const ref = { namespace: 'n', name: 'x' };
  await client.list(CONFIG_MAP, { namespace: 'n', labelSelector: 'a=b', limit: 5 });
  await client.create(CONFIG_MAP, { metadata: ref, data: { a: 'b' } });
  await client.replace(CONFIG_MAP, { metadata: ref }, { subresource: 'status' });
  await client.patch(CONFIG_MAP, ref, [{ op: 'remove', path: '/data' }], { type: 'json' });
  await client.apply(CONFIG_MAP, { metadata: ref }, { fieldManager: 'me', force: true });
  await client.delete(CONFIG_MAP, ref, { gracePeriodSeconds: 0, preconditions: { uid: 'u' } });
  await client.raw({ path: '/version', query: { a: 1 } });
  const calls = seen.map(({ method, path, query }) => `${method} ${path} ${query.toString()}`.trim());
  const one = '/api/v1/namespaces/n/configmaps/x';
  t.same(calls, [
    'GET /api/v1/namespaces/n/configmaps labelSelector=a%3Db&limit=5',
    'POST /api/v1/namespaces/n/configmaps',
    `PUT ${one}/status`,
    `PATCH ${one}`,
    `PATCH ${one} fieldManager=me&force=true`,
    `DELETE ${one}`,
    'GET /version a=1',
  ]);
  t.same(JSON.parse(seen[1]?.body ?? ''), { apiVersion: 'v1', kind: 'ConfigMap', metadata: ref, data: { a: 'b' } });
  t.same(
    [seen[3], seen[4]].map((call) => call?.headers['content-type']),
    ['application/json-patch+json', 'application/apply-patch+yaml'],
  );
  t.match(JSON.parse(seen[5]?.body ?? ''), {
    propagationPolicy: 'Background',
    gracePeriodSeconds: 0,
    preconditions: { uid: 'u' },
  });
  t.equal(seen[0]?.headers.authorization, 'Bearer secret-token');
  t.equal(seen[0]?.headers.accept, 'application/json');
});

t.test('client: every fault is a KubeError', async (t) => {
  const { client, script, seen, sockets } = await startServer(t);
  const ref = { namespace: 'n', name: 'x' };
  const attempt = async (answer: Answer, call: () => Promise<unknown> = () => client.get(CONFIG_MAP, ref)) => {
    script.splice(0, script.length, answer);
    const error = await call().then(
      () => undefined,
      (cause: unknown) => cause as KubeError,
    );
    t.notMatch(String(error), /secret-token/);
    return error;
  };
  t.match(await attempt(failure(404, 'NotFound')), { code: 404, reason: 'NotFound', message: /because NotFound/ });
  t.match(await attempt(failure(429, 'TooManyRequests', { 'retry-after': '3' })), { code: 429, retryAfterMs: 3000 });
  t.match(await attempt((response) => response.writeHead(502).end('<html>oops')), { code: 502, message: /oops/ });
  t.match(await attempt((response) => response.end('not json')), { code: 0, reason: 'BadAnswer' });
  const before = seen.length;
  t.match(await attempt(cut), { code: 0, reason: 'ConnectionFailed' });
  t.equal(seen.length - before, 2, 'a read on a broken connection is sent once more');
  t.match(await attempt(cut, () => client.create(CONFIG_MAP, { metadata: ref })), {
    code: 0,
    reason: 'ConnectionFailed',
  });
  t.equal(seen.length - before, 3, 'a write never');
  t.match(
    await attempt(
      () => undefined,
      () => client.get(CONFIG_MAP, ref, { timeoutMs: 30 }),
    ),
    { code: 0, reason: 'Timeout' },
  );
  const small = createClient(client.config, { maxBytes: 10 });
  t.match(await attempt(json({ a: 'much too long' }), () => small.get(CONFIG_MAP, ref)), {
    code: 0,
    reason: 'TooLarge',
  });
  await small.close();
  const abort = new AbortController();
  const reason = new Error('mine');
  const pending = attempt(
    () => abort.abort(reason),
    () => client.get(CONFIG_MAP, ref, { signal: abort.signal }),
  );
  t.equal(await pending, reason, "the caller's abort stays what it was");

  script.splice(0, script.length, failure(401, 'Unauthorized'), json({ metadata: { name: 'x' } }));
  t.match(
    await client.get(CONFIG_MAP, ref),
    { metadata: { name: 'x' } },
    'a 401 is tried again with fresh credentials',
  );
  for (let n = 0; n < 50; n++) await client.get(CONFIG_MAP, ref);
  t.ok(sockets.size <= 4, `connections are kept: ${sockets.size}`);
});

t.test('client: through the proxy of the cluster entry', async (t) => {
  const { config, script } = await startServer(t);
  const asked: string[] = [];
  const proxy = createServer().on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push(request.url ?? '');
    const [host, port] = (request.url ?? '').split(':');
    const upstream = connect(Number(port), host, () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    upstream
      .on('error', () => socket.destroy())
      .pipe(socket)
      .on('error', () => upstream.destroy())
      .pipe(upstream);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  const client = createClient({ ...config, proxyUrl: `http://127.0.0.1:${port}` });
  script.push(json({ metadata: { name: 'x' } }), ended({ type: 'ADDED', object: map('a', 5) }));
  t.match(await client.get(CONFIG_MAP, { namespace: 'n', name: 'x' }), { metadata: { name: 'x' } });
  const events: string[] = [];
  await client.watch(CONFIG_MAP, {}, ({ type }) => events.push(type));
  t.same(events, ['ADDED']);
  t.same(asked, Array(2).fill(new URL(config.server).host), 'a tunnel for requests and one for the watch');
  await client.close();
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
});

t.test('watch: ends, cuts, garbage and silence are told apart', async (t) => {
  const { client, script } = await startServer(t);
  const added = { type: 'ADDED', object: map('a', 5) };
  const run = async (answer: Answer, options: { silenceMs?: number } = {}) => {
    script.splice(0, script.length, answer);
    const events: string[] = [];
    const end = await client
      .watch(CONFIG_MAP, { namespace: 'n', ...options }, ({ type }) => events.push(type))
      .then(
        () => 'clean',
        (error: unknown) => (error instanceof KubeError ? `${error.code} ${error.reason}` : String(error)),
      );
    return [...events, end];
  };
  t.same(await run(ended(added, { type: 'BOOKMARK', object: { metadata: { resourceVersion: '9' } } })), [
    'ADDED',
    'BOOKMARK',
    'clean',
  ]);
  t.same(await run(failure(410, 'Expired')), ['410 Expired']);
  t.same(await run(failure(500, 'InternalError')), ['500 InternalError']);
  const gone = { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } };
  t.same(await run(ended(added, gone)), ['ADDED', '410 Expired']);
  t.same(await run((response) => response.end(lines(added) + 'garbage\n')), ['ADDED', '0 BadAnswer']);
  t.same(await run(ended(added, { type: 'WHAT' })), ['ADDED', '0 BadAnswer']);
  t.same(await run((response) => response.end('{"type":"ADD')), ['0 ConnectionFailed'], 'ends inside a line');
  const cutLater: Answer = (response) => {
    response.writeHead(200).write(lines(added), () => response.socket?.destroy());
  };
  t.same(await run(cutLater), ['ADDED', '0 ConnectionFailed']);
  t.same(await run(open(added), { silenceMs: 50 }), ['ADDED', '0 Timeout'], 'a silent connection is given up');
  const abort = new AbortController();
  script.splice(0, script.length, open(added));
  const reason = new Error('mine');
  await t.rejects(
    client.watch(CONFIG_MAP, { signal: abort.signal }, () => abort.abort(reason)),
    reason,
  );
  await t.rejects(
    client.watch(CONFIG_MAP, {}, () => {
      throw new TypeError('of the handler');
    }),
    { name: 'TypeError', message: 'of the handler' },
  );
});

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function follow(client: KubeClient, options: { pageSize?: number; broken?: boolean } = {}) {
  const clock = createFakeClock();
  const told: string[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const tell = (text: string): void => {
    told.push(text);
    for (const entry of waiting) if (told.length >= entry.count) entry.resolve();
    if (options.broken === true) throw new Error('a handler that fails');
  };
  const reflector = startReflector({
    client,
    kind: CONFIG_MAP,
    namespace: 'n',
    clock,
    log: silent,
    random: () => 0.5,
    ...(options.pageSize === undefined ? {} : { pageSize: options.pageSize }),
    handler: {
      upsert: (object, old) =>
        tell(`${old === undefined ? '+' : '~'}${object.metadata.name}@${object.metadata.resourceVersion}`),
      remove: (object) => tell(`-${object.metadata.name}`),
      synced: () => tell('synced'),
    },
  });
  const toldBy = (count: number): Promise<void> =>
    new Promise((resolve) => (told.length >= count ? resolve() : waiting.push({ count, resolve })));
  /** Moves time until the reflector has come back `count` times; only backoffs wait on this clock. */
  const pass = async (condition: () => boolean): Promise<void> => {
    for (let n = 0; n < 2000 && !condition(); n++) {
      if (clock.sleepers() > 0) await clock.advance(1000);
      else await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  return { clock, reflector, told, toldBy, pass };
}

t.test('reflector: pages, events, resume, re-list', async (t) => {
  const { client, script, seen, until } = await startServer(t);
  const event = (type: string, name: string, version: number) => ({ type, object: map(name, version) });
  script.push(
    list(10, [map('a', 1), map('b', 2)], 'next'),
    list(10, [map('c', 3)]),
    ended(event('MODIFIED', 'a', 11), event('DELETED', 'b', 12), {
      type: 'BOOKMARK',
      object: { metadata: { resourceVersion: '20' } },
    }),
    cut,
    failure(429, 'TooManyRequests', { 'retry-after': '3' }),
    (response) => response.end(lines(event('ADDED', 'd', 21)) + 'garbage\n'),
    failure(410, 'Expired'),
    list(40, [map('c', 3), map('d', 30)]),
    ended(event('MODIFIED', 'c', 41), { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } }),
    failure(500, 'InternalError'),
    list(50, [map('c', 41)]),
    open(event('ADDED', 'e', 51)),
  );
  const { reflector, told, toldBy, pass, clock } = follow(client, { pageSize: 2 });
  t.notOk(reflector.hasSynced());
  t.equal(await reflector.synced, true);
  await pass(() => seen.length >= 12);
  await until(12);
  await toldBy(12);
  t.same(told, ['+a@1', '+b@2', '+c@3', 'synced', '~a@11', '-b', '+d@21', '~d@30', '-a', '~c@41', '-d', '+e@51']);
  const asked = seen.map(({ query }) =>
    query.has('watch') ? `watch ${query.get('resourceVersion')}` : `list ${query.get('continue') ?? ''}`.trim(),
  );
  t.same(asked, [
    'list',
    'list next',
    'watch 10',
    'watch 20',
    'watch 20',
    'watch 20',
    'watch 21',
    'list',
    'watch 40',
    'list',
    'list',
    'watch 50',
  ]);
  const first = seen.find(({ query }) => query.has('watch'))?.query;
  t.equal(first?.get('allowWatchBookmarks'), 'true');
  t.equal(first?.get('timeoutSeconds'), '450', 'jittered between 5 and 10 minutes');
  t.equal(seen[0]?.query.get('limit'), '2');
  t.ok(clock.now() - 1_700_000_000_000 >= 3000, 'Retry-After was waited for');
  await reflector.stop();
});

t.test('reflector: an expired continue token lists in one piece', async (t) => {
  const { client, script, seen } = await startServer(t);
  script.push(list(10, [map('a', 1)], 'next'), failure(410, 'Expired'), list(12, [map('a', 1), map('b', 2)]), open());
  const { reflector, told } = follow(client, { pageSize: 1 });
  await reflector.synced;
  t.same(told, ['+a@1', '+b@2', 'synced']);
  t.equal(seen[2]?.query.get('limit'), null);
  await reflector.stop();
});

t.test('reflector: a handler that throws does not stop it', async (t) => {
  const { client, script } = await startServer(t);
  script.push(list(10, [map('a', 1), map('b', 1)]), open({ type: 'ADDED', object: map('c', 11) }));
  const { reflector, told, toldBy } = follow(client, { broken: true });
  await toldBy(4);
  t.same(told, ['+a@1', '+b@1', 'synced', '+c@11']);
  await reflector.stop();
});

t.test('reflector: stopped while it waits, it stays stopped', async (t) => {
  const { client, script, seen } = await startServer(t);
  script.push(failure(500, 'InternalError'));
  const { reflector, clock, told } = follow(client);
  while (clock.sleepers() === 0) await settled();
  const before = seen.length;
  await reflector.stop();
  await clock.advance(120_000);
  t.equal(seen.length, before);
  t.equal(await reflector.synced, false);
  t.same(told, []);
});

t.test('port-forward', async (t) => {
  const { config, server } = await startServer(t);
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v4.channel.k8s.io' });
  const asked: string[] = [];
  server.on('upgrade', (request, socket, head) => {
    asked.push(`${request.url} ${request.headers.authorization}`);
    if (request.url?.includes('/absent/')) return socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
    sockets.handleUpgrade(request, socket, head, (peer) => {
      // As a kubelet: the port on both channels, then the pod's bytes; here the pod is an echo.
      const port = Buffer.from([0x40, 0x1f]);
      peer.send(Buffer.concat([Buffer.of(0), port]));
      peer.send(Buffer.concat([Buffer.of(1), port]));
      peer.on('message', (frame: Buffer) => {
        if (frame.subarray(1).toString() === 'break')
          peer.send(Buffer.concat([Buffer.of(1), Buffer.from('connection refused')]));
        else peer.send(frame);
      });
    });
  });
  const pod = { namespace: 'n', name: 'p' };
  const stream = await openPortForward({ config, pod, port: 8000 });
  t.same(asked, ['/api/v1/namespaces/n/pods/p/portforward?ports=8000 Bearer secret-token']);
  const big = Buffer.alloc(300_000, 7);
  stream.write('hello');
  stream.write(big);
  let got = Buffer.alloc(0);
  for await (const chunk of stream) {
    got = Buffer.concat([got, chunk as Buffer]);
    if (got.length === big.length + 5) break;
  }
  t.equal(got.subarray(0, 5).toString(), 'hello');
  t.ok(got.subarray(5).equals(big));
  const broken = await openPortForward({ config, pod, port: 8000 });
  const error = new Promise((resolve) => broken.once('error', resolve));
  broken.write('break');
  t.match(await error, { reason: 'ConnectionFailed', message: /connection refused/ });
  await t.rejects(openPortForward({ config, pod: { namespace: 'n', name: 'absent' }, port: 1 }), {
    code: 404,
    reason: 'NotFound',
  });
  for (const peer of sockets.clients) peer.terminate();
});
