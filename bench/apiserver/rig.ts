/** A real API server and PostgreSQL for measurements, and how figures are said. */
import { openDatabase, type Database } from '../../apiserver/db/open.js';
import { newId, operatorHand, quiet } from '../../test/support/api-rig.js';
import { startApi, type ApiProcess } from '../../test/support/api-process.js';
import { startCluster, type Cluster } from '../../test/support/cluster.js';
import { postgresPrograms, startPostgres, type Postgres } from '../../test/support/postgres.js';
import { SANDBOX, type Sandbox } from '../../contracts/resources.js';

export interface BenchRig {
  cluster: Cluster;
  databaseUrl: string;
  api: ApiProcess;
  db: Database;
  stop(): Promise<void>;
}

/** Debian's defaults but for memory and log settings that any real installation raises. */
const SETTINGS = ['shared_buffers=512MB', 'max_wal_size=4GB'];

export async function startPostgresOrSay(): Promise<Postgres> {
  const programs = postgresPrograms();
  if (programs === undefined) throw new Error('this benchmark needs PostgreSQL (Debian package postgresql)');
  return await startPostgres(programs, SETTINGS);
}

export async function startBenchRig(): Promise<BenchRig> {
  const [cluster, postgres] = await Promise.all([startCluster(), startPostgresOrSay()]);
  const databaseUrl = await postgres.newDatabase();
  const api = await startApi({ cluster, databaseUrl, env: { LOG_LEVEL: 'warn' } });
  const db = await openDatabase({ url: databaseUrl, log: quiet() });
  return {
    cluster,
    databaseUrl,
    api,
    db,
    async stop() {
      await api.kill();
      await db.close();
      await postgres.stop();
      await cluster.stop();
    },
  };
}

/** A conversation with a sandbox that may report; nobody answers at its agent's port. */
export async function makeConversation({ cluster, db }: BenchRig): Promise<{ id: string; key: string }> {
  const id = newId();
  const metadata = { name: id, namespace: cluster.namespace };
  await cluster.client.create<Sandbox>(SANDBOX, { metadata, spec: { owner: 'local', runState: 'Running' } });
  const key = await operatorHand(cluster.client, cluster.namespace).ready(id, { port: 1 });
  const row = { id, ownerId: 'local', sandboxId: id, title: 'measured', workingDir: '/workspace/project' };
  await db.prisma.conversation.create({ data: row });
  return { id, key };
}

export function at(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** `what: value unit (target …: met | missed)` */
export function say(what: string, value: number, unit: string, target?: { most?: number; least?: number }): void {
  const shown = value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(value >= 10 ? 1 : 2);
  const { most, least } = target ?? {};
  const met = (most === undefined || value <= most) && (least === undefined || value >= least);
  const goal =
    target === undefined
      ? ''
      : `  target ${most === undefined ? `≥ ${least}` : `≤ ${most}`}: ${met ? 'met' : 'MISSED'}`;
  console.log(`${what.padEnd(58)} ${shown.padStart(9)} ${unit.padEnd(9)}${goal}`);
}
