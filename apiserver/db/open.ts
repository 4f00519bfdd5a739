/** The database behind DATABASE_URL, migrated: `pglite:<folder>` in this process, or a PostgreSQL server. */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import type { Logger } from '../../process/log.js';
import { packageRoot } from '../../process/root.js';
import { PrismaClient } from './generated/client.js';
import { lockFolder } from './lock.js';
import { migrate, readMigrations, type Connection, type Migration } from './migrate.js';

export interface Database {
  /** Sees every user's rows: for start tasks, webhooks and sweeps. Routes take `ownedBy(prisma, owner)`. */
  prisma: PrismaClient;
  /** One process has it alone. */
  embedded: boolean;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** `pglite:<folder>` or `postgresql://…`. */
  url: string;
  log: Logger;
  /** Connections to a server at most. */
  maxConnections?: number;
}

const PGLITE = 'pglite:';
/** Any number that the programs of one database agree on: ours for "migrating". */
const MIGRATION_LOCK = 7_263_541;

export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  return options.url.startsWith(PGLITE) ? await openEmbedded(options) : await openServer(options);
}

/**
 * A data folder made at build time, so that a first start need not run initdb: copying it takes a tenth of a second,
 * initdb three. The file beside it tells from which migrations: a stale one is not used.
 */
export const templateFolder = (): string => join(packageRoot(), 'dist', 'pglite-template');
export const templateMark = (): string => `${templateFolder()}.sha256`;
export const markOf = (migrations: Migration[]): string =>
  createHash('sha256')
    .update(migrations.map(({ checksum }) => checksum).join())
    .digest('hex');

function freshTemplate(): boolean {
  if (!existsSync(templateFolder()) || !existsSync(templateMark())) return false;
  return readFileSync(templateMark(), 'utf8') === markOf(readMigrations());
}

async function openEmbedded({ url, log }: DatabaseOptions): Promise<Database> {
  const folder = url.slice(PGLITE.length);
  const unlock = lockFolder(folder);
  try {
    const pglite = await startPglite(join(folder, 'data'));
    try {
      const applied = await migrate(connectionOf(pglite), readMigrations());
      log.info({ applied }, 'embedded database is open');
      const { PrismaPGlite } = await import('pglite-prisma-adapter');
      const prisma = new PrismaClient({ adapter: new PrismaPGlite(pglite) });
      const close = async () => {
        await prisma.$disconnect();
        if (!pglite.closed) await pglite.close();
        unlock();
      };
      return { prisma, embedded: true, close };
    } catch (error) {
      await pglite.close();
      throw error;
    }
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Opens the data folder, made when missing. Exported for the template's maker. */
export async function startPglite(dataDir: string): Promise<PGlite> {
  const { PGlite } = await import('@electric-sql/pglite');
  if (!existsSync(join(dataDir, 'PG_VERSION'))) await makeFolder(dataDir, (options) => PGlite.create(options));
  // The default of 128 MB is memory that one process with one connection never needs, and time to open it.
  return await PGlite.create({
    dataDir,
    startParams: [...PGlite.defaultStartParams, '-c', 'shared_buffers=16MB'],
  });
}

/** Beside its place first: a start that is cut short leaves no half of a database behind. */
async function makeFolder(dataDir: string, create: (options: { dataDir: string }) => Promise<PGlite>): Promise<void> {
  const fresh = `${dataDir}.new`;
  rmSync(fresh, { recursive: true, force: true });
  if (freshTemplate()) cpSync(templateFolder(), fresh, { recursive: true });
  else await (await create({ dataDir: fresh })).close();
  renameSync(fresh, dataDir);
}

export function connectionOf(pglite: PGlite): Connection {
  return {
    query: async <Row>(sql: string, values?: unknown[]) => (await pglite.query<Row>(sql, values)).rows,
    script: async (sql) => void (await pglite.exec(sql)),
  };
}

async function openServer({ url, log, maxConnections = 10 }: DatabaseOptions): Promise<Database> {
  const applied = await migrateServer(url);
  const { PrismaPg } = await import('@prisma/adapter-pg');
  const prisma = new PrismaClient({
    adapter: new PrismaPg({ connectionString: url, max: maxConnections, connectionTimeoutMillis: 10_000 }),
  });
  log.info({ applied }, 'database is open');
  return { prisma, embedded: false, close: () => prisma.$disconnect() };
}

/** Under an advisory lock on one connection of its own: of several replicas that start together, one migrates. */
async function migrateServer(url: string): Promise<string[]> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
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
