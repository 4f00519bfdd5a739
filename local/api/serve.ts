/**
 * The API server alone, as a program of its own: for suites of other parts that need a Kubernetes API. Forked with the data
 * folder as argument, it tells its parent `{type: 'ready', kubeconfig, url}` (the kubeconfig's path) and ends with it.
 */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { createLog } from '../../process/log.js';
import { packageRoot } from '../../process/root.js';
import { startApi } from './api.js';

const [, , dataDir] = process.argv;
if (dataDir === undefined || process.send === undefined) {
  process.stderr.write('serve is started by a suite: fork it with a data folder\n');
  process.exit(2);
}

const token = randomBytes(24).toString('hex');
const log = createLog({ name: 'local-api', level: 'warn' });
const api = await startApi({ dataDir, host: '127.0.0.1', port: 0, token, log });
await installDefinitions();
const kubeconfig = join(dataDir, 'kubeconfig');
writeFileSync(kubeconfig, api.kubeconfig(), { mode: 0o600 });
process.once('disconnect', () => void end());
process.once('SIGTERM', () => void end());
process.send({ type: 'ready', kubeconfig, url: api.url });

async function end(): Promise<void> {
  await api.close();
  process.exit(0);
}

/** Sandlot's own CRDs, by server-side apply, so that a second start finds them. */
async function installDefinitions(): Promise<void> {
  const folder = join(packageRoot(), 'crds');
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
    const definition = parse(readFileSync(join(folder, file), 'utf8')) as { metadata: { name: string } };
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${definition.metadata.name}`;
    const response = await fetch(`${api.url}${path}?fieldManager=sandlot&force=true`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/apply-patch+yaml' },
      body: JSON.stringify(definition),
    });
    if (!response.ok) throw new Error(`${file}: ${response.status} ${await response.text()}`);
  }
}
