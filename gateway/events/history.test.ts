/** Histories that are long, large, late or strange, and many who read them. */
import t from 'tap';
import { A, agent, names, open, PATH, type Stored } from '../testing/agent.js';
import { hostOf, keyOf, rawClient, waitFor } from '../testing/harness.js';

t.test('many who read a long history at once take turns; together they hold no more than their memory', async (t) => {
  const { gateway, add, hold, pages } = await agent(t);
  for (let n = 0; n < 40; n++) add('x'.repeat(30_000));
  const release = hold();
  const reading = Promise.all(Array.from({ length: 20 }, () => open(gateway)));
  await waitFor(() => gateway.table.bySlot(A)?.load.streams === 20);
  await waitFor(() => pages.now > 0);
  // Let everyone who may ask do so.
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.ok(pages.most <= 8, `${pages.most} pages at once, of one owner`);
  release();
  for (const stream of await reading) {
    await waitFor(() => stream.ids().length === 40);
    t.same(stream.ids(), names(0, 40));
    stream.close();
  }
});

t.test('clients that do not read keep nobody from reading', async (t) => {
  const { gateway, add } = await agent(t);
  for (let n = 0; n < 60; n++) add('x'.repeat(90_000));
  const slow = Array.from({ length: 40 }, () => rawClient(gateway.port));
  for (const { socket } of slow) {
    socket.pause();
    socket.write(
      `GET ${PATH} HTTP/1.1\r\nHost: ${hostOf(A)}\r\nX-Session-API-Key: ${keyOf(A)}\r\nAccept: text/event-stream\r\n\r\n`,
    );
  }
  const stuck = () => [...gateway.gateway.connections].filter(({ socket }) => socket.writableNeedDrain).length;
  await waitFor(() => stuck() === 40);
  const stream = await open(gateway);
  await waitFor(() => stream.ids().length === 60);
  t.same(stream.ids(), names(0, 60));
  stream.close();
  const [one] = slow;
  one?.socket.resume();
  await one?.until(/"id":"e-59"/);
  const ids = [...(one?.text().matchAll(/"id":"(e-\d+)"/g) ?? [])].map(([, id]) => id);
  t.same(ids, names(0, 60), 'who reads again gets the rest, once');
  for (const { socket } of slow) socket.destroy();
});

t.test('an event larger than a page comes alone', async (t) => {
  const { gateway, add } = await agent(t);
  for (let n = 0; n < 10; n++) add(n === 5 ? 'x'.repeat(3 << 20) : 'small');
  const stream = await open(gateway);
  await waitFor(() => stream.ids().length === 10);
  t.same(stream.ids(), names(0, 10));
  stream.close();
});

t.test('frames that come late are neither sent twice nor lost', async (t) => {
  const { gateway, log, add, tell, sockets } = await agent(t);
  for (let n = 0; n < 700; n++) add();
  const whole = await open(gateway);
  await waitFor(() => whole.frames.length === 701);
  const later = await open(gateway, whole.frames.at(-2)?.id);
  await waitFor(() => sockets.clients.size === 2);
  // An agent server that was busy tells what the history had long before.
  for (const event of [...log]) tell(event);
  add();
  const late = { id: 'e-701', kind: 'MessageEvent', timestamp: '2026-11-25T12:00:00.000000' };
  log.push(late);
  tell(late);
  add();
  tell(log[702] as Stored);
  await waitFor(() => whole.ids().length >= 703 && later.ids().length >= 3);
  add();
  await waitFor(() => whole.ids().includes('e-703') && later.ids().includes('e-703'));
  t.same(whole.ids(), names(0, 704));
  t.same(later.ids(), names(700, 704));
  whole.close();
  later.close();
});

t.test('a history that goes on with itself ends', async (t) => {
  const { gateway, add, endless } = await agent(t);
  add();
  endless();
  const stream = await open(gateway);
  await stream.ended;
  t.match(stream.frames.at(-1), { event: 'end', data: '{"reason":"Unreachable"}' });
});
