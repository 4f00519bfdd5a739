/** Searches by HTTP over 100,000 conversations, and pages at any depth of long histories. */
import { Agent, request } from 'undici';
import type { Query } from '../../apiserver/db/open.js';
import { at, say, startBenchRig } from './rig.js';

export interface SearchScale {
  conversations: number;
  /** Of all conversations together, the long one apart. */
  events: number;
  /** Of one conversation. */
  longHistory: number;
}

const USERS = 100;
const REQUESTS = 300;
const TARGET = { most: 10 };

/** The local user owns every hundredth conversation; the first of them has the long history. */
async function load(query: Query, { conversations, events, longHistory }: SearchScale): Promise<void> {
  await query(
    `INSERT INTO conversations (id, owner_id, sandbox_id, title, working_dir, pr_number, created_at, updated_at)
     SELECT md5(n::text), CASE WHEN n % $2 = 0 THEN 'local' ELSE 'user-' || n % $2 END, md5(n::text),
       'Conversation ' || n || ' about ' || md5(n::text), '/workspace/project', '{}', now() - n * interval '1 minute',
       now() - n * interval '1 minute'
     FROM generate_series(0, $1::int - 1) AS n`,
    [conversations, USERS],
  );
  const fill = `INSERT INTO events (conversation_id, owner_id, id, kind, "timestamp", body)
    SELECT md5($1::text), $2, 'e' || n, CASE WHEN n % 50 = 0 THEN 'MessageEvent' ELSE 'ObservationEvent' END,
      to_char(timestamp '2026-05-01' + n * interval '1 millisecond', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
      '{"id":"e' || n || '","kind":"MessageEvent","text":"' || repeat('x', 300) || '"}'
    FROM generate_series(1, $3::int) AS n`;
  await query(fill, [0, 'local', longHistory]);
  const each = Math.max(1, Math.round(events / conversations));
  await query(
    `INSERT INTO events (conversation_id, owner_id, id, kind, "timestamp", body)
     SELECT md5(c::text), CASE WHEN c % $3 = 0 THEN 'local' ELSE 'user-' || c % $3 END, 'e' || n, 'ObservationEvent',
       to_char(timestamp '2026-05-01' + n * interval '1 millisecond', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
       '{"id":"e' || n || '","kind":"ObservationEvent"}'
     FROM generate_series(1, $1::int - 1) AS c, generate_series(1, $2::int) AS n`,
    [conversations, each, USERS],
  );
  await query('VACUUM ANALYZE events');
  await query('VACUUM ANALYZE conversations');
}

export async function benchSearch(scale: SearchScale): Promise<void> {
  const rig = await startBenchRig();
  const agent = new Agent();
  try {
    const begin = performance.now();
    await load(rig.db.query, scale);
    const seconds = (performance.now() - begin) / 1000;
    const all = scale.events + scale.longHistory;
    console.log(`loaded ${scale.conversations} conversations, ${all} events in ${Math.round(seconds)} s`);
    const get = async (path: string) => {
      const { statusCode, body } = await request(`${rig.api.base}/api/v1${path}`, { dispatcher: agent });
      const text = await body.text();
      if (statusCode !== 200) throw new Error(`${path}: ${statusCode} ${text}`);
      return text;
    };
    const measure = async (what: string, path: (n: number) => string, target?: { most: number }) => {
      for (let n = 0; n < 20; n += 1) await get(path(n));
      const took: number[] = [];
      for (let n = 0; n < REQUESTS; n += 1) {
        const start = performance.now();
        await get(path(n));
        took.push(performance.now() - start);
      }
      say(`${what}, p50`, at(took, 0.5), 'ms');
      say(`${what}, p99`, at(took, 0.99), 'ms', target);
    };
    const token = (place: string[]) => Buffer.from(JSON.stringify(place)).toString('base64url');
    const cursor = (ms: number) => token([new Date(Date.now() - ms).toISOString(), 'f'.repeat(32)]);
    const mine = scale.conversations / USERS;
    await measure('conversations, newest', () => '/app-conversations/search?limit=20', TARGET);
    await measure(
      'conversations, any page',
      (n) => `/app-conversations/search?limit=20&page_id=${cursor(((n * 37) % mine) * USERS * 60_000)}`,
      TARGET,
    );
    await measure('conversations, count', () => '/app-conversations/count', TARGET);
    await measure('conversations, title contains', (n) => `/app-conversations/search?limit=20&title__contains=about%20${(n % 16).toString(16)}`, TARGET); // prettier-ignore
    const long = `/conversation/${await idOf(rig.db.query, 0)}/events`;
    const depth = (n: number) => {
      const ms = (n * 7919) % scale.longHistory;
      return new Date(Date.UTC(2026, 4, 1) + ms).toISOString().replace('Z', '000');
    };
    await measure(
      'events, newest of a long history',
      () => `${long}/search?limit=50&sort_order=TIMESTAMP_DESC`,
      TARGET,
    );
    await measure('events, any page of it', (n) => `${long}/search?limit=50&page_id=${token([depth(n), '1'])}`, TARGET);
    await measure('events, from a time on', (n) => `${long}/search?limit=50&timestamp__gte=${depth(n)}`, TARGET);
    await measure('events, one kind in fifty', () => `${long}/search?limit=50&kind__eq=MessageEvent`, TARGET);
    await measure('events, of any conversation', (n) => `/conversation/${md5Ids[n % md5Ids.length]}/events/search?limit=50`, TARGET); // prettier-ignore
  } finally {
    await agent.close();
    await rig.stop();
  }
}

const md5Ids: string[] = [];
async function idOf(query: Query, n: number): Promise<string> {
  const rows = await query<{ id: string }>(
    `SELECT id FROM conversations WHERE owner_id = 'local' AND id <> md5('0') ORDER BY random() LIMIT 300`,
  );
  md5Ids.splice(0, md5Ids.length, ...rows.map(({ id }) => id));
  const [row] = await query<{ id: string }>('SELECT md5($1::text) AS id', [n]);
  return row?.id ?? '';
}
