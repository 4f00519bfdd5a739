import t from 'tap';
import { signPass, type GatewayPass } from '../contracts/tokens.js';
import type { Sandbox } from '../contracts/resources.js';
import { decide, localPath, type Decision } from './decide.js';
import { locate } from './locate.js';
import { createTable, portOf, type Route } from './table.js';
import { DOMAIN, hostOf, keyOf, requestTo, sandboxOf, SECRET, sliceOf, slotNamed, UI } from './testing/harness.js';
import { CONVERSATION, filledTable, PORTS, rulesOf } from './testing/table.js';

const A = slotNamed('a');
const B = slotNamed('b');
const DASHED = '01234567-89ab-cdef-0123-456789abcdef';
const NOW = Date.parse('2026-11-23T12:00:00Z');
const UPGRADE = { connection: 'Upgrade', upgrade: 'websocket' };

const cookieOf = (slot: string, more: Partial<GatewayPass> = {}) =>
  signPass(SECRET, { use: 'cookie', slot, owner: 'alice', epoch: 1, exp: NOW / 1000 + 60, ...more });

t.test('locate: every form of address', async (t) => {
  const { table } = filledTable();
  const at = (host: string, target: string, fields: Record<string, string> = {}) => {
    const found = locate(requestTo(host, target, fields), table, DOMAIN);
    return found && `${found.source} ${found.slot} ${found.port} ${found.target} ${found.prefix}`;
  };
  const key = { 'x-session-api-key': keyOf(A) };
  const cases: [string | undefined, string | undefined][] = [
    [at(`${A}.${DOMAIN}`, '/x?y'), `host ${A} agent /x?y `],
    [at(`${A}.sandbox.localhost`, '/'), `host ${A} agent / `],
    [at(`vscode-${A}.${DOMAIN}`, '/'), `host ${A} vscode / `],
    [at(`work-1-${A}.${DOMAIN}`, '/'), `host ${A} worker-1 / `],
    [at(`3000-${A}.${DOMAIN}`, '/'), `host ${A} 3000 / `],
    [at(`${A}-${DOMAIN}`, '/'), `host ${A} agent / `],
    [at(`work-2-${A}-${DOMAIN}`, '/'), `host ${A} worker-2 / `],
    [at(`nobody.${DOMAIN}`, `/${A}/x`), undefined],
    [at(`0-${A}.${DOMAIN}`, '/'), undefined],
    [at(`65536-${A}.${DOMAIN}`, '/'), undefined],
    [at(DOMAIN, `/${A}`), `path ${A} agent / /${A}`],
    [at(DOMAIN, `/${A}?q`), `path ${A} agent /?q /${A}`],
    [at(DOMAIN, `/${A}/api/x?q`), `path ${A} agent /api/x?q /${A}`],
    [at(DOMAIN, `/${A}/${A}/api/x`), `path ${A} agent /api/x /${A}/${A}`],
    [at(DOMAIN, `/${A}/vscode/x`), `path ${A} vscode /x /${A}/vscode`],
    [at(DOMAIN, `/${A}/work-1`), `path ${A} worker-1 / /${A}/work-1`],
    [at(DOMAIN, `/${A}/5173/@vite/client`), `path ${A} 5173 /@vite/client /${A}/5173`],
    // Nothing is decoded or resolved before the sandbox is known: the pod gets the rest as it came.
    [at(DOMAIN, `/${A}/../${B}/x`), `path ${A} agent /../${B}/x /${A}`],
    [at(DOMAIN, `/${A}/%2e%2e/${B}/x`), `path ${A} agent /%2e%2e/${B}/x /${A}`],
    [at(DOMAIN, `/${A}/%252e%252e%252f${B}`), `path ${A} agent /%252e%252e%252f${B} /${A}`],
    [at(DOMAIN, `/${A}/5173/..%2f..%2f${B}/x`), `path ${A} 5173 /..%2f..%2f${B}/x /${A}/5173`],
    [at(DOMAIN, `/${A}/..%c0%af..%c0%af${B}`), `path ${A} agent /..%c0%af..%c0%af${B} /${A}`],
    [at(DOMAIN, `/${A}\\..\\${B}`), undefined],
    [at(DOMAIN, `/${A}%2f..%2f${B}`), undefined],
    [at(DOMAIN, `/${A}%00`), undefined],
    [at(DOMAIN, `/%73${A.slice(1)}/x`), undefined],
    [at(DOMAIN, `//${A}/x`), undefined],
    [at(DOMAIN, `/./${A}/x`), undefined],
    [at(DOMAIN, `/api/sandbox-port/${A}/5173%2f..%2f8000/p`), undefined],
    [at('127.0.0.1:3001', `/api/sandbox-port/${A}/8080/p`), `port-path ${A} 8080 /p /api/sandbox-port/${A}/8080`],
    [at(DOMAIN, `/api/sandbox-port/${A}/work-1/p`), `port-path ${A} worker-1 /p /api/sandbox-port/${A}/work-1`],
    [at(DOMAIN, `/api/sandbox-port/${A}/x/p`), undefined],
    [at(DOMAIN, `/agent-server-proxy/${A}/alive`), `proxy-path ${A} agent /alive /agent-server-proxy/${A}`],
    [at(DOMAIN, `/agent-server-proxy/${DASHED}/alive`), `proxy-path ${A} agent /alive /agent-server-proxy/${DASHED}`],
    [at(DOMAIN, '/agent-server-proxy/api/x', key), `proxy-path ${A} agent /api/x /agent-server-proxy`],
    [at(DOMAIN, `/api/proxy/${A}/alive`), `proxy-path ${A} agent /alive /api/proxy/${A}`],
    [at(DOMAIN, `/api/proxy/${DASHED}/alive`), `proxy-path ${A} agent /alive /api/proxy/${DASHED}`],
    [at(DOMAIN, '/api/proxy/api/x', key), `proxy-path ${A} agent /api/x /api/proxy`],
    [at(DOMAIN, '/api/proxyx/api/x', key), `key ${A} agent /api/proxyx/api/x `],
    [
      at(DOMAIN, '/api/sandbox-port/8080/p?q', { referer: `http://${DOMAIN}/api/sandbox-port/${A}/8080/` }),
      `port-path ${A} 8080 /p?q /api/sandbox-port/8080`,
    ],
    [
      at(DOMAIN, '/api/sandbox-port/8080/p', { referer: `http://${DOMAIN}/${A}/8080/`, cookie: `sandlot-pass-${B}=x` }),
      `port-path ${A} 8080 /p /api/sandbox-port/8080`,
    ],
    [
      at(DOMAIN, '/api/sandbox-port/8080/p', {
        referer: `http://evil.example/${A}/`,
        cookie: `a=b; sandlot-pass-${B}=x`,
      }),
      `port-path ${B} 8080 /p /api/sandbox-port/8080`,
    ],
    [at(DOMAIN, '/api/sandbox-port/8080/p', { cookie: `sandlot-pass-${A}=x; sandlot-pass-${B}=y` }), undefined],
    [at(DOMAIN, '/api/sandbox-port/8080/p'), undefined],
    [at(DOMAIN, `/sockets/events/${CONVERSATION}?a`), `conversation ${A} agent /sockets/events/${CONVERSATION}?a `],
    [at(DOMAIN, `/sockets/events/${DASHED}`), `conversation ${A} agent /sockets/events/${DASHED} `],
    [at(DOMAIN, `/api/conversations/${DASHED}/run`), `conversation ${A} agent /api/conversations/${DASHED}/run `],
    [at(DOMAIN, `/api/conversations/${'f'.repeat(32)}`, key), `key ${A} agent /api/conversations/${'f'.repeat(32)} `],
    [at(DOMAIN, '/api/git/changes', key), `key ${A} agent /api/git/changes `],
    [at(DOMAIN, `/api/x?session_api_key=${keyOf(B)}`), `key ${B} agent /api/x?session_api_key=${keyOf(B)} `],
    [at(DOMAIN, '/sockets/bash-events', UPGRADE), `frame  agent /sockets/bash-events `],
    [at(DOMAIN, '/sockets/bash-events?session_api_key=wrong', UPGRADE), undefined],
    [at(DOMAIN, '/sockets/bash-events'), undefined],
    [at(DOMAIN, '/api/x'), undefined],
    [at(DOMAIN, '/api/x', { 'x-session-api-key': 'wrong' }), undefined],
    [at(DOMAIN, '/index.html', key), undefined],
    [at(DOMAIN, '/'), undefined],
  ];
  for (const [found, expected] of cases) t.equal(found, expected);
});

function verdict(decision: Decision): string {
  switch (decision.do) {
    case 'forward':
      return decision.forward.grant;
    case 'answer':
      return `${decision.answer.status} ${decision.answer.reason}`;
    case 'reply':
      return `${decision.status}`;
    case 'await-frame':
    case 'wake':
    case 'hold':
      return decision.do;
  }
}

t.test('decide: who gets in', async (t) => {
  const { table } = filledTable();
  const rules = rulesOf();
  const ask = (service: string, target: string, fields: Record<string, string> = {}, method = 'GET') =>
    verdict(decide(requestTo(hostOf(A, service), target, fields, method), table, rules, NOW));
  const key = { 'x-session-api-key': keyOf(A) };
  const cookie = { cookie: `a=b; sandlot-pass=${cookieOf(A)}` };
  const evil = { origin: 'https://evil.example' };
  const cases: [string, string][] = [
    [ask('', '/api/x', key), 'key'],
    [ask('', `/api/x?session_api_key=${keyOf(A)}`), 'key'],
    [ask('', '/v1/models', { authorization: `Bearer ${keyOf(A)}` }), 'key'],
    [ask('', '/api/x', { 'x-session-api-key': keyOf(B) }), '401 WrongKey'],
    [ask('', '/api/x', { 'x-session-api-key': keyOf(A, 2) }), '401 WrongKey'],
    [ask('', '/api/x', { 'x-session-api-key': '' }), '401 WrongKey'],
    [ask('', '/api/x', { ...cookie, 'x-session-api-key': 'wrong' }), '401 WrongKey'],
    [ask('work-1', '/', { ...cookie, 'x-session-api-key': 'the app’s own'.replace('’', '') }), 'cookie'],
    [ask('work-1', '/', key), 'key'],
    [ask('work-1', '/', { authorization: `Bearer ${keyOf(A)}` }), '401 NoCredentials'],
    [ask('', '/api/x'), '401 NoCredentials'],
    [ask('3000', '/'), 'public'],
    [ask('work-2', '/'), 'public'],
    [ask('20012', '/'), 'public'],
    [ask('4000', '/'), '401 NoCredentials'],
    [ask('8000', '/api/x'), '401 NoCredentials'],
    [ask('9999', '/'), '401 NoCredentials'],
    [ask('', '/alive'), 'probe'],
    [ask('', '/health?x'), 'probe'],
    [ask('', '/ready', {}, 'POST'), '401 NoCredentials'],
    [ask('', '/alive/x'), '401 NoCredentials'],
    [ask('work-1', '/alive'), '401 NoCredentials'],
    [ask('vscode', `/?tkn=${keyOf(A)}`), 'token'],
    [ask('vscode', `/?tkn=${keyOf(B)}`), '401 NoCredentials'],
    [ask('vscode', '/s', { cookie: `vscode-tkn=${keyOf(A)}` }), 'token'],
    [ask('vscode', '/s', { cookie: `vscode-tkn=${keyOf(A)}`, ...evil }), '401 NoCredentials'],
    [ask('work-1', `/?tkn=${keyOf(A)}`), '401 NoCredentials'],
    [ask('', '/sockets/events/x', UPGRADE), 'await-frame'],
    [ask('', '/sockets/events/x'), '401 NoCredentials'],
    [ask('', '/sockets/events/x', { ...UPGRADE, ...key }), 'key'],
    [ask('', '/sockets/events/x?session_api_key=wrong', UPGRADE), '401 WrongKey'],
    [ask('work-1', '/sockets/x', UPGRADE), '401 NoCredentials'],
    [ask('', '/api/x', cookie), 'cookie'],
    [ask('work-1', '/', cookie), 'cookie'],
    [ask('', '/', { cookie: `sandlot-pass=junk; sandlot-pass=${cookieOf(A)}` }), 'cookie'],
    [ask('', '/', { cookie: `sandlot-pass=${cookieOf(B)}` }), '401 NoCredentials'],
    [ask('', '/', { cookie: `sandlot-pass=${cookieOf(A, { owner: 'bob' })}` }), '401 NoCredentials'],
    [ask('', '/', { cookie: `sandlot-pass=${cookieOf(A, { epoch: 0 })}` }), '401 NoCredentials'],
    [ask('', '/', { cookie: `sandlot-pass=${cookieOf(A, { exp: NOW / 1000 - 1 })}` }), '401 NoCredentials'],
    [ask('', '/', { cookie: `sandlot-pass=${cookieOf(A, { use: 'entry' })}` }), '401 NoCredentials'],
    [ask('', '/', { cookie: `sandlot-pass=${cookieOf(A).slice(0, -1)}` }), '401 NoCredentials'],
    // Foreign pages.
    [ask('', '/api/x', { ...cookie, ...evil }), '403 ForeignOrigin'],
    [ask('', '/api/x', { ...cookie, origin: UI }), 'cookie'],
    [ask('', '/api/x', { ...cookie, origin: 'null' }), '403 ForeignOrigin'],
    [ask('', '/api/x', { ...cookie, origin: `http://${hostOf(A)}` }), 'cookie'],
    [ask('', '/api/x', { ...cookie, origin: `http://${hostOf(A, 'work-1')}` }), 'cookie'],
    [ask('', '/api/x', { ...cookie, origin: `http://${hostOf(B)}` }), '403 ForeignOrigin'],
    [ask('', '/api/x', { ...cookie, origin: `https://${hostOf(A)}` }), '403 ForeignOrigin'],
    [ask('', '/api/x', { ...cookie, origin: `http://${A}.sandbox.localhost:9` }), '403 ForeignOrigin'],
    [ask('work-1', '/', { ...cookie, ...UPGRADE }), '403 ForeignOrigin'],
    [ask('work-1', '/', { ...cookie, ...UPGRADE, ...evil }), '403 ForeignOrigin'],
    [ask('work-1', '/', { ...cookie, ...UPGRADE, origin: `http://${hostOf(A, 'work-1')}` }), 'cookie'],
    [ask('work-1', '/', cookie, 'POST'), '403 ForeignOrigin'],
    [ask('work-1', '/', { ...cookie, 'sec-fetch-site': 'same-origin' }, 'POST'), 'cookie'],
    [ask('work-1', '/', { ...cookie, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }), 'cookie'],
    [
      ask('work-1', '/', { ...cookie, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }),
      '403 ForeignOrigin',
    ],
    [
      ask('work-1', '/', { ...cookie, 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' }),
      '403 ForeignOrigin',
    ],
    // A key in the header is no ambient right.
    [ask('', '/api/x', { ...key, ...evil }), 'key'],
    // Preflights.
    [ask('', '/api/x', { origin: UI, 'access-control-request-method': 'POST' }, 'OPTIONS'), '204'],
    [ask('', '/api/x', { ...evil, 'access-control-request-method': 'POST' }, 'OPTIONS'), '403 ForeignOrigin'],
    [ask('3000', '/api/x', { ...evil, 'access-control-request-method': 'POST' }, 'OPTIONS'), 'public'],
    [ask('', '/api/x', { origin: UI }, 'OPTIONS'), '401 NoCredentials'],
  ];
  for (const [index, [found, expected]] of cases.entries()) t.equal(found, expected, `case ${index}`);
});

t.test('decide: what is not there now', async (t) => {
  const rules = rulesOf({ maxRequests: 0 });
  const key = { 'x-session-api-key': keyOf(A) };
  const ask = (
    change: (box: Sandbox) => void,
    options: { ready?: boolean; slice?: boolean; service?: string; target?: string } = {},
  ) => {
    const table = createTable(SECRET);
    const box = sandboxOf(A);
    change(box);
    table.upsertSandbox(box);
    if (options.slice !== false) table.upsertSlice(sliceOf(A, '10.0.0.1', PORTS, options.ready ?? true));
    const head = requestTo(hostOf(A, options.service), options.target ?? '/', options.target === undefined ? key : {});
    return verdict(decide(head, table, options.ready === undefined ? rulesOf() : rules, NOW));
  };
  t.equal(
    ask((box) => (box.spec.runState = 'Paused')),
    '503 SandboxPaused',
  );
  t.equal(
    ask((box) => (box.spec.runState = 'Paused'), { target: '/alive' }),
    '503 SandboxPaused',
    'also for polls without a key',
  );
  t.equal(
    ask((box) => (box.status = { ...box.status, phase: 'Paused' })),
    '503 SandboxPaused',
  );
  t.equal(
    ask((box) => (box.status = { ...box.status, phase: 'Failed' })),
    '503 SandboxFailed',
  );
  t.equal(
    ask(() => undefined, { slice: false }),
    '503 SandboxStarting',
  );
  t.equal(
    ask(() => undefined, { ready: false }),
    '503 SandboxStarting',
  );
  t.equal(
    ask(() => undefined, { ready: true }),
    '429 TooManyRequests',
  );
  t.equal(
    ask((box) => (box.metadata.deletionTimestamp = 'now')),
    '404 UnknownSandbox',
  );
  t.equal(
    ask((box) => (box.status = {})),
    '404 UnknownSandbox',
  );
});

t.test('decide: an entry pass becomes a cookie of that host, once it is seen to be good', async (t) => {
  const { table } = filledTable();
  const rules = rulesOf();
  const pass = (more: Partial<GatewayPass> = {}) =>
    signPass(SECRET, { use: 'entry', slot: A, owner: 'alice', epoch: 1, exp: NOW / 1000 + 60, ...more });
  const enter = (text: string, to = '', host = hostOf(A, 'work-1'), path = '') =>
    decide(requestTo(host, `${path}/_sandlot/enter?pass=${text}${to}`), table, rules, NOW);
  const good = enter(pass(), '&to=/a%3Fb=c');
  t.equal(good.do, 'reply');
  const text = good.do === 'reply' ? good.text : '';
  t.match(text, /^HTTP\/1\.1 302 Found\r\nLocation: \/a\?b=c\r\n/);
  t.match(
    text,
    /Set-Cookie: sandlot-pass=[\w-]+\.[\w-]+; Max-Age=43200; Path=\/; HttpOnly; Secure; SameSite=None; Partitioned\r\n/,
  );
  const value = /sandlot-pass=([^;]+)/.exec(text)?.[1] ?? '';
  t.equal(
    verdict(decide(requestTo(hostOf(A, 'work-1'), '/', { cookie: `sandlot-pass=${value}` }), table, rules, NOW)),
    'cookie',
  );
  for (const bad of [
    pass({ slot: B }),
    pass({ owner: 'bob' }),
    pass({ epoch: 2 }),
    pass({ exp: NOW / 1000 }),
    pass({ use: 'cookie' }),
    'x',
    'x.y',
    '',
  ])
    t.equal(verdict(enter(bad)), '403 BadPass');
  const shared = enter(pass(), '&to=/x', DOMAIN, `/${A}/work-1`);
  t.match(shared.do === 'reply' ? shared.text : '', `Location: /${A}/work-1/x\r\nSet-Cookie: sandlot-pass-${A}=`);
  const wanted: [string | undefined, string][] = [
    [undefined, '/'],
    ['/a/b?c', '/a/b?c'],
    ['//evil.example', '/'],
    ['/\\evil.example', '/'],
    ['/a\\b', '/'],
    ['https://evil.example', '/'],
    ['/a\r\nSet-Cookie: x', '/'],
    ['', '/'],
    ['/ä', '/'],
  ];
  for (const [to, path] of wanted) t.equal(localPath(to), path, String(to));
});

t.test('table: joins slices with sandboxes, whatever comes first, and forgets', async (t) => {
  const { table, moved } = filledTable();
  const of = (slot: string) => table.bySlot(slot)?.address?.ip;
  t.equal(of(A), '10.0.0.1');
  t.equal(table.byKey(keyOf(A))?.slot, A);
  t.equal(table.byConversation(CONVERSATION)?.slot, A);
  const resumed = sandboxOf(A, { status: { keyEpoch: 2 } });
  const load = table.bySlot(A)?.load;
  table.upsertSandbox(resumed);
  t.equal(table.bySlot(A)?.load, load, 'counters survive');
  t.equal(table.byKey(keyOf(A)), undefined, 'the old key is dead');
  t.equal(table.byKey(keyOf(A, 2))?.slot, A);
  t.equal(table.byConversation(CONVERSATION), undefined, 'the label is gone');
  table.upsertSlice(sliceOf(A, '10.0.0.9', PORTS));
  t.equal(of(A), '10.0.0.9');
  t.same(moved.slice(-1), [A]);
  const second = { ...sliceOf(A, '10.0.0.10', PORTS, false), metadata: { name: 'other', namespace: 'default' } };
  table.upsertSlice(second);
  t.equal(of(A), '10.0.0.9', 'ready ones first');
  table.removeSlice(sliceOf(A, '10.0.0.9', PORTS));
  t.equal(of(A), '10.0.0.10');
  t.equal(table.bySlot(A)?.address?.ready, false);
  table.removeSlice(second);
  t.equal(of(A), undefined);
  const stranger = sliceOf(A, '10.6.6.6', PORTS);
  for (const endpoint of stranger.endpoints) endpoint.targetRef = { kind: 'Node', name: A };
  table.upsertSlice(stranger);
  t.equal(of(A), undefined, 'endpoints that are no pods are not ours');
  table.upsertSlice({ ...sliceOf(A, 'evil.example', PORTS), addressType: 'FQDN' });
  t.equal(of(A), undefined, 'nor are names');
  table.removeSandbox(resumed);
  t.equal(table.bySlot(A), undefined);
  t.equal([...table.routes()].length, 1);
  t.equal(table.byKey(''), undefined);
  t.same(portOf(table.bySlot(B) as Route, 8000), {
    name: 'agent',
    number: 8000,
    isPublic: false,
    visibility: undefined,
  });
});

t.test('a service worker’s script comes only from where no other sandbox is', async (t) => {
  const { table } = filledTable();
  const rules = rulesOf();
  const cookie = `sandlot-pass-${A}=${cookieOf(A)}; sandlot-pass=${cookieOf(A)}`;
  const asked = (host: string, target: string, fields: Record<string, string> = { 'service-worker': 'script' }) => {
    const head = requestTo(host, target, { cookie, 'sec-fetch-site': 'same-origin', ...fields });
    const decision = decide(head, table, rules, NOW);
    return decision.do === 'answer' ? decision.answer.status : decision.do;
  };
  t.equal(asked(hostOf(A, '3000'), '/sw.js'), 'forward');
  t.equal(asked(DOMAIN, `/${A}/3000/sw.js`), 'forward');
  t.equal(asked(DOMAIN, `/api/sandbox-port/${A}/3000/sw.js`), 'forward');
  t.equal(asked(DOMAIN, '/api/sandbox-port/3000/sw.js'), 403);
  t.equal(asked(DOMAIN, `/api/conversations/${CONVERSATION}/sw.js`), 403);
  t.equal(asked(DOMAIN, '/api/sandbox-port/3000/app.js', {}), 'forward');
});

t.test('addresses that scripts of a page in path form put together lead below its prefix', async (t) => {
  const { table } = filledTable();
  const asked = (host: string, target: string, referer: string) => {
    const decision = decide(requestTo(host, target, { referer }), table, rulesOf(), NOW);
    return decision.do === 'reply' ? /Location: (.*)\r/.exec(decision.text)?.[1] : decision.do;
  };
  const cases: [host: string, target: string, referer: string, expected: string][] = [
    [DOMAIN, '/_next/x.js?y', `http://${DOMAIN}/${A}/3000/page`, `/${A}/3000/_next/x.js?y`],
    [DOMAIN, '/api/me', `http://${DOMAIN}/${A}/work-1`, `/${A}/work-1/api/me`],
    [DOMAIN, '//evil.test', `http://${DOMAIN}/${A}/3000/`, `/${A}/3000//evil.test`],
    [DOMAIN, '/x', `http://${DOMAIN}/api/sandbox-port/${A}/3000/`, `/api/sandbox-port/${A}/3000/x`],
    [DOMAIN, '/x', `http://evil.test/${A}/3000/`, 'answer'],
    [DOMAIN, '/x', `http://${DOMAIN}/${A}/`, 'answer'],
    [DOMAIN, '/x', '', 'answer'],
    [`nobody.${DOMAIN}`, '/x', `http://nobody.${DOMAIN}/${A}/3000/`, 'answer'],
  ];
  for (const [host, target, referer, expected] of cases) t.equal(asked(host, target, referer), expected, referer);
});
