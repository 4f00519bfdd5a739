/** Limits per sandbox and per user; streams apart. */
import type { RequestListener } from 'node:http';
import t from 'tap';
import { ask, gatewayFor, get, pod } from './testing/client.js';
import { addPod, hostOf, keyOf, sandboxOf, slotNamed, waitFor } from './testing/harness.js';

const A = slotNamed('a');
const B = slotNamed('b');
const C = slotNamed('c');

t.test('a user has limits over all sandboxes, and streams are no requests', async (t) => {
  const answer: RequestListener = (request, response) => {
    if (request.url === '/now') response.end('now');
    if (request.url !== '/stream') return;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
  };
  const [a, b, c] = await Promise.all([A, B, C].map(async () => ({ agent: (await pod(t, answer)).port })));
  const gateway = await gatewayFor(t, { [A]: a ?? {}, [B]: b ?? {} }, { maxUserRequests: 2, maxStreams: 1 });
  addPod(gateway, C, c ?? {}, { spec: { owner: 'bob' } });
  const loadOf = (slot: string) => gateway.table.bySlot(slot)?.ownerLoad;
  const open = async (slot: string, path: string) => {
    const asking = ask(gateway.port, slot, path);
    asking.response.catch(() => undefined);
    asking.request.on('error', () => undefined);
    return asking;
  };
  const first = await open(A, '/stream');
  (await first.response).on('error', () => undefined).resume();
  t.match(loadOf(A), { requests: 0, streams: 1 }, 'a stream of an app leaves the requests');
  t.match(await get(gateway.port, A, '/stream'), { status: 429, text: /streams to this sandbox/ });
  t.match(loadOf(A), { requests: 0, streams: 1 });
  t.equal((await get(gateway.port, A, '/now')).status, 200);
  const hanging = [await open(A, '/never'), await open(B, '/never')];
  await waitFor(() => loadOf(A)?.requests === 2);
  t.match(await get(gateway.port, B, '/now'), { status: 429, headers: { 'retry-after': '1' }, text: /of its owner/ });
  t.match(await get(gateway.port, C, '/now'), { status: 200 }, 'others are not concerned');
  gateway.table.upsertSandbox(sandboxOf(A));
  gateway.table.upsertSandbox(sandboxOf(B));
  t.match(loadOf(A), { requests: 2, streams: 1, routes: 2 }, 'counters outlive changes');
  for (const { request } of [...hanging, first]) request.destroy();
  await waitFor(() => loadOf(A)?.requests === 0 && loadOf(A)?.streams === 0);
  t.equal((await get(gateway.port, B, '/now')).status, 200);
  gateway.table.removeSandbox(sandboxOf(B));
  t.match(loadOf(A), { routes: 1 });
});

t.test('an app never sees the sandbox’s key in its URL', async (t) => {
  const { port } = await pod(t, (request, response) => void response.end(request.url));
  const gateway = await gatewayFor(t, { [A]: { agent: port, 'worker-1': port } });
  const seen = async (service: string, query: string) =>
    (await get(gateway.port, A, `/x${query}`, { headers: { host: hostOf(A, service), 'x-session-api-key': keyOf(A) } }))
      .text;
  const key = keyOf(A);
  t.equal(await seen('work-1', `?session_api_key=${key}`), '/x');
  t.equal(await seen('work-1', `?a=1&session_api_key=${key}&b=%20?`), '/x?a=1&b=%20?');
  t.equal(await seen('work-1', '?session_api_key=its-own'), '/x?session_api_key=its-own');
  t.equal(await seen('', `?session_api_key=${key}`), `/x?session_api_key=${key}`);
});
