/** A Kubernetes API for suites: the one that SANDLOT_TEST_KUBECONFIG names, else the one-machine cluster's API as a child process. */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { SANDBOX, SANDBOX_POOL, SANDBOX_TEMPLATE } from '../../contracts/resources.js';
import { createClient, loadKubeConfig, type KubeClient } from '../../kube/client.js';
import { CUSTOM_RESOURCE_DEFINITION, NAMESPACE, type CustomResourceDefinition } from '../../kube/kinds.js';
import { packageRoot } from '../../process/root.js';
import { until } from './until.js';

export interface TestCluster {
  client: KubeClient;
  /** A fresh namespace; all are deleted at the end. */
  namespace(): Promise<string>;
  stop(): Promise<void>;
}

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const SERVE = fileURLToPath(new URL(`../../local/api/serve.${extension}`, import.meta.url));

// eslint-disable-next-line no-restricted-properties -- a suite's own setting, not a program's
const given = process.env.SANDLOT_TEST_KUBECONFIG ?? '';

/** Why there is no API to test against; undefined when there is one. */
export const noCluster: string | undefined =
  given !== '' || existsSync(SERVE)
    ? undefined
    : 'no SANDLOT_TEST_KUBECONFIG, and the one-machine API cannot be started alone';

export async function startTestCluster(): Promise<TestCluster> {
  const own = given === '' ? await startLocal() : undefined;
  const kubeconfig = own?.kubeconfig ?? given;
  const client = createClient(loadKubeConfig({ KUBECONFIG: kubeconfig }), { userAgent: 'sandlot-test' });
  await installDefinitions(client);
  const made: string[] = [];
  return {
    client,
    async namespace() {
      const name = `operator-${randomBytes(4).toString('hex')}`;
      await client.create(NAMESPACE, { metadata: { name } });
      made.push(name);
      return name;
    },
    async stop() {
      if (own === undefined) await Promise.allSettled(made.map((name) => client.delete(NAMESPACE, { name })));
      await client.close();
      await own?.stop();
    },
  };
}

async function installDefinitions(client: KubeClient): Promise<void> {
  for (const { plural } of [SANDBOX, SANDBOX_TEMPLATE, SANDBOX_POOL]) {
    const definition = parse(
      readFileSync(join(packageRoot(), 'crds', `${plural}.yaml`), 'utf8'),
    ) as CustomResourceDefinition;
    await client.apply(CUSTOM_RESOURCE_DEFINITION, definition, { fieldManager: 'sandlot-test', force: true });
  }
  // Just after a definition is new, its storage answers 404 or 429.
  for (const kind of [SANDBOX, SANDBOX_TEMPLATE, SANDBOX_POOL])
    await until(`${kind.plural} to be served`, () =>
      client.list(kind, { namespace: 'default', limit: 1 }).then(Boolean, () => false),
    );
}

async function startLocal(): Promise<{ kubeconfig: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-operator-test-'));
  const execArgv = extension === 'ts' ? ['--import', import.meta.resolve('tsx')] : [];
  const child = fork(SERVE, [folder], { execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const kubeconfig = await new Promise<string>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { kubeconfig: string }).kubeconfig));
    child.once('exit', (code) => reject(new Error(`the one-machine API ended with ${code}`)));
  });
  return {
    kubeconfig,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
