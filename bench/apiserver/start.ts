/** From the start of the process to its first answer, and its memory some seconds later. */
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../process/root.js';
import { SECRET } from '../../test/support/api-rig.js';
import { ask } from '../../test/support/client.js';
import { startCluster, type Cluster } from '../../test/support/cluster.js';
import { at, say, startPostgresOrSay } from './rig.js';

const REST_MS = 3_000;
const READY = { most: 1_500 };
const RSS = { most: 150 };

export async function benchStart(rounds: number): Promise<void> {
  const [cluster, postgres] = await Promise.all([startCluster(), startPostgresOrSay()]);
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-bench-'));
  try {
    await measure('PostgreSQL', await postgres.newDatabase(), { cluster, rounds });
    await measure('embedded database', `pglite:${folder}`, { cluster, rounds });
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await postgres.stop();
    await cluster.stop();
  }
}

async function measure(what: string, databaseUrl: string, given: { cluster: Cluster; rounds: number }): Promise<void> {
  const ready: number[] = [];
  const rss: number[] = [];
  for (let round = 0; round <= given.rounds; round += 1) {
    const one = await startOnce(databaseUrl, given.cluster);
    // The first start migrates the database.
    if (round === 0) continue;
    ready.push(one.ms);
    rss.push(one.rss);
  }
  say(`start to first answer, ${what}`, at(ready, 0.5), 'ms', READY);
  say(`memory at rest, ${what}`, at(rss, 0.5), 'MB', RSS);
}

async function startOnce(
  databaseUrl: string,
  { kubeconfig, namespace }: Cluster,
): Promise<{ ms: number; rss: number }> {
  const begin = performance.now();
  const child = fork(join(packageRoot(), 'bin', 'sandlot.js'), ['apiserver'], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      ...process.env,
      KUBECONFIG: kubeconfig,
      SANDLOT_NAMESPACE: namespace,
      SANDLOT_SECRET: SECRET,
      SANDLOT_IDENTITY: 'single-user',
      SANDLOT_PORT: '0',
      DATABASE_URL: databaseUrl,
      LOG_LEVEL: 'warn',
    },
  });
  const { port } = await new Promise<{ port: number }>((resolve, reject) => {
    child.once('message', (message) => resolve(message as { port: number }));
    child.once('exit', (code) => reject(new Error(`the API server ended with ${code}`)));
  });
  const answer = await ask(`http://localhost:${port}/api/v1/app-conversations/search`);
  if (answer.status !== 200) throw new Error(`answered ${answer.status}`);
  const ms = performance.now() - begin;
  await sleep(REST_MS);
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const rss = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  child.kill('SIGTERM');
  await new Promise((resolve) => child.once('exit', resolve));
  return { ms, rss };
}
