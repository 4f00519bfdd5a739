/** A Kubernetes API for suites: the one that SANDLOT_TEST_KUBECONFIG names, else the one-machine cluster's as a child process. */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { SANDBOX, SANDBOX_POOL, SANDBOX_TEMPLATE } from '../../contracts/resources.js';
import { createClient, loadKubeConfig, type KubeClient } from '../../kube/client.js';
import { CUSTOM_RESOURCE_DEFINITION, NAMESPACE, type CustomResourceDefinition } from '../../kube/kinds.js';
import { packageRoot } from '../../process/root.js';
import { until } from './stack.js';

/** Suites run from source and from dist/ alike, and so do the programs that they start. */
export const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
export const execArgv = extension === 'ts' ? ['--import', import.meta.resolve('tsx')] : [];

const LEFT_OPEN_MS = 5000;
const KINDS = [SANDBOX, SANDBOX_TEMPLATE, SANDBOX_POOL];

export interface Cluster {
  /** Path of the file. */
  kubeconfig: string;
  client: KubeClient;
  /** New, and deleted at the end. */
  namespace: string;
  /** Another one, deleted at the end too. */
  newNamespace(): Promise<string>;
  stop(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const given = process.env.SANDLOT_TEST_KUBECONFIG ?? '';
  const own = given === '' ? await startOwn() : undefined;
  const kubeconfig = own?.kubeconfig ?? given;
  const client = createClient(loadKubeConfig({ KUBECONFIG: kubeconfig }), { userAgent: 'sandlot-test' });
  await installDefinitions(client);
  const made: string[] = [];
  const newNamespace = async () => {
    const name = `test-${randomBytes(4).toString('hex')}`;
    await client.create(NAMESPACE, { metadata: { name } });
    made.push(name);
    return name;
  };
  return {
    kubeconfig,
    client,
    namespace: await newNamespace(),
    newNamespace,
    async stop() {
      if (own === undefined) await Promise.allSettled(made.map((name) => client.delete(NAMESPACE, { name })));
      await client.close();
      await own?.stop();
    },
  };
}

/**
 * For the last test of a suite: a watch that was left open on a server that goes on would hold this process for as long as
 * it lasts, which is minutes.
 */
export async function endSuite(cluster: Cluster): Promise<void> {
  setTimeout(() => process.exit(), LEFT_OPEN_MS).unref();
  await cluster.stop();
}

async function installDefinitions(client: KubeClient): Promise<void> {
  for (const { plural } of KINDS) {
    const text = readFileSync(join(packageRoot(), 'crds', `${plural}.yaml`), 'utf8');
    const definition = parse(text) as CustomResourceDefinition;
    await client.apply(CUSTOM_RESOURCE_DEFINITION, definition, { fieldManager: 'sandlot-test', force: true });
  }
  // Just after a definition is new, its storage answers 404 or 429.
  for (const kind of KINDS)
    await until(`${kind.plural} to be served`, () => client.list(kind, { namespace: 'default', limit: 1 }));
}

/** In a process of its own: a suite's event loop must not slow the API that it measures itself by. */
async function startOwn(): Promise<{ kubeconfig: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-test-'));
  const serve = fileURLToPath(new URL(`../../local/api/serve.${extension}`, import.meta.url));
  const child = fork(serve, [folder], { execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
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
