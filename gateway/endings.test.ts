/** A login that ends takes along what it let in: its cookies, its entry addresses, and what is under way. */
import t from 'tap';
import type { Sandbox } from '../contracts/resources.js';
import { signPass, type GatewayPass } from '../contracts/tokens.js';
import { decide, type Decision } from './decide.js';
import { isStillAllowed } from './rights.js';
import { hostOf, requestTo, sandboxOf, SECRET, sliceOf, slotNamed } from './testing/harness.js';
import { rulesOf } from './testing/table.js';
import { createTable } from './table.js';

const A = slotNamed('a');
const NOW = Date.parse('2026-11-26T12:00:00Z');
const MINUTE = 60_000;

function tableWith(endedSessions: NonNullable<Sandbox['spec']['endedSessions']>) {
  const table = createTable(SECRET);
  table.upsertSandbox(sandboxOf(A, { spec: { endedSessions } }));
  table.upsertSlice(sliceOf(A, '10.0.0.1', { agent: 8000 }));
  return table;
}
const pass = (more: Partial<GatewayPass> = {}) =>
  signPass(SECRET, { use: 'cookie', slot: A, owner: 'alice', epoch: 1, exp: NOW / 1000 + 3600, ...more });
const ask = (text: string, table: ReturnType<typeof tableWith>) =>
  decide(requestTo(hostOf(A, '3000'), '/', { cookie: `sandlot-pass=${text}` }), table, rulesOf(), NOW);
const verdict = (decision: Decision) => (decision.do === 'answer' ? decision.answer.reason : decision.do);

const at = (ms: number) => new Date(ms).toISOString();
const ONE = [{ id: 'one', at: at(NOW - MINUTE) }];
const ALL = [{ id: 'all', at: at(NOW - MINUTE) }];

t.test('a cookie of a login that is over lets nobody in; others do', (t) => {
  const cases: [Partial<GatewayPass>, typeof ONE, string][] = [
    [{ session: 'one', iat: NOW - 2 * MINUTE }, [], 'forward'],
    [{ session: 'one', iat: NOW - 2 * MINUTE }, ONE, 'NoCredentials'],
    [{ session: 'two', iat: NOW - 2 * MINUTE }, ONE, 'forward'],
    [{ iat: NOW - 2 * MINUTE }, ONE, 'forward'],
    [{ session: 'two', iat: NOW - 2 * MINUTE }, ALL, 'NoCredentials'],
    [{ session: 'two', iat: NOW }, ALL, 'forward'],
    // Given by an earlier version, which wrote no time.
    [{}, ONE, 'forward'],
    [{}, ALL, 'NoCredentials'],
  ];
  for (const [given, ended, expected] of cases)
    t.equal(verdict(ask(pass(given), tableWith(ended))), expected, JSON.stringify([given, ended]));
  t.end();
});

t.test('an entry address passes its login on to the cookie', (t) => {
  const open = (ended: typeof ONE) => {
    const text = pass({ use: 'entry', session: 'one', iat: NOW - 2 * MINUTE });
    return decide(requestTo(hostOf(A, '3000'), `/_sandlot/enter?pass=${text}`), tableWith(ended), rulesOf(), NOW);
  };
  t.equal(verdict(open(ONE)), 'BadPass');
  const good = open([]);
  const cookie = /sandlot-pass=([^;]+)/.exec(good.do === 'reply' ? good.text : '')?.[1] ?? '';
  t.equal(verdict(ask(cookie, tableWith([]))), 'forward');
  t.equal(verdict(ask(cookie, tableWith(ONE))), 'NoCredentials');
  t.equal(verdict(ask(cookie, tableWith(ALL))), 'NoCredentials');
  t.end();
});

t.test('what is under way ends with its login', (t) => {
  const allowed = (given: Partial<GatewayPass>, ended: typeof ONE) => {
    const before = ask(pass(given), tableWith([]));
    if (before.do !== 'forward') throw new Error(before.do);
    return isStillAllowed(before.forward, tableWith(ended).bySlot(A), NOW);
  };
  const iat = NOW - 2 * MINUTE;
  t.equal(allowed({ session: 'one', iat }, []), true);
  t.equal(allowed({ session: 'one', iat }, ONE), false);
  t.equal(allowed({ session: 'two', iat }, ONE), true);
  t.equal(allowed({ session: 'two', iat }, ALL), false);
  t.end();
});
