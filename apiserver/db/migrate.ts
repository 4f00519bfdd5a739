/**
 * Brings a database to the current schema without the Prisma command line: runs prisma/migrations/ in order, each in one
 * transaction, and keeps Prisma's own table, so that `prisma migrate status` agrees.
 * A migration that cannot run in a transaction (CREATE INDEX CONCURRENTLY) is not possible here.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../process/root.js';

/** One connection, held for the whole run. */
export interface Connection {
  query<Row>(sql: string, values?: unknown[]): Promise<Row[]>;
  /** Several statements, without values. */
  script(sql: string): Promise<void>;
}

export interface Migration {
  name: string;
  sql: string;
  /** SHA-256 of the file, hex. */
  checksum: string;
}

/** The database was migrated by files that differ from this version's: an older program, or an edited migration. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

// Columns as Prisma makes them.
const TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
  migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)`;

export function readMigrations(folder = join(packageRoot(), 'prisma', 'migrations')): Migration[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => {
      const sql = readFileSync(join(folder, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Applies what is missing and answers the names. The caller holds the lock that keeps other processes from doing the same. */
export async function migrate(connection: Connection, migrations: Migration[]): Promise<string[]> {
  await connection.script(TABLE);
  const rows = await connection.query<{ migration_name: string; checksum: string }>(
    'SELECT migration_name, checksum FROM _prisma_migrations WHERE rolled_back_at IS NULL AND finished_at IS NOT NULL',
  );
  const applied = new Map(rows.map((row) => [row.migration_name, row.checksum]));
  assertKnown(applied, migrations);
  const missing = migrations.filter(({ name }) => !applied.has(name));
  for (const migration of missing) await apply(connection, migration);
  return missing.map(({ name }) => name);
}

function assertKnown(applied: Map<string, string>, migrations: Migration[]): void {
  const known = new Map(migrations.map(({ name, checksum }) => [name, checksum]));
  for (const [name, checksum] of applied) {
    if (!known.has(name))
      throw new MigrationError(
        `the database has migration ${name}, which this version does not know: it belongs to a newer Sandlot`,
      );
    if (known.get(name) !== checksum)
      throw new MigrationError(`migration ${name} was applied from another file than this version's`);
  }
}

async function apply(connection: Connection, { name, sql, checksum }: Migration): Promise<void> {
  await connection.script('BEGIN');
  try {
    await connection.script(sql);
    await connection.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) VALUES ($1, $2, $3, now(), 1)`,
      [randomUUID(), checksum, name],
    );
    await connection.script('COMMIT');
  } catch (cause) {
    await connection.script('ROLLBACK').catch(() => undefined);
    throw new MigrationError(`migration ${name} failed: ${String(cause)}`, { cause });
  }
}
