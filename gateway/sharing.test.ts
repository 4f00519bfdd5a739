/** Share links, visibility of ports, and the end of rights while something is under way. */
import { WebSocket, WebSocketServer } from 'ws';
import t, { type Test } from 'tap';
import type { Sandbox } from '../contracts/resources.js';
import { signPass, type SharePass } from '../contracts/tokens.js';
import { decide, type Decision } from './decide.js';
import { isStillAllowed } from './rights.js';
import { ask, pod } from './testing/client.js';
import {
  addPod,
  DOMAIN,
  hostOf,
  keyOf,
  requestTo,
  sandboxOf,
  SECRET,
  sliceOf,
  slotNamed,
  startTestGateway,
} from './testing/harness.js';
import { rulesOf } from './testing/table.js';
import { createTable } from './table.js';

const A = slotNamed('a');
const NOW = Date.parse('2026-11-25T12:00:00Z');
const LATER = '2026-11-25T13:00:00Z';
const PORTS = { agent: 8000, vscode: 8001, 'worker-1': 8011 };
const SPEC: Partial<Sandbox['spec']> = {
  ports: [
    { name: 'team', port: 4000, visibility: 'Shared' },
    { name: 'mine', port: 5000, visibility: 'Private' },
    { name: 'site', port: 6000, visibility: 'Public' },
  ],
  shares: [
    { id: 'all', expiresAt: LATER },
    { id: 'some', ports: [3000, 'worker-1', 'mine', 'agent', 8000, 'vscode', 8001], expiresAt: LATER },
    { id: 'over', ports: [3000], expiresAt: '2026-11-25T11:59:59Z' },
  ],
};

function tableWith(spec: Partial<Sandbox['spec']> = SPEC) {
  const table = createTable(SECRET);
  table.upsertSandbox(sandboxOf(A, { spec }));
  table.upsertSlice(sliceOf(A, '10.0.0.1', PORTS));
  return table;
}

const link = (share: string, more: Partial<SharePass> = {}) =>
  signPass(SECRET, { use: 'share', slot: A, share, exp: NOW / 1000 + 1800, ...more });
const guest = (share: string, more: Partial<SharePass> = {}) => ({
  cookie: `sandlot-pass-guest-${share}=${link(share, { use: 'guest', ...more })}`,
});

function verdict(decision: Decision): string {
  if (decision.do === 'answer') return `${decision.answer.status} ${decision.answer.reason}`;
  return decision.do === 'forward' ? `${decision.forward.grant} ${decision.forward.share}` : decision.do;
}

t.test('a guest reaches the ports of the share, and nothing else', async (t) => {
  const table = tableWith();
  const to = (service: string, fields: Record<string, string>) =>
    verdict(decide(requestTo(hostOf(A, service), '/', fields), table, rulesOf(), NOW));
  const cases: [string, Record<string, string>, string][] = [
    ['4000', guest('all'), 'share all'],
    ['3000', guest('all'), '401 NoCredentials'],
    ['work-1', guest('all'), '401 NoCredentials'],
    ['5000', guest('all'), '401 NoCredentials'],
    ['6000', guest('all'), 'public undefined'],
    ['3000', guest('some'), 'share some'],
    ['work-1', guest('some'), 'share some'],
    ['8011', guest('some'), 'share some'],
    ['4000', guest('some'), '401 NoCredentials'],
    ['5000', guest('some'), '401 NoCredentials'],
    ['', guest('some'), '401 NoCredentials'],
    ['8000', guest('some'), '401 NoCredentials'],
    ['vscode', guest('some'), '401 NoCredentials'],
    ['8001', guest('some'), '401 NoCredentials'],
    ['3000', guest('over'), '401 NoCredentials'],
    ['3000', guest('gone'), '401 NoCredentials'],
    ['4000', guest('all', { slot: slotNamed('b') }), '401 NoCredentials'],
    ['4000', guest('all', { exp: NOW / 1000 }), '401 NoCredentials'],
    ['4000', guest('all', { use: 'share' }), '401 NoCredentials'],
    ['4000', { cookie: `sandlot-pass=${link('all', { use: 'guest' })}` }, '401 NoCredentials'],
    ['4000', { ...guest('all'), origin: 'https://evil.example' }, '403 ForeignOrigin'],
    ['4000', { cookie: `${guest('gone').cookie}; ${guest('all').cookie}` }, 'share all'],
  ];
  for (const [service, fields, expected] of cases)
    t.equal(to(service, fields), expected, `${service} ${JSON.stringify(fields).slice(0, 60)}`);
});

t.test('a link becomes a cookie of its own that lasts no longer than the share', async (t) => {
  const open = (text: string, host = hostOf(A, '4000'), path = '', spec = SPEC) =>
    decide(requestTo(host, `${path}/_sandlot/enter?pass=${text}&to=/x`), tableWith(spec), rulesOf(), NOW);
  const good = open(link('all'));
  const text = good.do === 'reply' ? good.text : '';
  t.match(
    text,
    /^HTTP\/1\.1 302 Found\r\nLocation: \/x\r\nSet-Cookie: sandlot-pass-guest-all=[^;]+; Max-Age=1800; Path=\/;/,
  );
  const soon = { ...SPEC, shares: [{ id: 'all', expiresAt: '2026-11-25T12:01:00Z' }] };
  const short = open(link('all'), hostOf(A, '4000'), '', soon);
  t.match(short.do === 'reply' ? short.text : '', 'Max-Age=60;');
  const below = open(link('all'), DOMAIN, `/${A}/4000`);
  t.match(below.do === 'reply' ? below.text : '', `Location: /${A}/4000/x\r\nSet-Cookie: sandlot-pass-${A}-guest-all=`);
  for (const [text, host] of [
    [link('all'), hostOf(A, '3000')],
    [link('all'), hostOf(A)],
    [link('over'), hostOf(A, '3000')],
    [link('gone'), hostOf(A, '4000')],
    [link('all', { exp: NOW / 1000 }), hostOf(A, '4000')],
    [link('all', { use: 'guest' }), hostOf(A, '4000')],
    [link('all', { slot: slotNamed('b') }), hostOf(A, '4000')],
    [`${link('all')}x`, hostOf(A, '4000')],
  ] as const)
    t.equal(verdict(open(text, host)), '403 BadPass');
});

t.test('rights are looked at again when the sandbox changes', async (t) => {
  const let_in = (service: string, fields: Record<string, string>) => {
    const decision = decide(requestTo(hostOf(A, service), '/', fields), tableWith(), rulesOf(), NOW);
    if (decision.do !== 'forward') throw new Error(verdict(decision));
    return decision.forward;
  };
  const byKey = let_in('', { 'x-session-api-key': keyOf(A) });
  const byLink = let_in('4000', guest('all'));
  const byAll = let_in('6000', {});
  const now = (change: Parameters<typeof sandboxOf>[1]) => {
    const table = tableWith();
    table.upsertSandbox(sandboxOf(A, change));
    return table.bySlot(A);
  };
  t.ok(isStillAllowed(byKey, now({ spec: SPEC }), NOW));
  t.notOk(isStillAllowed(byKey, now({ status: { keyEpoch: 2 } }), NOW));
  t.notOk(isStillAllowed(byKey, now({ spec: { owner: 'bob' } }), NOW));
  t.notOk(isStillAllowed(byKey, undefined, NOW));
  t.ok(isStillAllowed(byLink, now({ spec: SPEC, status: { keyEpoch: 2 } }), NOW), 'a link outlives a resume');
  t.notOk(isStillAllowed(byLink, now({ spec: { ...SPEC, shares: [] } }), NOW));
  t.notOk(isStillAllowed(byLink, now({ spec: { ...SPEC, ports: [] } }), NOW));
  t.notOk(isStillAllowed(byLink, now({ spec: SPEC }), Date.parse(LATER)));
  t.ok(isStillAllowed(byAll, now({ spec: SPEC, status: { keyEpoch: 2 } }), NOW));
  t.notOk(isStillAllowed(byAll, now({ spec: { ...SPEC, ports: [] } }), NOW));
});

async function living(t: Test) {
  const { server, port } = await pod(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
  });
  const sockets = new WebSocketServer({ server });
  const gateway = await startTestGateway();
  t.teardown(async () => {
    await gateway.close();
    for (const client of sockets.clients) client.terminate();
  });
  const expiresAt = new Date(Date.now() + 600_000).toISOString();
  const spec: Partial<Sandbox['spec']> = {
    ports: [{ name: 'app', port, visibility: 'Shared' }],
    shares: [{ id: 'team', expiresAt }],
  };
  addPod(gateway, A, { agent: port }, { spec: { ...spec, ports: [{ name: 'app', port: 1, visibility: 'Shared' }] } });
  return { gateway, port, spec };
}

const closeOf = (socket: WebSocket) =>
  new Promise<string>((resolve) => socket.once('close', (code, reason) => resolve(`${code} ${reason.toString()}`)));
const opened = (socket: WebSocket) => new Promise<void>((resolve) => socket.once('open', () => resolve()));

t.test('a resume closes what was opened with the old key', async (t) => {
  const { gateway } = await living(t);
  const headers = { host: hostOf(A), 'x-session-api-key': keyOf(A) };
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/sockets/x`, { headers });
  const closed = closeOf(socket);
  await opened(socket);
  const stream = await ask(gateway.port, A, '/x').response;
  const cut = new Promise((resolve) => stream.once('error', resolve));
  stream.resume();
  gateway.table.upsertSandbox(sandboxOf(A, { status: { keyEpoch: 2 } }));
  gateway.later(0);
  t.equal(await closed, '4001 access ended');
  t.match(await cut, { code: 'ECONNRESET' });
  t.equal(gateway.table.bySlot(A)?.load.streams, 0);
  t.equal(gateway.table.bySlot(A)?.load.requests, 0);
});

t.test('revoking a share closes its sockets within a pass, and nobody else’s', async (t) => {
  const { gateway, port, spec } = await living(t);
  gateway.table.upsertSandbox(sandboxOf(A, { spec }));
  // The app's port is no agent port here.
  gateway.table.upsertSlice(sliceOf(A, '127.0.0.1', { vscode: 1 }));
  const address = `ws://127.0.0.1:${gateway.port}/live`;
  const host = hostOf(A, String(port));
  const exp = Math.floor(Date.now() / 1000) + 600;
  const cookie = `sandlot-pass-guest-team=${signPass(SECRET, { use: 'guest', slot: A, share: 'team', exp })}`;
  const guestSocket = new WebSocket(address, { headers: { host, cookie, origin: `http://${host}` } });
  const ownerSocket = new WebSocket(address, { headers: { host, 'x-session-api-key': keyOf(A) } });
  const closed = closeOf(guestSocket);
  await Promise.all([opened(guestSocket), opened(ownerSocket)]);
  gateway.later(0);
  gateway.table.upsertSandbox(sandboxOf(A, { spec: { ...spec, shares: [] } }));
  gateway.later(0);
  t.equal(await closed, '1008 access ended');
  t.equal(ownerSocket.readyState, WebSocket.OPEN);
  const again = new WebSocket(address, { headers: { host, cookie, origin: `http://${host}` } });
  t.equal(
    await new Promise((resolve) => {
      again.on('error', () => undefined);
      again.once('unexpected-response', (_request, response) => resolve(response.statusCode));
    }),
    401,
  );
  ownerSocket.terminate();
});

t.test('a share that expires ends what was opened with it', async (t) => {
  const { gateway, port, spec } = await living(t);
  gateway.table.upsertSandbox(sandboxOf(A, { spec }));
  gateway.table.upsertSlice(sliceOf(A, '127.0.0.1', { vscode: 1 }));
  const host = hostOf(A, String(port));
  const exp = Math.floor(Date.now() / 1000) + 600;
  const cookie = `sandlot-pass-guest-team=${signPass(SECRET, { use: 'guest', slot: A, share: 'team', exp })}`;
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/live`, {
    headers: { host, cookie, origin: `http://${host}` },
  });
  const closed = closeOf(socket);
  await opened(socket);
  gateway.later(601_000);
  t.equal(await closed, '1008 access ended');
});
