/** The embedded database: PostgreSQL in this process (PGlite), in a folder that one process has alone. */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { PGlite } from '@electric-sql/pglite';
import type { Logger } from '../../process/log.js';
import { packageRoot } from '../../process/root.js';
import { PrismaClient } from './generated/client.js';
import { lockFolder } from './lock.js';
import { migrate, readMigrations, type Connection, type Migration } from './migrate.js';
import type { Notices } from './notices.js';
import type { Database } from './open.js';

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

/** One process has the database alone: there is nobody to tell. */
const NOBODY: Notices = {
  tell: () => Promise.resolve(),
  listen: () => () => undefined,
  close: () => Promise.resolve(),
};

function freshTemplate(): boolean {
  if (!existsSync(templateFolder()) || !existsSync(templateMark())) return false;
  return readFileSync(templateMark(), 'utf8') === markOf(readMigrations());
}

export async function openEmbedded(folder: string, log: Logger): Promise<Database> {
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
      return { prisma, query: connectionOf(pglite).query, notices: NOBODY, embedded: true, close };
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
