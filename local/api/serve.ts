/**
 * The API server alone, as a child process: for suites that need a Kubernetes API and no nodes.
 * argv: the data folder. Sends `{ type: 'ready', kubeconfig }` (a path) to its parent and ends with it.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram, type Running } from '../../process/run.js';
import type { Logger } from '../../process/log.js';
import { startApi } from './api.js';

async function start(dataDir: string, log: Logger): Promise<Running> {
  const api = await startApi({
    dataDir,
    host: '127.0.0.1',
    port: 0,
    token: randomBytes(24).toString('base64url'),
    log,
  });
  const kubeconfig = join(dataDir, 'kubeconfig');
  writeFileSync(kubeconfig, api.kubeconfig(), { mode: 0o600 });
  return { announce: { kubeconfig }, drain: () => Promise.resolve(), close: () => api.close() };
}

await runProgram({ name: 'local-api', logLevel: 'warn', start: ({ log }) => start(process.argv[2] ?? '.', log) });
