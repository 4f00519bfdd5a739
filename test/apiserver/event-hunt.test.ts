/** The short hunt of every CI run, and whether its checker sees what it is there for. */
import t from 'tap';
import { postgresPrograms } from '../support/postgres.js';
import { compare, type Seen } from './event-check.js';
import { huntEvents } from './event-hunt.js';

/** Kills of each of the five processes with this seed. */
const ROUNDS = 12;
const SEED = 7;
/** A watch of a cluster that goes on would hold this process. */
const LEFT_OPEN_MS = 5_000;

const event = (id: string, text = id) => ({
  id,
  kind: 'MessageEvent',
  source: 'user',
  llm_message: { content: [{ text }] },
});
const kept = (...ids: string[]) => ids.map((id) => ({ id, body: JSON.stringify(event(id)) }));
const count = (stored: { body: string }[]) => ({
  count: stored.length,
  bytes: stored.reduce((sum, { body }) => sum + body.length, 0),
});
function seen(change: Partial<Seen>): string[] {
  const stored = change.stored ?? kept('a', 'b', 'c');
  const whole = {
    produced: ['a', 'b', 'c'].map((id) => event(id)),
    stored,
    counted: count(stored),
    acknowledged: ['a', 'c'],
    waiting: 0,
  };
  return compare({ ...whole, ...change }).problems;
}

t.test('the checker sees every kind of loss', async (t) => {
  t.same(seen({}), []);
  t.match(seen({ stored: kept('a', 'b') }), [/1 events lost \(c\)/, /1 messages lost/]);
  t.match(seen({ stored: kept('a', 'b', 'c', 'x') }), [/1 events that the agent does not have \(x\)/]);
  t.match(seen({ stored: kept('a', 'b', 'c', 'b') }), [/1 events twice \(b\)/]);
  t.match(seen({ stored: kept('b', 'a', 'c') }), [/order is broken at place 0/]);
  t.match(seen({ produced: [event('a'), event('b', 'other'), event('c')] }), [/1 events changed \(b\)/]);
  t.match(seen({ acknowledged: ['a', 'never'] }), [/1 messages lost \(never\)/]);
  t.match(
    seen({ produced: ['a', 'b', 'c', 'd'].map((id) => event(id, 'same')), stored: kept('a'), acknowledged: ['same'] }),
    [/3 events lost/, /1 events changed/, /1 messages lost/],
  );
  t.match(seen({ counted: { count: 1, bytes: 1 } }), [/counted 1 events/]);
  t.match(seen({ waiting: 2 }), [/2 messages wait/]);
});

t.test('kill -9 of API servers, agent servers and database under traffic', { timeout: 400_000 }, async (t) => {
  const programs = postgresPrograms();
  if (programs === undefined) return t.comment('no PostgreSQL on this machine: no hunt');
  const all = await huntEvents({ programs, rounds: ROUNDS, seed: SEED, report: (line) => t.comment(line) });
  for (const { events, messages, problems } of all) {
    t.comment(`${events} events, ${messages} messages`);
    t.ok(events > 20 && messages > 5, 'there was traffic');
    t.same(problems, []);
  }
  setTimeout(() => process.exit(), LEFT_OPEN_MS).unref();
});
