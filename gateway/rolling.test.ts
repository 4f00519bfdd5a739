/**
 * A rolling replacement of gateways under live traffic: each reader of events has every event once and in order, requests
 * are answered, and streams are told to come back. In front is what a Service is: new connections go to one that is ready.
 */
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { A, agent, ID, names, open, PATH, type Stored } from './testing/agent.js';
import { get } from './testing/client.js';
import { addPod, hostOf, keyOf, listenLocal, startTestGateway, waitFor, type TestGateway } from './testing/harness.js';

/** Each request on a connection of its own: a kept one may be ended as it is used again, and clients know that. */
const ALONE = { agent: false } as const;

/** Sends each connection to the next of those that are ready. */
async function service(t: Test) {
  const ready: TestGateway[] = [];
  const open = new Set<Socket>();
  let turn = 0;
  let connecting = 0;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const chosen = ready[turn++ % ready.length];
    if (chosen === undefined) return void client.destroy();
    const upstream = connect({ port: chosen.port, host: '127.0.0.1', allowHalfOpen: true });
    connecting++;
    upstream.once('connect', () => connecting--);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => (open.delete(from), to.destroy()));
      from.pipe(to);
    }
  });
  const port = await listenLocal(server);
  t.teardown(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  /** Resolves when all that was sent to one has arrived there: connections are accepted in turn. In a cluster, a pause. */
  const arrived = async (at: TestGateway) => {
    await waitFor(() => connecting === 0);
    await get(at.port, A, '/', ALONE);
  };
  return { port, ready, arrived };
}
type Service = Awaited<ReturnType<typeof service>>;

const idsOf = (events: Stored[]): string[] => events.map(({ id }) => id).filter((id) => id.startsWith('e-'));

/** Reads until told to stop; comes back with the last id whenever a stream ends. */
function streamReader({ port }: Service) {
  const seen: string[] = [];
  const ends: string[] = [];
  let over = false;
  let close = () => undefined as void;
  let isOpen = false;
  const done = (async () => {
    let cursor: string | undefined;
    while (!over) {
      const stream = await open({ port }, cursor);
      isOpen = true;
      close = () => void stream.close();
      if (over) close();
      await stream.ended;
      seen.push(...stream.ids());
      cursor = stream.frames.findLast(({ id }) => id !== undefined)?.id ?? cursor;
      const end = stream.frames.find(({ event }) => event === 'end');
      if (end !== undefined) ends.push(end.data);
    }
  })();
  return { seen, ends, isOpen: () => isOpen, stop: () => ((over = true), close(), done) };
}

function poller({ port }: Service) {
  const seen: string[] = [];
  const statuses = new Set<number>();
  let over = false;
  const done = (async () => {
    let next = '';
    while (!over) {
      const { status, text } = await get(
        port,
        A,
        `${PATH}?transport=poll${next === '' ? '' : `&after=${next}`}`,
        ALONE,
      );
      statuses.add(status ?? 0);
      if (status !== 200) continue;
      const answer = JSON.parse(text) as { events: Stored[]; next: string };
      seen.push(...idsOf(answer.events));
      next = encodeURIComponent(answer.next);
    }
  })();
  return { seen, statuses, stop: () => ((over = true), done) };
}

/** A socket of OpenHands' clients: live only, so what was said between two is asked for. */
function socketReader({ port }: Service) {
  const seen = new Set<string>();
  const codes: number[] = [];
  let over = false;
  let socket: WebSocket | undefined;
  const catchUp = async () => {
    const { text } = await get(port, A, `/api/conversations/${ID}/events/search?limit=10000`, ALONE);
    for (const id of idsOf((JSON.parse(text) as { items: Stored[] }).items)) seen.add(id);
  };
  const done = (async () => {
    while (!over) {
      const one = new WebSocket(`ws://127.0.0.1:${port}${PATH}`, {
        headers: { host: hostOf(A), 'x-session-api-key': keyOf(A) },
      });
      socket = one;
      one.on('message', (data) => idsOf([JSON.parse(String(data)) as Stored]).forEach((id) => seen.add(id)));
      one.on('error', () => undefined);
      const closed = new Promise<number>((resolve) => one.once('close', resolve));
      one.once('open', () => void catchUp());
      if (over) one.close();
      codes.push(await closed);
    }
  })();
  return { seen, codes, stop: () => ((over = true), socket?.close(), done) };
}

/** Requests one after another, each on a connection of its own. */
function asker({ port }: Service) {
  const statuses: number[] = [];
  let over = false;
  const done = (async () => {
    while (!over) {
      const search = `/api/conversations/${ID}/events/search?limit=1`;
      statuses.push((await get(port, A, search, ALONE)).status ?? 0);
    }
  })();
  return { statuses, stop: () => ((over = true), done) };
}

t.test('two gateways are replaced one after the other while events flow', { timeout: 60_000 }, async (t) => {
  const { gateway: first, port: pod, log, add } = await agent(t);
  const behind = await service(t);
  const replica = async (): Promise<TestGateway> => {
    const one = await startTestGateway();
    t.teardown(() => one.close());
    addPod(one, A, { agent: pod });
    return one;
  };
  const second = await replica();
  behind.ready.push(first, second);
  add();
  const streams = Array.from({ length: 4 }, () => streamReader(behind));
  const pollers = Array.from({ length: 4 }, () => poller(behind));
  const sockets = Array.from({ length: 4 }, () => socketReader(behind));
  const askers = Array.from({ length: 2 }, () => asker(behind));
  const loadOf = (one: TestGateway) => one.table.bySlot(A)?.load.streams ?? 0;
  // Everyone who will be sent away is there.
  await waitFor(() => sockets.every(({ seen }) => seen.size > 0) && streams.every((stream) => stream.isOpen()));

  for (const old of [first, second]) {
    const fresh = await replica();
    behind.ready.splice(behind.ready.indexOf(old), 1, fresh);
    await behind.arrived(old);
    const drained = old.listening.drain(1_000);
    const ticking = setInterval(() => add(), 5);
    await drained;
    clearInterval(ticking);
    await waitFor(() => old.gateway.connections.size === 0);
    const answered = askers.map(({ statuses }) => statuses.length);
    await waitFor(() => askers.every(({ statuses }, n) => statuses.length > (answered[n] ?? 0)));
  }
  add('the last');
  const all = names(0, log.length);
  const last = all.at(-1) ?? '';
  await waitFor(() => pollers.every(({ seen }) => seen.at(-1) === last) && sockets.every(({ seen }) => seen.has(last)));
  await Promise.all([...askers, ...sockets].map(({ stop }) => stop()));
  const polling = Promise.all(pollers.map(({ stop }) => stop()));
  add('for those who wait in a poll');
  await polling;
  all.push(names(log.length - 1, log.length)[0] ?? '');
  await waitFor(() => behind.ready.reduce((sum, one) => sum + loadOf(one), 0) === streams.length);
  const reading = streams.map(({ stop }) => stop());
  await Promise.all(reading);

  for (const { seen, ends } of streams) {
    t.same(seen, all.slice(0, seen.length), 'a stream has each event once, in order');
    t.ok(seen.length >= all.length - 1);
    t.ok(ends.length >= 1 && ends.every((end) => end === '{"reason":"Draining"}'), 'and was told why it ended');
  }
  for (const { seen, statuses } of pollers) {
    t.same(seen, all, 'polls have each event once, in order');
    t.same([...statuses], [200]);
  }
  for (const { seen, codes } of sockets) {
    t.same(new Set(all.slice(0, -1)), new Set([...seen].filter((id) => id !== all.at(-1))));
    t.same(new Set(codes.slice(0, -1)), new Set([1012]), 'sockets are told to come back');
  }
  for (const { statuses } of askers) t.same([...new Set(statuses)], [200]);
});
