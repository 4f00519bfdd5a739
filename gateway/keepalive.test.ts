/** Kept connections that the pod closes just as a request comes, and pods that are replaced under load. */
import type { Socket } from 'node:net';
import t from 'tap';
import { get, pod } from './testing/client.js';
import { rawClient, sliceOf, slotNamed, startTestGateway, addPod, waitFor } from './testing/harness.js';
import { A, AUTH, GOOD, OK, setup } from './testing/raw.js';

/** Answers the first request of a connection, and hangs up at the second; `last` is what it says before. */
const once = (last = '') => {
  const served = new Set<Socket>();
  return (socket: Socket) => {
    if (served.has(socket)) return void socket.end(last, () => socket.destroy());
    served.add(socket);
    socket.write(OK);
  };
};

async function second(t: Parameters<typeof setup>[0], request: string, last?: string) {
  const { gateway, pod } = await setup(t, once(last));
  const client = rawClient(gateway.port);
  t.teardown(() => client.socket.destroy());
  client.socket.write(GOOD);
  await client.until(/good$/);
  client.socket.write(request);
  const before = client.text().length;
  await waitFor(() => gateway.finished.length === 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  return { text: client.text().slice(before), heard: pod.heard, load: gateway.table.bySlot(A)?.load.requests };
}

t.test('what is safe is asked again, once, on a new connection', async (t) => {
  for (const method of ['GET', 'OPTIONS']) {
    const { text, heard, load } = await second(t, `${method} /again HTTP/1.1\r\n${AUTH}\r\n`);
    t.match(text, /^HTTP\/1\.1 200 [^]*good$/, method);
    t.equal(heard.length, 2);
    t.match(heard[0], `${method} /again`);
    t.match(heard[1], new RegExp(`^${method} /again`));
    t.equal(load, 0);
  }
  const head = await second(t, `HEAD /again HTTP/1.1\r\n${AUTH}\r\n`);
  t.match(head.heard[1], /^HEAD \/again/);
});

t.test('what may have done something is not', async (t) => {
  const cases = {
    POST: `POST /again HTTP/1.1\r\n${AUTH}Content-Length: 0\r\n\r\n`,
    DELETE: `DELETE /again HTTP/1.1\r\n${AUTH}\r\n`,
    'a GET with a body': `GET /again HTTP/1.1\r\n${AUTH}Content-Length: 2\r\n\r\nhi`,
  };
  for (const [name, request] of Object.entries(cases)) {
    const { text, heard, load } = await second(t, request);
    t.match(text, /^HTTP\/1\.1 502 [^]*BadAnswer/, name);
    t.equal(heard.length, 1, name);
    t.equal(load, 0);
  }
  const begun = await second(t, `GET /again HTTP/1.1\r\n${AUTH}\r\n`, 'HTTP/1.1 200 OK\r\nContent-Len');
  t.match(begun.text, /^HTTP\/1\.1 502 /, 'it had begun to answer');
  t.equal(begun.heard.length, 1);
});

t.test('a pod that hangs up on new connections too is asked no third time', async (t) => {
  let served = 0;
  const { gateway, pod } = await setup(t, (socket) => void (served++ === 0 ? socket.write(OK) : socket.destroy()));
  const client = rawClient(gateway.port);
  t.teardown(() => client.socket.destroy());
  client.socket.write(GOOD);
  await client.until(/good$/);
  client.socket.write(GOOD);
  t.match(await client.until(/BadAnswer/), /HTTP\/1\.1 502 /);
  t.equal(pod.heard.length, 2);
});

t.test(
  'a pod that is replaced under load: from then on all goes to the new one, nothing to the old address',
  async (t) => {
    const B = slotNamed('b');
    const seen = { old: 0, next: 0 };
    const old = await pod(t, (_request, response) => {
      seen.old++;
      setTimeout(() => response.end('old'), 1);
    });
    const next = await pod(t, (_request, response) => {
      seen.next++;
      response.end('next');
    });
    const gateway = await startTestGateway();
    t.teardown(() => gateway.close());
    addPod(gateway, A, { agent: old.port });
    let isOver = false;
    let asked = 0;
    const load = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        await get(gateway.port, A, '/load').catch(() => undefined);
        asked++;
      }
    });
    await waitFor(() => asked > 50);
    // Its address goes to another sandbox in the same moment, as cluster networks do.
    gateway.table.upsertSlice(sliceOf(A, '127.0.0.1', { agent: next.port }));
    addPod(gateway, B, { agent: old.port });
    const after = { ...seen };
    const from = asked;
    for (let at = 0; at < 20; at++) t.match(await get(gateway.port, A, '/x'), { status: 200, text: 'next' });
    await waitFor(() => asked > from + 50);
    isOver = true;
    await Promise.all(load);
    t.ok(seen.old - after.old <= 8, 'only what was under way');
    t.equal((await get(gateway.port, B, '/b')).text, 'old');
  },
);
