/** Events by server-sent events and long polling. */
import t from 'tap';
import { A, agent, ID, names, open, PATH, type Stored } from '../testing/agent.js';
import { get } from '../testing/client.js';
import { addPod, hostOf, keyOf, rawClient, requestTo, sandboxOf, waitFor } from '../testing/harness.js';
import { eventsRequest, readCursor, writeCursor } from './request.js';

/** Numbers that look random and are the same in each run. */
function numbers(seed: number) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

t.test('requests and cursors', async (t) => {
  const of = (target: string, fields: Record<string, string> = {}, method = 'GET') =>
    eventsRequest(requestTo(hostOf(A), target, fields, method), target);
  const SSE = { accept: 'text/event-stream' };
  t.same(of(PATH, SSE), {
    transport: 'stream',
    conversation: ID,
    after: undefined,
    isFirst: true,
  });
  t.same(of(`${PATH}?transport=poll&after=e-1/2026-01-01T00:00:00`), {
    transport: 'poll',
    conversation: ID,
    after: { id: 'e-1', time: '2026-01-01T00:00:00' },
    isFirst: false,
  });
  t.same(of(PATH, { ...SSE, 'last-event-id': 'e-7' })?.after, { id: 'e-7', time: undefined });
  t.same(of(PATH, { ...SSE, 'last-event-id': 'e 7\u00e4' })?.after, undefined);
  t.equal(of(PATH), undefined, 'a socket whose Upgrade was stripped is not asking for this');
  t.equal(of(PATH, SSE, 'POST'), undefined);
  t.equal(of(`${PATH}/x`, SSE), undefined);
  t.equal(of('/sockets/events/../../api', SSE), undefined);
  t.equal(of(PATH, { ...SSE, connection: 'upgrade', upgrade: 'websocket' }), undefined);
  for (const cursor of ['e-1', 'e-1/2026-01-01T00:00:00.000001']) {
    const read = readCursor(cursor);
    t.equal(read && writeCursor(read), cursor);
  }
});

t.test('a stream: history in order, then what happens, with signs of life', async (t) => {
  const { gateway, add, tell } = await agent(t);
  for (let n = 0; n < 120; n++) add();
  const stream = await open(gateway);
  t.match(stream.message.headers, {
    'content-type': 'text/event-stream',
    'x-accel-buffering': 'no',
    'cache-control': /no-transform/,
  });
  await waitFor(() => stream.ids().length === 120);
  await waitFor(() => stream.frames.length === 121);
  t.match(stream.frames.at(-1), { id: undefined, data: /full_state/ });
  tell({ id: 'd', kind: 'StreamingDeltaEvent', content: 'x' });
  add('with\nline\n\nbreaks');
  await waitFor(() => stream.ids().length === 121);
  t.same(stream.ids(), names(0, 121));
  t.match(stream.frames.at(-2), { id: undefined, data: /StreamingDelta/ });
  t.match(stream.frames.at(-1), { id: 'e-120/2026-11-25T12:00:40.000001' });
  const before = stream.beats();
  gateway.later(6_000);
  await waitFor(() => stream.beats() > before);
  t.equal(gateway.table.bySlot(A)?.load.streams, 1);
  stream.close();
  await waitFor(() => gateway.table.bySlot(A)?.load.streams === 0);
  t.match(gateway.finished.at(-1), { status: 200, grant: 'key' });
});

t.test('whenever a client breaks off, it goes on where it was: nothing lost, nothing twice', async (t) => {
  const random = numbers(7);
  const { gateway, add, log } = await agent(t, () => Math.floor(random() * 3));
  for (let n = 0; n < 70; n++) add();
  const seen: string[] = [];
  let cursor: string | undefined;
  const writing = setInterval(() => {
    for (let n = Math.floor(random() * 6); n > 0 && log.length < 1_500; n--) add();
  }, 1);
  t.teardown(() => clearInterval(writing));
  while (seen.length < 1_500) {
    const stream = await open(gateway, cursor);
    const wanted = 1 + Math.floor(random() * 200);
    await waitFor(() => stream.ids().length >= Math.min(wanted, 1_500 - seen.length));
    stream.close();
    seen.push(...stream.ids());
    cursor = stream.frames.findLast(({ id }) => id !== undefined)?.id ?? cursor;
  }
  t.equal(seen.length, 1_500);
  t.equal(
    seen.findIndex((id, n) => id !== `e-${n}`),
    -1,
  );
});

t.test('polls carry the same: at once when there is something, else when there is, else after a while', async (t) => {
  const random = numbers(11);
  const { gateway, add, log } = await agent(t, () => Math.floor(random() * 3));
  const poll = async (after: string | null) => {
    const query = after === null ? '' : `&after=${encodeURIComponent(after)}`;
    const { status, text } = await get(gateway.port, A, `${PATH}?transport=poll${query}`);
    t.equal(status, 200);
    return JSON.parse(text) as { events: Stored[]; next: string | null };
  };
  const first = await poll(null);
  t.match(first, { events: [{ id: 'state' }], next: 'start' });
  for (let n = 0; n < 450; n++) add();
  const seen: string[] = [];
  let next: string | null = first.next;
  const stored = (events: Stored[]) => events.filter(({ id }) => id.startsWith('e-')).map(({ id }) => id);
  while (seen.length < 450) {
    const answer = await poll(next);
    seen.push(...stored(answer.events));
    next = answer.next;
  }
  const waiting = poll(next);
  await waitFor(() => gateway.table.bySlot(A)?.load.streams === 1);
  const writing = setInterval(() => log.length < 600 && add(), 2);
  t.teardown(() => clearInterval(writing));
  let answer = await waiting;
  seen.push(...stored(answer.events));
  while (seen.length < 600) {
    answer = await poll(answer.next);
    seen.push(...stored(answer.events));
  }
  t.equal(seen.length, 600);
  t.equal(
    seen.findIndex((id, n) => id !== `e-${n}`),
    -1,
  );
  const idle = poll(answer.next);
  await waitFor(() => gateway.table.bySlot(A)?.load.streams === 1);
  gateway.later(21_000);
  t.same(await idle, { events: [], next: answer.next });
});

t.test('a place that the server does not know: what is as late or later', async (t) => {
  const { gateway, add } = await agent(t);
  for (let n = 0; n < 30; n++) add();
  const late = await open(gateway, 'gone/2026-11-25T12:00:08.000001');
  await waitFor(() => late.ids().length === 6);
  t.same(late.ids(), names(24, 30));
  const all = await open(gateway, 'gone');
  await waitFor(() => all.ids().length === 30);
  t.same(all.ids(), names(0, 30));
});

t.test('what cannot be followed is an answer with a reason', async (t) => {
  const { gateway, sockets } = await agent(t);
  const other = `/sockets/events/${'f'.repeat(32)}`;
  const sse = { headers: { accept: 'text/event-stream' } };
  t.match(await get(gateway.port, A, other, sse), { status: 404, text: /UnknownConversation/ });
  t.match(await get(gateway.port, A, `${other}?transport=poll`), { status: 404 });
  t.match(await get(gateway.port, A, PATH, { headers: { ...sse.headers, 'x-session-api-key': 'no' } }), {
    status: 401,
  });
  const stream = await open(gateway);
  await waitFor(() => stream.frames.length === 1);
  for (const socket of sockets.clients) socket.close(1001);
  await stream.ended;
  t.match(stream.frames.at(-1), { event: 'end', data: '{"reason":"Unreachable"}' });
  addPod(gateway, A, { agent: 1 });
  t.match(await get(gateway.port, A, PATH, sse), { status: 503, headers: { 'retry-after': '1' } });
  t.equal(gateway.table.bySlot(A)?.load.streams, 0);
});

t.test('a resume ends it, a stop of the gateway sends it elsewhere', async (t) => {
  const { gateway, add, port } = await agent(t);
  add();
  const stream = await open(gateway);
  await waitFor(() => stream.frames.length === 2);
  gateway.table.upsertSandbox(sandboxOf(A, { status: { keyEpoch: 2 } }));
  gateway.later(0);
  await stream.ended;
  t.match(stream.frames.at(-1), { event: 'end', data: '{"reason":"AccessEnded"}' });
  addPod(gateway, A, { agent: port });
  const moving = await open(gateway);
  await waitFor(() => moving.frames.length === 2);
  const poll = get(gateway.port, A, `${PATH}?transport=poll&after=e-0`);
  await waitFor(() => gateway.table.bySlot(A)?.load.streams === 2);
  // Let the poll get to where it waits.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const drained = gateway.listening.drain(1_000);
  await moving.ended;
  t.match(moving.frames.at(-1), { event: 'end', data: '{"reason":"Draining"}' });
  t.match(await poll, { status: 200, text: '{"events":[],"next":"e-0"}' });
  await drained;
});

t.test('a client that does not read is cut, and costs no more than a buffer', async (t) => {
  const { gateway, add } = await agent(t);
  for (let n = 0; n < 400; n++) add('x'.repeat(100_000));
  const client = rawClient(gateway.port);
  client.socket.pause();
  client.socket.write(
    `GET ${PATH} HTTP/1.1\r\nHost: ${hostOf(A)}\r\nX-Session-API-Key: ${keyOf(A)}\r\nAccept: text/event-stream\r\n\r\n`,
  );
  const connections = () => [...gateway.gateway.connections];
  await waitFor(() => connections().some(({ socket }) => socket.writableNeedDrain));
  const before = connections()[0]?.socket.writableLength ?? 0;
  await new Promise((resolve) => setTimeout(resolve, 200));
  const after = connections()[0]?.socket.writableLength ?? 0;
  t.ok(after <= before + 200_000 && after < 1_000_000, `${after} bytes wait`);
  gateway.later(6_000);
  gateway.later(40_000);
  t.match(gateway.finished.at(-1), { status: 200, reason: 'SlowReader' });
  gateway.later(60_000);
  await waitFor(() => gateway.gateway.connections.size === 0);
  client.socket.destroy();
});

t.test('an event that is nested too deeply to be told is left out; the gateway lives', async (t) => {
  const { gateway, add, sockets } = await agent(t);
  add();
  const stream = await open(gateway);
  await waitFor(() => stream.frames.length === 2);
  const poll = get(gateway.port, A, `${PATH}?transport=poll&after=e-0`);
  await waitFor(() => sockets.clients.size === 2);
  // Let the poll get to where it waits.
  await new Promise((resolve) => setTimeout(resolve, 100));
  const deep = `{"id":"deep","kind":"MessageEvent","x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
  for (const socket of sockets.clients) socket.send(deep);
  add();
  await waitFor(() => stream.ids().length === 2);
  t.same(stream.ids(), ['e-0', 'e-1']);
  t.match(await poll, { status: 200, text: /^{"events":\[{"id":"e-1"/ });
  stream.close();
});

t.test('events that wait for a slow history are bounded in size too, and not lost', async (t) => {
  const { gateway, add, hold, asked, sockets } = await agent(t);
  add();
  const release = hold();
  const reading = open(gateway);
  await waitFor(() => gateway.table.bySlot(A)?.load.streams === 1);
  await waitFor(() => asked() === 1);
  for (let n = 0; n < 12; n++) add('x'.repeat(1 << 20));
  await waitFor(() => [...sockets.clients].every(({ bufferedAmount }) => bufferedAmount === 0));
  // Let the last frame arrive.
  await new Promise((resolve) => setTimeout(resolve, 300));
  release();
  const stream = await reading;
  await waitFor(() => stream.ids().length === 13);
  t.same(stream.ids(), names(0, 13));
  t.ok(asked() > 1, 'what was not kept is read again');
  stream.close();
});

t.test('streams have a limit of their own', async (t) => {
  const { gateway, add } = await agent(t);
  add();
  gateway.gateway.rules.maxStreams = 1;
  const stream = await open(gateway);
  await waitFor(() => stream.frames.length === 2);
  t.match(await get(gateway.port, A, `${PATH}?transport=poll`), { status: 429, headers: { 'retry-after': '1' } });
  stream.close();
  await stream.ended;
});
