/** A Kubernetes API for suites: the one that SANDLOT_TEST_KUBECONFIG names, else the one-machine cluster's in this process. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { SANDBOX, SANDBOX_POOL, SANDBOX_TEMPLATE } from '../../contracts/resources.js';
import { createClient, loadKubeConfig, type KubeClient } from '../../kube/client.js';
import { CUSTOM_RESOURCE_DEFINITION, NAMESPACE, type CustomResourceDefinition } from '../../kube/kinds.js';
import { createLog } from '../../process/log.js';
import { packageRoot } from '../../process/root.js';
import { until } from './stack.js';

export interface Cluster {
  client: KubeClient;
  /** New, and deleted at the end. */
  namespace: string;
  stop(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const given = process.env.SANDLOT_TEST_KUBECONFIG ?? '';
  const own = given === '' ? await startOwn() : undefined;
  const client = createClient(loadKubeConfig({ KUBECONFIG: own?.kubeconfig ?? given }), { userAgent: 'sandlot-test' });
  for (const { plural } of [SANDBOX, SANDBOX_TEMPLATE, SANDBOX_POOL]) {
    const text = readFileSync(join(packageRoot(), 'crds', `${plural}.yaml`), 'utf8');
    const definition = parse(text) as CustomResourceDefinition;
    await client.apply(CUSTOM_RESOURCE_DEFINITION, definition, { fieldManager: 'sandlot-test', force: true });
  }
  for (const kind of [SANDBOX, SANDBOX_TEMPLATE, SANDBOX_POOL])
    await until(`${kind.plural} to be served`, () => client.list(kind, { namespace: 'default', limit: 1 }));
  const namespace = `test-${randomBytes(4).toString('hex')}`;
  await client.create(NAMESPACE, { metadata: { name: namespace } });
  return {
    client,
    namespace,
    async stop() {
      if (own === undefined) await client.delete(NAMESPACE, { name: namespace });
      await client.close();
      await own?.stop();
    },
  };
}

async function startOwn(): Promise<{ kubeconfig: string; stop(): Promise<void> }> {
  // Only here: suites against a given cluster need none of it.
  const { startApi } = await import('../../local/api/api.js');
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-test-'));
  const log = createLog({ name: 'local-api', level: 'fatal' });
  const api = await startApi({
    dataDir: folder,
    host: '127.0.0.1',
    port: 0,
    token: randomBytes(16).toString('hex'),
    log,
  });
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, api.kubeconfig());
  return {
    kubeconfig,
    async stop() {
      await api.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
