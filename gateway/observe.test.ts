/** What is counted and logged of requests: bytes of bodies, whoever made them, and the trace. */
import { createServer } from 'node:http';
import t from 'tap';
import { agent, PATH } from './testing/agent.js';
import { get } from './testing/client.js';
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
import { isTraceParent, newTraceParent, traceIdOf } from './http/trace.js';
import { A, AUTH, OK, setup } from './testing/raw.js';

t.test('bytes out are those of the body that the client gets, also of the gateway’s own answers', async (t) => {
  const { gateway } = await setup(t, (socket, heard) => void (heard.includes('/good') && socket.write(OK)));
  const bodyOf = async (request: string) => {
    const client = rawClient(gateway.port);
    client.socket.write(request);
    const [, body = ''] = (await client.ended).split(/\r\n\r\n([^]*)/);
    return { body: body.length, noted: gateway.finished.pop()?.bytesOut };
  };
  const close = 'Connection: close\r\n\r\n';
  t.same(await bodyOf(`GET /good HTTP/1.1\r\n${AUTH}${close}`), { body: 4, noted: 4 });
  const cases = {
    unknown: `GET / HTTP/1.1\r\nHost: ${hostOf(slotNamed('z'))}\r\n${close}`,
    'a page': `GET / HTTP/1.1\r\nHost: ${hostOf(A)}\r\nAccept: text/html\r\n${close}`,
    bad: 'GET / HTTP/1.1\r\n\r\n',
    handshake: `GET /sockets/x HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n`,
  };
  for (const [name, request] of Object.entries(cases)) {
    const { body, noted } = await bodyOf(request);
    t.ok(body > 0, name);
    t.equal(noted, body, name);
  }
  t.same(await bodyOf(cases.unknown.replace('GET', 'HEAD')), { body: 0, noted: 0 });
  addPod(gateway, A, { agent: 1 });
  const { body, noted } = await bodyOf(`GET /x HTTP/1.1\r\n${AUTH}${close}`);
  t.ok(body > 0);
  t.equal(noted, body, 'nobody there');
});

t.test('bytes out of an event stream are bytes, not letters, and no head', async (t) => {
  const { gateway, add } = await agent(t);
  add('größer als €');
  const client = rawClient(gateway.port);
  client.socket.write(
    `GET ${PATH} HTTP/1.1\r\nHost: ${hostOf(A)}\r\nX-Session-API-Key: ${keyOf(A)}\r\nAccept: text/event-stream\r\n\r\n`,
  );
  const text = await client.until(/e-0[^]*\n\n/);
  client.socket.destroy();
  await waitFor(() => gateway.finished.length > 0);
  t.equal(gateway.finished.at(-1)?.bytesOut, text.length - text.indexOf('\r\n\r\n') - 4);
});

t.test('traceparent: what is valid stays, anything else begins a trace', async (t) => {
  const good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00';
  const bad = [
    '',
    'x',
    good.toUpperCase(),
    good.replace('00-', 'ff-'),
    `${good}-more`,
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`,
    good.slice(0, -1),
    `${good}0`,
    `01${good.slice(2)}-${'x'.repeat(300)}`,
  ];
  for (const value of bad) t.equal(isTraceParent(value), false, value.slice(0, 60));
  for (const value of [good, `01${good.slice(2)}-more`, `cc${good.slice(2)}`]) t.ok(isTraceParent(value), value);
  const made = new Set(Array.from({ length: 1000 }, newTraceParent));
  t.equal(made.size, 1000);
  t.ok([...made].every((one) => isTraceParent(one) && one.length === 55));

  const heard: { parent: string | undefined; state: string | undefined }[] = [];
  const pod = createServer((request, response) => {
    const { traceparent, tracestate } = request.headersDistinct;
    heard.push({ parent: traceparent?.join('|'), state: tracestate?.join('|') });
    response.end('ok');
  });
  const port = await listenLocal(pod);
  const gateway = await startTestGateway();
  t.teardown(async () => {
    await gateway.close();
    pod.close();
    pod.closeAllConnections();
  });
  addPod(gateway, A, { agent: port });
  const ask = async (headers: Record<string, string | string[]>) => {
    await get(gateway.port, A, '/', { headers });
    const head = gateway.finished.at(-1)?.head;
    const { parent = '', state } = heard.at(-1) ?? {};
    return { parent, state, logged: head === undefined ? '' : traceIdOf(head.trace) };
  };
  const tracestate = 'a=1,b=2';
  t.same(await ask({ traceparent: good, tracestate }), { parent: good, state: tracestate, logged: good.slice(3, 35) });
  const without: Record<string, string | string[]>[] = [
    {},
    { tracestate },
    { traceparent: 'x', tracestate },
    { traceparent: [good, good] },
  ];
  for (const headers of without) {
    const { parent, state, logged } = await ask(headers);
    t.ok(isTraceParent(parent), JSON.stringify(headers));
    t.notMatch(parent, good.slice(3, 35));
    t.equal(logged, parent.slice(3, 35));
    t.equal(state, undefined);
  }
});
