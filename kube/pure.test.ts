import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { stableHash } from './apply.js';
import { ceiling, fullJitter } from './backoff.js';
import { createCache, keyOf, refOf } from './cache.js';
import { loadKubeConfig } from './config.js';
import { errorOf, isAlreadyExists, isConflict, isGone, isInvalid, KubeError, parseRetryAfter } from './errors.js';
import { createTimeHeap } from './heap.js';
import { LEASE, NODE, POD } from './kinds.js';
import { createNdjsonParser } from './ndjson.js';
import { collapse, done, retry, stalled, wait, type Outcome } from './outcome.js';
import { queryString, resourcePath } from './paths.js';
import { createServerTime } from './servertime.js';
import { mergePatch, setCondition, setConditions } from './status.js';
import { runSteps, type Step } from './steps.js';
import type { Condition, Status } from './types.js';

t.test('paths and queries', async (t) => {
  const table: [string, string][] = [
    [resourcePath(POD), '/api/v1/pods'],
    [resourcePath(POD, { namespace: 'a' }), '/api/v1/namespaces/a/pods'],
    [resourcePath(POD, { namespace: 'a', name: 'b' }, 'status'), '/api/v1/namespaces/a/pods/b/status'],
    [resourcePath(NODE, { namespace: 'ignored', name: 'n' }), '/api/v1/nodes/n'],
    [resourcePath(LEASE, { namespace: 'a', name: '../x' }), '/apis/coordination.k8s.io/v1/namespaces/a/leases/..%2Fx'],
    [queryString({ a: undefined }), ''],
    [queryString({ labelSelector: 'a=b,c', limit: 5, watch: true }), '?labelSelector=a%3Db%2Cc&limit=5&watch=true'],
  ];
  for (const [got, wanted] of table) t.equal(got, wanted);
});

t.test('keys go both ways', async (t) => {
  for (const ref of [{ namespace: 'a', name: 'b' }, { name: 'b' }]) t.same(refOf(keyOf({ metadata: ref })), ref);
});

t.test('errors tell the cases apart that controllers decide on', async (t) => {
  const status = (code: number, reason: string, seconds?: number): Status => ({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    code,
    reason,
    message: 'm',
    ...(seconds === undefined ? {} : { details: { retryAfterSeconds: seconds } }),
  });
  const of = (code: number, body: unknown) => errorOf({ code, body, call: 'GET /x' });
  t.ok(isAlreadyExists(of(409, status(409, 'AlreadyExists'))));
  t.notOk(isConflict(of(409, status(409, 'AlreadyExists'))));
  t.ok(isConflict(of(409, status(409, 'Conflict'))));
  t.ok(isGone(of(410, '<html>')));
  t.ok(isInvalid(of(422, status(422, 'Invalid'))));
  t.equal(of(429, status(429, 'TooManyRequests', 3)).retryAfterMs, 3000);
  t.equal(of(502, '<html>' + 'x'.repeat(9999)).message.length < 300, true, 'a page is told by its first characters');
  t.equal(of(418, '').reason, 'Unknown');
});

t.test('Retry-After', async (t) => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const table: [string | undefined, number | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['2', 2000],
    ['99999999', 300_000],
    ['Thu, 01 Jan 2026 00:00:05 GMT', 5000],
    ['Thu, 01 Jan 2025 00:00:05 GMT', 0],
    ['soon', undefined],
  ];
  for (const [header, wanted] of table) t.equal(parseRetryAfter(header, now), wanted, `Retry-After: ${header}`);
});

t.test('NDJSON in any pieces', async (t) => {
  const text = '{"a":1}\n\r\n{"b":"ä\\n"}\n{"c":[1,2]}\n';
  for (const size of [1, 2, 3, 7, 100]) {
    const values: unknown[] = [];
    const parser = createNdjsonParser(1000, (value) => values.push(value));
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
    t.same(values, [{ a: 1 }, { b: 'ä\n' }, { c: [1, 2] }], `pieces of ${size}`);
    t.equal(parser.pendingBytes(), 0);
  }
  const parser = createNdjsonParser(10, () => undefined);
  parser.push(Buffer.from('{"a":'));
  t.equal(parser.pendingBytes(), 5);
  t.throws(() => parser.push(Buffer.from('123456')), { message: 'a line is longer than 10 bytes' });
  t.throws(() => createNdjsonParser(10, () => undefined).push(Buffer.from('nope\n')), {
    message: 'a line of 4 bytes is not JSON',
  });
});

t.test('cache: indexes follow every change', async (t) => {
  const pod = (name: string, app?: string) => ({
    metadata: { namespace: 'a', name, ...(app === undefined ? {} : { labels: { app } }) },
    spec: { containers: [] },
  });
  const cache = createCache({ indexes: { app: (p: ReturnType<typeof pod>) => p.metadata.labels?.app } });
  cache.upsert(pod('1', 'x'));
  cache.upsert(pod('2', 'x'));
  t.equal(cache.count('app', 'x'), 2);
  const old = cache.upsert(pod('1', 'y'));
  t.equal(old?.metadata.labels?.app, 'x');
  t.same(cache.by('app', 'x').map(keyOf), ['a/2']);
  t.same(cache.by('app', 'y').map(keyOf), ['a/1']);
  cache.upsert(pod('1'));
  t.same(cache.values('app'), ['x'], 'empty values are dropped');
  t.equal(cache.remove('a/2')?.metadata.name, '2');
  t.equal(cache.remove('a/2'), undefined);
  t.same([cache.size, cache.count('app', 'x'), cache.values('app')], [1, 0, []]);
});

t.test('backoff is bounded', async (t) => {
  const bounds = { baseMs: 100, capMs: 1000 };
  t.same(
    [0, 1, 2, 3, 4, 5000].map((n) => ceiling(n, bounds)),
    [100, 200, 400, 800, 1000, 1000],
  );
  t.equal(
    fullJitter(1, bounds, () => 0.5),
    100,
  );
});

t.test('heap: in order, void items are skipped and swept', async (t) => {
  const valid = new Set<number>();
  const heap = createTimeHeap<number>((item) => valid.has(item));
  const times = Array.from({ length: 500 }, (_, index) => (index * 7919) % 503);
  for (const time of times) {
    if (time % 5 === 0) valid.add(time);
    heap.push(time, time);
  }
  t.ok(heap.length < 260, 'swept');
  const wanted = times.filter((time) => time % 5 === 0).sort((a, b) => a - b);
  t.equal(heap.peek(), wanted[0]);
  t.same([...heap.takeUntil(200), ...heap.takeUntil(9999)], wanted);
  t.equal(heap.peek(), undefined);
});

t.test('outcomes collapse to the most urgent', async (t) => {
  const error = retry(new Error('x'));
  const table: [Outcome, Outcome, Outcome][] = [
    [done, done, done],
    [done, wait(5, 'a'), wait(5, 'a')],
    [wait(5, 'a'), wait(3, 'b'), wait(3, 'b')],
    [wait(3, 'a'), wait(5, 'b'), wait(3, 'a')],
    [wait(3, 'a'), stalled('s'), stalled('s')],
    [stalled('s'), error, error],
    [error, wait(1, 'a'), error],
  ];
  for (const [a, b, wanted] of table) t.same(collapse(a, b), wanted);
});

t.test('steps: end, always, proceed, throw', async (t) => {
  const ran: string[] = [];
  const step = (name: string, run: Step<string[]>['run'], always = false): Step<string[]> => ({
    name,
    always,
    run: (situation, signal) => {
      situation.push(name);
      return run(situation, signal);
    },
  });
  const ready = (status: 'True' | 'False', reason: string) => ({ type: 'Ready', status, reason });
  const signal = new AbortController().signal;
  const result = await runSteps(
    [
      step('look', () => ({ ...wait(9000, 'later'), proceed: true, conditions: [ready('True', 'A')] })),
      step('make', () => ({ ...wait(100, 'starting'), conditions: [ready('False', 'B')] })),
      step('never', () => done),
      step('finally', () => done, true),
    ],
    ran,
    signal,
  );
  t.same(ran, ['look', 'make', 'finally']);
  t.same(result.outcome.type === 'wait' && result.outcome.ms, 100);
  t.same(result.conditions, [ready('False', 'B')]);
  t.equal(result.endedBy, 'make');
  const boom = new Error('boom');
  const thrown = await runSteps([step('a', () => Promise.reject(boom)), step('b', () => done)], [], signal);
  t.match(thrown, { outcome: { type: 'retry', error: boom }, endedBy: 'a' });
  const aborted = await runSteps([step('a', () => done)], [], AbortSignal.abort(boom));
  t.match(aborted.outcome, { type: 'retry', error: boom });
});

t.test('conditions: the transition time moves with the status only', async (t) => {
  const at = Date.parse('2026-01-01T00:00:00.500Z');
  const first = setCondition([], { type: 'Ready', status: 'False', reason: 'A', message: 'm' }, at);
  t.equal(first[0]?.lastTransitionTime, '2026-01-01T00:00:00Z');
  t.equal(
    setCondition(first, { type: 'Ready', status: 'False', reason: 'A', message: 'm' }, at + 9000),
    first,
    'same array',
  );
  const reworded = setCondition(first, { type: 'Ready', status: 'False', reason: 'B' }, at + 9000);
  t.match(reworded, [{ reason: 'B', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' }]);
  const both = setConditions(
    reworded,
    [
      { type: 'Ready', status: 'True', reason: 'C' },
      { type: 'Other', status: 'Unknown', reason: 'D' },
    ],
    at + 9000,
  ) as Condition[];
  t.same(
    both.map(({ type, lastTransitionTime }) => [type, lastTransitionTime]),
    [
      ['Ready', '2026-01-01T00:00:09Z'],
      ['Other', '2026-01-01T00:00:09Z'],
    ],
  );
});

t.test('merge patches', async (t) => {
  const table: [unknown, unknown, unknown][] = [
    [{ a: 1 }, { a: 1 }, undefined],
    [{ a: 1 }, { a: 1, b: undefined }, undefined],
    [{ a: 1, b: 2 }, { a: 1 }, { b: null }],
    [{ a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, { a: { c: 3 } }],
    [{ a: [1, 2] }, { a: [1] }, { a: [1] }],
    [{}, { a: { b: 1 } }, { a: { b: 1 } }],
    [{}, { a: null }, undefined],
    [{ a: { b: 1 } }, { a: 'x' }, { a: 'x' }],
    [{ a: { b: 1 } }, { a: undefined }, { a: null }],
  ];
  for (const [before, after, wanted] of table)
    t.same(mergePatch(before, after), wanted, JSON.stringify([before, after]));
});

t.test('stable hash', async (t) => {
  t.equal(stableHash({ a: 1, b: { c: [1, { d: 2, e: undefined }] } }), stableHash({ b: { c: [1, { d: 2 }] }, a: 1 }));
  t.not(stableHash({ a: [1, 2] }), stableHash({ a: [2, 1] }));
  t.not(stableHash({ a: '1' }), stableHash({ a: 1 }));
});

t.test('kubeconfig', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  const file = (name: string, value: unknown): string => {
    const path = join(folder, name);
    writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
    return path;
  };
  writeFileSync(join(folder, 'token'), 'first\n');
  const context = (cluster: string, user: string) => ({ name: 'c', context: { cluster, user, namespace: 'n' } });
  const one = file('one', {
    'current-context': 'c',
    contexts: [context('k', 'u')],
    clusters: [{ name: 'k', cluster: { server: 'https://127.0.0.1:1/base/', 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { tokenFile: 'token' } }],
  });
  const config = loadKubeConfig({ KUBECONFIG: one });
  t.match(config, { server: 'https://127.0.0.1:1/base', namespace: 'n' });
  t.same(await config.credentials(), {
    headers: { authorization: 'Bearer first' },
    tls: { rejectUnauthorized: false },
  });
  writeFileSync(join(folder, 'token'), 'second\n');
  t.match(await config.credentials(), { headers: { authorization: 'Bearer first' } }, 'cached');
  t.match(await config.credentials(true), { headers: { authorization: 'Bearer second' } }, 'read again when asked');

  const two = file('two', {
    clusters: [{ name: 'k', cluster: { server: 'http://other:1' } }],
    users: [{ name: 'v', user: { username: 'a', password: 'b' } }],
  });
  const three = file('three', { 'current-context': 'c', contexts: [context('k', 'v')] });
  const merged = loadKubeConfig({ KUBECONFIG: `${two}:${three}:${folder}/absent:${one}` });
  t.equal(merged.server, 'http://other:1', 'the first file that knows a name wins');
  t.same((await merged.credentials()).headers, { authorization: 'Basic YTpi' });

  const exec = file('exec', {
    'current-context': 'c',
    contexts: [context('k', 'u')],
    clusters: [{ name: 'k', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [
      {
        name: 'u',
        user: { exec: { apiVersion: 'client.authentication.k8s.io/v1', interactiveMode: 'Never', command: './login' } },
      },
    ],
  });
  const answer =
    '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from-exec"}}';
  const login = file('login', `#!/bin/sh\necho '${answer}'\n`);
  await import('node:fs/promises').then((fs) => fs.chmod(login, 0o755));
  t.match(await loadKubeConfig({ KUBECONFIG: exec }).credentials(), { headers: { authorization: 'Bearer from-exec' } });

  file('ca.crt', 'CA');
  file('namespace', 'mine\n');
  const inside = loadKubeConfig({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }, folder);
  t.match(inside, { server: 'https://[fd00::1]:6443', namespace: 'mine' });
  const account = await inside.credentials();
  t.same(account, { headers: { authorization: 'Bearer second' }, tls: { ca: Buffer.from('CA') } });

  const wrong: [string, NodeJS.ProcessEnv, RegExp][] = [
    ['no such file', { KUBECONFIG: join(folder, 'absent') }, /ENOENT/],
    ['not YAML', { KUBECONFIG: file('bad', 'a: [') }, /not YAML/],
    ['not a kubeconfig', { KUBECONFIG: file('odd', 'clusters: 5') }, /not a kubeconfig: see clusters/],
    ['no context', { KUBECONFIG: file('none', 'clusters: []') }, /current context/],
    ['nothing', { HOME: folder }, /set KUBECONFIG/],
  ];
  for (const [name, env, message] of wrong)
    t.throws(() => loadKubeConfig(env), { name: 'KubeConfigError', message }, name);
});

t.test('a KubeError keeps its cause', async (t) => {
  const cause = new Error('x');
  t.equal(new KubeError('m', { code: 0, reason: 'Timeout', cause }).cause, cause);
});

t.test("the API server's time", async (t) => {
  let mono = 0;
  let wall = Date.parse('2026-01-01T00:00:00.400Z');
  const http = (ms: number) => new Date(ms).toUTCString();
  const time = createServerTime(
    () => wall,
    () => mono,
  );
  const start = wall;
  t.equal(time.now(), start, 'the own one at first');
  time.note(http(start), { began: 0, ended: 300 });
  t.equal(time.now(), start, 'a second is no reason to move');
  wall += 3_600_000;
  mono = 1_000;
  t.equal(time.now(), start + 1_000, 'the wall clock is set: no jump');
  time.note(http(start + 601_000), { began: 1_000, ended: 1_000 });
  t.ok(Math.abs(time.now() - (start + 601_000)) <= 1_000, "the server's clock is ten minutes ahead");
  const before = time.now();
  time.note(http(start + 640_000), { began: 0, ended: 60_000 });
  t.equal(time.now(), before, 'an answer that took a minute says less');
  mono = 2_000;
  time.note(http(start), { began: 2_000, ended: 2_000 });
  t.ok(Math.abs(time.now() - start) <= 1_000, 'and back');
  for (const header of [undefined, '', 'yesterday']) time.note(header, { began: 2_000, ended: 2_000 });
  t.ok(Number.isFinite(time.now()));
});
