/**
 * Looks whether the database agrees with itself: what is counted of a conversation and what is there, rows of another
 * owner, rows and share links whose conversation is gone. Reads page by page, beside running API servers; each page is one statement, so that
 * what is being stored meanwhile is seen whole.
 */
import type { Query } from '../db/open.js';

export type ProblemKind =
  'miscounted' | 'foreign' | 'orphaned events' | 'orphaned message' | 'foreign share' | 'orphaned share';

export interface Problem {
  kind: ProblemKind;
  /** Of the conversation, or what a message waits for. */
  id: string;
  words: string;
}

export interface Checked {
  conversations: number;
  problems: Problem[];
  /** True when there were more problems than are listed. */
  more: boolean;
}

const PAGE = 200;
const MAX_PROBLEMS = 10_000;

// The event that tells of a full history is not counted (ingest/quota.ts).
const COUNTED = `
SELECT c.id, c.owner_id AS owner, c.event_count AS counted, c.event_bytes::float8 AS bytes,
  count(e.id) FILTER (WHERE e.id <> 'event-limit-' || c.id)::int AS there,
  coalesce(sum(octet_length(e.body)) FILTER (WHERE e.id <> 'event-limit-' || c.id), 0)::float8 AS there_bytes,
  count(e.id) FILTER (WHERE e.owner_id <> c.owner_id)::int AS foreign_rows
FROM (SELECT * FROM conversations WHERE id > $1 ORDER BY id LIMIT ${PAGE}) AS c
LEFT JOIN events AS e ON e.conversation_id = c.id
GROUP BY c.id, c.owner_id, c.event_count, c.event_bytes ORDER BY c.id`;

/** One index look-up a conversation, however many events each has. */
const EVENTS_OF = `
WITH RECURSIVE found AS (
  (SELECT conversation_id AS id, 1 AS n FROM events WHERE conversation_id > $1 ORDER BY conversation_id LIMIT 1)
  UNION ALL
  SELECT next.id, found.n + 1 FROM found CROSS JOIN LATERAL (
    SELECT conversation_id AS id FROM events WHERE conversation_id > found.id ORDER BY conversation_id LIMIT 1
  ) AS next WHERE found.n < ${PAGE}
)
SELECT found.id, NOT EXISTS (SELECT 1 FROM conversations AS c WHERE c.id = found.id) AS orphaned FROM found ORDER BY found.id`;

/** Younger ones may belong to a start that is still being written. */
const MESSAGES = `
SELECT m.id, m.target FROM pending_messages AS m
WHERE m.id > $1 AND m.created_at < now() - interval '1 day'
  AND NOT EXISTS (SELECT 1 FROM conversations AS c WHERE c.id = m.target)
  AND NOT EXISTS (SELECT 1 FROM start_tasks AS s WHERE m.target IN (s.conversation_id, 'task-' || s.id))
ORDER BY m.id LIMIT ${PAGE}`;

const SHARES = `
SELECT s.id, c.owner_id AS of_conversation FROM shares AS s
LEFT JOIN conversations AS c ON c.id = s.conversation_id
WHERE s.id > $1 AND c.owner_id IS DISTINCT FROM s.owner_id ORDER BY s.id LIMIT ${PAGE}`;

interface CountedRow {
  id: string;
  owner: string;
  counted: number;
  bytes: number;
  there: number;
  there_bytes: number;
  foreign_rows: number;
}

export async function checkDatabase(query: Query): Promise<Checked> {
  const problems: Problem[] = [];
  const found = (all: Problem[]) => void problems.push(...all.slice(0, MAX_PROBLEMS - problems.length));
  let conversations = 0;
  await eachPage<CountedRow>(query, COUNTED, (rows) => {
    conversations += rows.length;
    found(rows.flatMap(problemsOf));
  });
  await eachPage<{ id: string; orphaned: boolean }>(query, EVENTS_OF, (rows) =>
    found(
      rows
        .filter(({ orphaned }) => orphaned)
        .map(({ id }) => ({ kind: 'orphaned events', id, words: 'has events but no conversation' })),
    ),
  );
  await eachPage<{ id: string; target: string }>(query, MESSAGES, (rows) =>
    found(
      rows.map(({ target }) => ({ kind: 'orphaned message', id: target, words: 'a message waits for what is gone' })),
    ),
  );
  await eachPage<{ id: string; of_conversation: string | null }>(query, SHARES, (rows) =>
    found(rows.map(problemOfShare)),
  );
  return { conversations, problems, more: problems.length === MAX_PROBLEMS };
}

async function eachPage<Row extends { id: string }>(
  query: Query,
  sql: string,
  take: (rows: Row[]) => void,
): Promise<void> {
  for (let last: string | undefined = ''; last !== undefined;) {
    const rows: Row[] = await query<Row>(sql, [last]);
    take(rows);
    last = rows.at(-1)?.id;
  }
}

function problemsOf({ id, counted, bytes, there, there_bytes, foreign_rows }: CountedRow): Problem[] {
  const problems: Problem[] = [];
  if (counted !== there || bytes !== there_bytes)
    problems.push({
      kind: 'miscounted',
      id,
      words: `counts ${counted} events of ${bytes} bytes, has ${there} of ${there_bytes}`,
    });
  if (foreign_rows > 0)
    problems.push({ kind: 'foreign', id, words: `${foreign_rows} events belong to another user than it does` });
  return problems;
}

const problemOfShare = (row: { id: string; of_conversation: string | null }): Problem =>
  row.of_conversation === null
    ? { kind: 'orphaned share', id: row.id, words: 'a share link of a conversation that is gone' }
    : { kind: 'foreign share', id: row.id, words: 'a share link of another user than its conversation' };

/** The row is locked first, as by whoever stores events, so that no batch falls between counting and writing. */
const RECOUNT = `
WITH target AS (SELECT id FROM conversations WHERE id = $1 FOR NO KEY UPDATE)
UPDATE conversations AS c SET event_count = sums.count, event_bytes = sums.bytes
FROM target, LATERAL (
  SELECT count(*)::int AS count, coalesce(sum(octet_length(body)), 0)::bigint AS bytes FROM events
  WHERE conversation_id = target.id AND id <> 'event-limit-' || target.id
) AS sums WHERE c.id = target.id`;

const REPAIRS: Record<ProblemKind, string | undefined> = {
  miscounted: RECOUNT,
  // Whose they are is not for a program to guess.
  foreign: undefined,
  'orphaned events':
    'DELETE FROM events WHERE conversation_id = $1 AND NOT EXISTS (SELECT 1 FROM conversations WHERE id = $1)',
  'orphaned message':
    'DELETE FROM pending_messages WHERE target = $1 AND NOT EXISTS (SELECT 1 FROM conversations WHERE id = $1)',
  // A conversation's row never comes back under an id: what opens nothing now never will.
  'orphaned share':
    'DELETE FROM shares AS s WHERE s.id = $1 AND NOT EXISTS (SELECT 1 FROM conversations AS c WHERE c.id = s.conversation_id)',
  'foreign share': undefined,
};

/** Counts anew and deletes what belongs to nothing; answers what it left for a person. */
export async function repairDatabase(query: Query, problems: Problem[]): Promise<Problem[]> {
  for (const { kind, id } of problems) {
    const sql = REPAIRS[kind];
    if (sql !== undefined) await query(sql, [id]);
  }
  return problems.filter(({ kind }) => REPAIRS[kind] === undefined);
}
