/**
 * Seals everything that is stored sealed with the newest key, so that an older key can be thrown away. It may be stopped
 * at any time and started again (what is done carries the new key's id), and API servers may run beside it: a value that
 * somebody saves meanwhile is left as they saved it.
 */
import { SealedError, type Box } from '../db/box.js';
import type { Query } from '../db/open.js';
import { sessionPlace } from '../identity/sessions.js';
import { secretPlace, tokenPlace } from '../settings/secrets.js';
import { settingsPlace } from '../settings/store.js';
import { startPlace } from '../start/secrets.js';

interface SealedColumn {
  table: string;
  column: string;
  /** The primary key, in order; all of them are text. */
  key: readonly string[];
  /** What the value is bound to. */
  place(...key: string[]): string;
}

/** Every column that `Box.seal` fills. */
export const SEALED: readonly SealedColumn[] = [
  { table: 'settings', column: 'sealed', key: ['owner_id'], place: settingsPlace },
  { table: 'secrets', column: 'value', key: ['owner_id', 'name'], place: secretPlace },
  { table: 'provider_tokens', column: 'token', key: ['owner_id', 'provider'], place: tokenPlace },
  { table: 'sessions', column: 'tokens', key: ['id'], place: sessionPlace },
  { table: 'start_tasks', column: 'secrets', key: ['id'], place: startPlace },
];

export interface Resealed {
  table: string;
  resealed: number;
  /** Nothing that is known opens them; they stay as they are. */
  unreadable: number;
  /** Under another key than the newest when it ended, the unreadable ones included. */
  left: number;
}

const PAGE = 200;
/** What is saved under an old key while a pass runs, by an API server that does not know the new one, is for the next. */
const PASSES = 3;

export async function resealAll(query: Query, box: Box): Promise<Resealed[]> {
  const results: Resealed[] = [];
  for (const column of SEALED) results.push(await resealColumn(query, box, column));
  return results;
}

async function resealColumn(query: Query, box: Box, sealed: SealedColumn): Promise<Resealed> {
  const { table, column } = sealed;
  const LEFT = `SELECT count(*)::int AS count FROM ${table} WHERE ${column} NOT LIKE $1`;
  let resealed = 0;
  for (let pass = 1; ; pass += 1) {
    const done = await onePass(query, box, sealed);
    resealed += done.resealed;
    const left = (await query<{ count: number }>(LEFT, [`${box.keyId}.%`]))[0]?.count ?? 0;
    if (left <= done.unreadable || pass === PASSES) return { table, resealed, unreadable: done.unreadable, left };
  }
}

type Row = Record<string, string>;

async function onePass(
  query: Query,
  box: Box,
  sealed: SealedColumn,
): Promise<{ resealed: number; unreadable: number }> {
  const { table, column, key } = sealed;
  const columns = key.join(', ');
  const after = key.map((_, n) => `$${n + 2}`).join(', ');
  const PAGE_OF = `SELECT ${columns}, ${column} AS sealed_value FROM ${table}
    WHERE ${column} NOT LIKE $1 AND (${columns}) > (${after}) ORDER BY ${columns} LIMIT ${PAGE}`;
  let resealed = 0;
  let unreadable = 0;
  for (let last = key.map(() => ''); ;) {
    const rows = await query<Row>(PAGE_OF, [`${box.keyId}.%`, ...last]);
    if (rows.length === 0) return { resealed, unreadable };
    const opened = rows.map((row) => freshOf(box, sealed, row)).filter((row) => row !== undefined);
    unreadable += rows.length - opened.length;
    resealed += await writePage(query, sealed, opened);
    last = key.map((name) => rows.at(-1)?.[name] ?? '');
  }
}

/** The row with its value under the newest key; undefined when nothing opens it. */
function freshOf(box: Box, { key, place }: SealedColumn, row: Row): Row | undefined {
  const where = place(...key.map((name) => row[name] ?? ''));
  try {
    return { ...row, fresh: box.seal(box.open(row.sealed_value ?? '', where), where) };
  } catch (error) {
    if (error instanceof SealedError) return undefined;
    throw error;
  }
}

/** Answers how many were written: those that nobody changed since they were read. */
async function writePage(query: Query, { table, column, key }: SealedColumn, rows: Row[]): Promise<number> {
  const names = [...key, 'sealed_value', 'fresh'];
  const arrays = names.map((_, n) => `$${n + 1}::text[]`).join(', ');
  const same = key.map((name) => `${table}.${name} = given.${name}`).join(' AND ');
  const written = await query(
    `UPDATE ${table} SET ${column} = given.fresh FROM unnest(${arrays}) AS given(${names.join(', ')})
     WHERE ${same} AND ${table}.${column} = given.sealed_value RETURNING 1 AS one`,
    names.map((name) => rows.map((row) => row[name] ?? '')),
  );
  return written.length;
}
