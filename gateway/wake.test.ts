/** Wake on request: who may, once, and what becomes of those who wait. */
import t, { type Test } from 'tap';
import type { Sandbox } from '../contracts/resources.js';
import { signPass } from '../contracts/tokens.js';
import { KubeError } from '../kube/client.js';
import { decide, type Decision } from './decide.js';
import { createTable, type Route } from './table.js';
import { ask, deferred, get, pod, textOf } from './testing/client.js';
import {
  hostOf,
  keyOf,
  rawClient,
  requestTo,
  sandboxOf,
  SECRET,
  sliceOf,
  slotNamed,
  startTestGateway,
  UI,
  waitFor,
} from './testing/harness.js';
import { rulesOf } from './testing/table.js';
import { createWaker, type WakeResult } from './wake.js';

const A = slotNamed('a');
const NOW = Date.parse('2026-11-25T12:00:00Z');
const WAKES = { lifecycle: { wakeOnRequest: true } };

const paused = (spec: Partial<Sandbox['spec']> = WAKES, status: Sandbox['status'] = {}) =>
  sandboxOf(A, { spec: { runState: 'Paused', ...spec }, status: { phase: 'Paused', ...status } });

const cookieOf = (epoch = 1, now = NOW) => ({
  cookie: `sandlot-pass=${signPass(SECRET, { use: 'cookie', slot: A, owner: 'alice', epoch, exp: Math.floor(now / 1000) + 600 })}`,
});
const KEY = { 'x-session-api-key': keyOf(A) };
const PAGE = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'none' };
const CALL = { 'sec-fetch-mode': 'cors', origin: UI };

function verdict(decision: Decision): string {
  return decision.do === 'answer' ? `${decision.answer.status} ${decision.answer.reason}` : decision.do;
}

function decided(box: Sandbox, service: string, target: string, fields: Record<string, string>, method = 'GET') {
  const table = createTable(SECRET);
  table.upsertTemplate({ metadata: { name: 'lively', namespace: 'default' }, spec: { image: 'x', ...WAKES } });
  table.upsertSandbox(box);
  return verdict(decide(requestTo(hostOf(A, service), target, fields, method), table, rulesOf(), NOW));
}

t.test('people who open a page and programs with the key wake it; polls, sockets and strangers do not', async (t) => {
  const is = (service: string, target: string, fields: Record<string, string>, method = 'GET') =>
    decided(paused(), service, target, fields, method);
  const cases: [string, string][] = [
    [is('work-1', '/', { ...cookieOf(), ...PAGE }), 'wake'],
    [is('', '/api/x', KEY), 'wake'],
    [is('', '/api/x', KEY, 'POST'), 'wake'],
    [is('', '/api/x', { ...KEY, ...CALL }, 'POST'), 'wake'],
    [is('', '/api/x', { ...KEY, ...CALL }), '503 SandboxPaused'],
    [is('work-1', '/data', { ...cookieOf(), ...CALL }), '503 SandboxPaused'],
    [is('work-1', '/data', { ...cookieOf(), ...CALL }, 'POST'), '503 SandboxPaused'],
    [is('', '/sockets/events/x', { ...KEY, connection: 'upgrade', upgrade: 'websocket' }), '503 SandboxPaused'],
    [is('', '/alive', KEY), '503 SandboxPaused'],
    [is('', '/health', {}), '503 SandboxPaused'],
    [is('', '/ready', PAGE), '503 SandboxPaused'],
    [is('work-1', '/', PAGE), '401 NoCredentials'],
    [is('', '/api/x', { 'x-session-api-key': 'wrong' }), '401 WrongKey'],
    [is('vscode', `/?tkn=${keyOf(A)}`, PAGE), '503 SandboxPaused'],
    [
      decided(paused({ ...WAKES, ports: [{ name: 'site', port: 3000, visibility: 'Public' }] }), '3000', '/', PAGE),
      '503 SandboxPaused',
    ],
    [decided(paused({}), '', '/api/x', KEY), '503 SandboxPaused'],
    [decided(paused({ template: 'lively' }), '', '/api/x', KEY), 'wake'],
    [
      decided(paused({ template: 'lively', lifecycle: { wakeOnRequest: false } }), '', '/api/x', KEY),
      '503 SandboxPaused',
    ],
    [decided(paused({ template: 'other' }), '', '/api/x', KEY), '503 SandboxPaused'],
  ];
  for (const [index, [found, expected]] of cases.entries()) t.equal(found, expected, `case ${index}`);
});

t.test('why it does not come is told: failed, or a limit', async (t) => {
  const because = (reason: string) => ({
    conditions: [
      { type: 'Ready', status: 'False', reason, message: '', lastTransitionTime: '2026-11-25T12:00:00Z' } as const,
    ],
  });
  const wanted = { ...WAKES, runState: 'Running' } as const;
  for (const reason of ['OwnerLimitReached', 'NamespaceLimitReached', 'QuotaExceeded'])
    t.equal(decided(paused(wanted, because(reason)), '', '/api/x', KEY), '503 LimitReached', reason);
  t.equal(decided(paused(wanted, because('Resuming')), '', '/api/x', KEY), 'wake', 'it waits');
  const displaced = {
    conditions: [
      {
        type: 'Paused',
        status: 'True',
        reason: 'TooManySandboxes',
        message: '',
        lastTransitionTime: '2026-11-25T12:00:00Z',
      } as const,
    ],
  };
  t.equal(decided(paused(WAKES, displaced), '', '/api/x', KEY), '503 SandboxPaused', 'it would push another one out');
  t.equal(decided(paused(WAKES, displaced), 'work-1', '/', { ...cookieOf(), ...PAGE }), '503 SandboxPaused');
  t.equal(decided(paused(wanted, displaced), '', '/api/x', KEY), 'wake', "its owner resumed it: it's waited for");
  t.equal(decided(paused({ ...wanted }, { phase: 'Failed' }), '', '/api/x', KEY), '503 SandboxFailed');
});

t.test('a browser that woke it gets in with its cookie, and only where requests wake', async (t) => {
  const resumed = (spec: Partial<Sandbox['spec']>) => sandboxOf(A, { spec, status: { keyEpoch: 2 } });
  const open = (spec: Partial<Sandbox['spec']>, epoch: number) =>
    decided(resumed(spec), 'work-1', '/', { ...cookieOf(epoch), ...PAGE });
  t.equal(open(WAKES, 1), '503 SandboxStarting');
  t.equal(open(WAKES, 3), '401 NoCredentials');
  t.equal(open({}, 1), '401 NoCredentials');
  t.equal(open({ ...WAKES, owner: 'bob' }, 1), '401 NoCredentials');
});

t.test('one write for each version, by a patch that tests what it replaces', async (t) => {
  const table = createTable(SECRET);
  const results: WakeResult[] = [];
  const patches: unknown[] = [];
  const answers: (Error | undefined)[] = [
    undefined,
    new KubeError('the test failed', { code: 422, reason: 'Invalid' }),
    new KubeError('no answer', { code: 0, reason: 'Timeout' }),
    undefined,
  ];
  const waker = createWaker({
    client: {
      async patch<T>(_kind: unknown, ref: unknown, body: unknown, options: { type: string }): Promise<T> {
        patches.push([ref, body, options.type]);
        const error = answers[patches.length - 1];
        if (error !== undefined) throw error;
        return {} as T;
      },
    },
    written: (result) => void results.push(result),
  });
  let failures = 0;
  const wakeAt = (version: string, spec: Partial<Sandbox['spec']> = WAKES) => {
    const box = paused(spec);
    table.upsertSandbox({ ...box, metadata: { ...box.metadata, resourceVersion: version } });
    waker.wake(table.bySlot(A) as Route, () => failures++);
    waker.wake(table.bySlot(A) as Route, () => failures++);
  };
  wakeAt('1');
  await waitFor(() => results.length === 1);
  t.same(patches, [
    [
      { namespace: 'default', name: `box-${A}` },
      [
        { op: 'test', path: '/spec/runState', value: 'Paused' },
        { op: 'replace', path: '/spec/runState', value: 'Running' },
      ],
      'json',
    ],
  ]);
  wakeAt('2');
  await waitFor(() => results.length === 2);
  wakeAt('3');
  await waitFor(() => results.length === 3);
  t.equal(failures, 1);
  wakeAt('3');
  await waitFor(() => results.length === 4);
  wakeAt('4', { ...WAKES, runState: 'Running' });
  t.same(results, ['ok', 'late', 'error', 'ok']);
  t.equal(patches.length, 4);
});

async function asleep(t: Test) {
  const woken: string[] = [];
  let fail = () => undefined as void;
  const gateway = await startTestGateway({
    waker: {
      wake(route, failed) {
        woken.push(route.slot);
        fail = failed;
      },
    },
  });
  t.teardown(() => gateway.close());
  gateway.table.upsertSandbox(paused());
  const resume = (port: number) => {
    gateway.table.upsertSandbox(sandboxOf(A, { spec: WAKES, status: { phase: 'Starting', keyEpoch: 2 } }));
    gateway.table.upsertSandbox(sandboxOf(A, { spec: WAKES, status: { keyEpoch: 2 } }));
    gateway.table.upsertSlice(sliceOf(A, '127.0.0.1', { agent: port, 'worker-1': port }));
  };
  return { gateway, woken, resume, fail: () => fail(), waiting: () => gateway.gateway.held.get(A)?.size ?? 0 };
}

t.test('programs wait, and get their answer with the new key; bodies too', async (t) => {
  const { gateway, resume, woken, waiting } = await asleep(t);
  const { port } = await pod(t, (request, response) => {
    void textOf(request).then((body) =>
      response.end(
        JSON.stringify({ url: request.url, key: request.headers['x-session-api-key'], length: body.length }),
      ),
    );
  });
  const body = Buffer.alloc(300_000, 'x');
  const asking = [
    get(gateway.port, A, '/api/x'),
    get(gateway.port, A, '/api/upload', { method: 'POST', body }),
    get(gateway.port, A, `/api/y?a=1&session_api_key=${keyOf(A)}&b=2`, { headers: { host: hostOf(A) } }),
  ];
  await waitFor(() => waiting() === 3);
  t.ok(woken.every((slot) => slot === A));
  resume(port);
  const [first, second, third] = (await Promise.all(asking)).map(({ text }) => JSON.parse(text) as unknown);
  t.same(first, { url: '/api/x', key: keyOf(A, 2), length: 0 });
  t.same(second, { url: '/api/upload', key: keyOf(A, 2), length: body.length });
  t.same(third, { url: '/api/y?a=1&b=2', key: keyOf(A, 2), length: 0 });
  t.equal(waiting(), 0);
  t.match(await get(gateway.port, A, '/api/x'), { status: 401 }, 'the old key is dead for what comes after');
});

t.test('where nothing can be woken now, nobody is kept waiting', async (t) => {
  const gateway = await startTestGateway({ waker: { wake: (_route, failed) => failed() } });
  t.teardown(() => gateway.close());
  gateway.table.upsertSandbox(paused());
  t.match(await get(gateway.port, A, '/api/x'), { status: 503, headers: { 'x-sandlot-reason': 'SandboxPaused' } });
  t.equal(gateway.gateway.held.size, 0);
});

t.test('a page is answered with one that waits; programs no longer than they should', async (t) => {
  const { gateway, waiting, fail } = await asleep(t);
  const page = await get(gateway.port, A, '/', {
    headers: { host: hostOf(A, 'work-1'), 'x-session-api-key': '', ...cookieOf(1, Date.now()), ...PAGE },
  });
  t.match(page, { status: 503, headers: { 'retry-after': '2', 'x-sandlot-reason': 'SandboxStarting' } });
  t.match(page.text, /<html[^>]*data-reason="SandboxStarting"[\s\S]*location\.reload/);
  const slow = get(gateway.port, A, '/api/x');
  await waitFor(() => waiting() === 1);
  gateway.later(26_000);
  t.match(await slow, { status: 503, headers: { 'retry-after': '2' }, text: /SandboxStarting/ });
  const unlucky = get(gateway.port, A, '/api/x');
  await waitFor(() => waiting() === 1);
  fail();
  t.match(await unlucky, { status: 503, headers: { 'retry-after': '5' }, text: /SandboxPaused/ });
});

t.test('waiting ends when there is nothing to wait for', async (t) => {
  const { gateway, waiting } = await asleep(t);
  const failing = get(gateway.port, A, '/api/x');
  await waitFor(() => waiting() === 1);
  gateway.table.upsertSandbox(paused({ ...WAKES, runState: 'Running' }, { phase: 'Failed' }));
  t.match(await failing, { status: 503, text: /SandboxFailed/ });
  gateway.table.upsertSandbox(paused());
  const robbed = get(gateway.port, A, '/api/x');
  await waitFor(() => waiting() === 1);
  gateway.table.upsertSandbox(sandboxOf(A, { spec: { ...WAKES, owner: 'bob' } }));
  t.match(await robbed, { status: 404 });
  gateway.table.upsertSandbox(paused());
  const orphan = get(gateway.port, A, '/api/x');
  await waitFor(() => waiting() === 1);
  gateway.table.removeSandbox(paused());
  t.match(await orphan, { status: 404 });
});

t.test('who hangs up waits no longer; no more than 64 wait for one sandbox', async (t) => {
  const { gateway, waiting } = await asleep(t);
  const client = rawClient(gateway.port);
  client.socket.write(`GET /api/x HTTP/1.1\r\nHost: ${hostOf(A)}\r\nX-Session-API-Key: ${keyOf(A)}\r\n\r\n`);
  await waitFor(() => waiting() === 1);
  client.socket.destroy();
  await waitFor(() => waiting() === 0);
  t.match(gateway.finished.at(-1), { status: 499 });
  const many = Array.from({ length: 64 }, () => ask(gateway.port, A, '/api/x'));
  await waitFor(() => waiting() === 64);
  t.match(await get(gateway.port, A, '/api/x'), { status: 503 });
  const done = deferred();
  let left = many.length;
  for (const { request, response } of many) {
    response.catch(() => --left === 0 && done.resolve());
    request.destroy();
  }
  await done.promise;
  await waitFor(() => waiting() === 0);
});

const FORM = {
  'content-type': 'application/x-www-form-urlencoded',
  accept: 'text/html',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-site': 'same-origin',
};
const sendForm = (port: number, more: Record<string, string> = {}, path = '/form?x=1') =>
  get(port, A, path, {
    method: 'POST',
    body: 'name=Alice',
    headers: {
      ...FORM,
      host: hostOf(A, 'work-1'),
      origin: `http://${hostOf(A, 'work-1')}`,
      'x-session-api-key': '',
      ...cookieOf(1, Date.now()),
      ...more,
    },
  });
const readsForms = (t: Test) =>
  pod(t, (request, response) => void textOf(request).then((body) => response.end(`${request.url ?? ''} ${body}`)));

t.test('a form wakes the sandbox and is not lost: it waits, then comes again with what it carries', async (t) => {
  const { gateway, resume, waiting, woken, fail } = await asleep(t);
  const sent = sendForm(gateway.port);
  await waitFor(() => waiting() === 1);
  t.same(woken, [A]);
  gateway.later(26_000);
  t.match(await sent, { status: 307, headers: { location: '/form?x=1', 'cache-control': 'no-store' }, text: '' });
  const unlucky = sendForm(gateway.port);
  await waitFor(() => waiting() === 1);
  fail();
  const page = await unlucky;
  t.match(page, { status: 503, text: /Reload this page to send the form again/ });
  t.notMatch(page.text, /<script>/, 'which would ask for the page without the form');
  const elsewhere = sendForm(gateway.port, {}, '//evil.example/x');
  await waitFor(() => waiting() === 1);
  gateway.later(52_000);
  t.match(await elsewhere, { status: 503, headers: { location: undefined } });
  const foreign = await sendForm(gateway.port, { origin: 'http://evil.example', 'sec-fetch-site': 'cross-site' });
  t.equal(foreign.status, 403);
  const again = sendForm(gateway.port);
  await waitFor(() => waiting() === 1);
  const { port } = await readsForms(t);
  resume(port);
  t.match(await again, { status: 200, text: '/form?x=1 name=Alice' });
});

t.test('a form waits for a pod that starts, and for room', async (t) => {
  const { gateway, resume, waiting } = await asleep(t);
  gateway.table.upsertSandbox(sandboxOf(A, { spec: WAKES, status: { phase: 'Starting', keyEpoch: 2 } }));
  const early = sendForm(gateway.port);
  await waitFor(() => waiting() === 1);
  const { port } = await readsForms(t);
  resume(port);
  t.match(await early, { status: 200, text: '/form?x=1 name=Alice' });
  gateway.gateway.rules.maxRequests = 0;
  const crowded = sendForm(gateway.port);
  await waitFor(() => waiting() === 1);
  gateway.later(2_000);
  t.match(await crowded, { status: 307, headers: { location: '/form?x=1' } });
  t.match(await get(gateway.port, A, '/x', { headers: { 'x-session-api-key': keyOf(A, 2) } }), { status: 429 });
  gateway.gateway.rules.maxRequests = 9;
  t.match(await sendForm(gateway.port), { status: 200, text: '/form?x=1 name=Alice' });
});
