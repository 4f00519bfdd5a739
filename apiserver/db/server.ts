/** A PostgreSQL server as the database: one pool for the ORM and for plain statements, one connection that listens. */
import pg from 'pg';
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from './generated/client.js';
import { migrate, readMigrations } from './migrate.js';
import { serverNotices } from './notices.js';
import type { Database, DatabaseOptions, Query } from './open.js';

/** Any number that the programs of one database agree on: ours for "migrating". */
const MIGRATION_LOCK = 7_263_541;
const CONNECT_MS = 10_000;
/** Longer than any request waits: a stuck statement must not hold a connection, or a lock, for good. */
const STATEMENT_MS = 60_000;

export async function openServer(options: DatabaseOptions): Promise<Database> {
  const { url, log, maxConnections = 10, statementMs = STATEMENT_MS } = options;
  const applied = await migrateServer(url);
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: CONNECT_MS,
    // A statement, since poolers in between refuse it as a parameter of the connection. The pool waits for its promise.
    onConnect: (client): unknown => client.query(`SET statement_timeout = ${statementMs}`),
  });
  const onPoolError = (error: Error) => log.warn({ err: error }, 'a database connection was lost');
  pool.on('error', onPoolError);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  const notices = serverNotices({ url, pool, log });
  log.info({ applied }, 'database is open');
  return {
    prisma,
    query: preparedQuery(pool),
    notices,
    embedded: false,
    async close() {
      await notices.close();
      await prisma.$disconnect();
      await pool.end();
    },
  };
}

/** Planned once a connection: the statements are constants of this program, so there are few. */
function preparedQuery(pool: pg.Pool): Query {
  const names = new Map<string, string>();
  return async <Row>(text: string, values: unknown[] = []) => {
    const name = names.get(text) ?? `sandlot_${names.size}`;
    names.set(text, name);
    return (await pool.query({ name, text, values })).rows as Row[];
  };
}

/** Under an advisory lock on one connection of its own: of several replicas that start together, one migrates. */
async function migrateServer(url: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS });
  // Without a listener, the loss of the connection would end the process instead of failing the query.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    return await migrate(
      {
        query: async <Row>(sql: string, values?: unknown[]) => (await client.query(sql, values)).rows as Row[],
        script: async (sql) => void (await client.query(sql)),
      },
      readMigrations(),
    );
  } finally {
    // Ending the session gives the lock back.
    await client.end();
  }
}
