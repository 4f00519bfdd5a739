/** The database behind DATABASE_URL, migrated: `pglite:<folder>` in this process, or a PostgreSQL server. */
import type { Logger } from '../../process/log.js';
import type { PrismaClient } from './generated/client.js';
import type { Notices } from './notices.js';

/** One statement outside the ORM, for what it cannot say or says too slowly. */
export type Query = <Row>(sql: string, values?: unknown[]) => Promise<Row[]>;

export interface Database {
  /** Sees every user's rows: for start tasks, webhooks and sweeps. Routes take `ownedBy(prisma, owner)`. */
  prisma: PrismaClient;
  query: Query;
  /** What API servers of one database tell each other. */
  notices: Notices;
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
  /** What one statement may take on a server, ms; 0: any time. Default a minute. */
  statementMs?: number;
}

const PGLITE = 'pglite:';

/** Each kind is loaded only where it is used: PGlite's WebAssembly is memory that a server's client never needs. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { url, log } = options;
  if (!url.startsWith(PGLITE)) return await (await import('./server.js')).openServer(options);
  return await (await import('./embedded.js')).openEmbedded(url.slice(PGLITE.length), log);
}
