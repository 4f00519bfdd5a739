/** A Kubernetes API for the suite of the whole program: the one that SANDLOT_TEST_KUBECONFIG names, else the one-machine API. */
import { fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { SANDBOX } from '../../contracts/resources.js';
import { createClient, loadKubeConfig, type KubeClient } from '../../kube/client.js';
import { CUSTOM_RESOURCE_DEFINITION, type CustomResourceDefinition } from '../../kube/kinds.js';
import { packageRoot } from '../../process/root.js';

export const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
export const execArgv = extension === 'ts' ? ['--import', import.meta.resolve('tsx')] : [];
const SERVE = fileURLToPath(new URL(`../../local/api/serve.${extension}`, import.meta.url));

// eslint-disable-next-line no-restricted-properties -- a suite's own setting, not a program's
const given = process.env.SANDLOT_TEST_KUBECONFIG ?? '';

export const noCluster: string | false =
  given === '' && !existsSync(SERVE) ? 'no SANDLOT_TEST_KUBECONFIG, and no one-machine API to start' : false;

export interface TestCluster {
  kubeconfig: string;
  client: KubeClient;
  stop(): Promise<void>;
}

export async function startTestCluster(): Promise<TestCluster> {
  const own = given === '' ? await startLocal() : undefined;
  const kubeconfig = own?.kubeconfig ?? given;
  const client = createClient(loadKubeConfig({ KUBECONFIG: kubeconfig }), { userAgent: 'sandlot-test' });
  const definition = parse(
    readFileSync(join(packageRoot(), 'crds', 'sandboxes.yaml'), 'utf8'),
  ) as CustomResourceDefinition;
  await client.apply(CUSTOM_RESOURCE_DEFINITION, definition, { fieldManager: 'sandlot-test', force: true });
  await until('sandboxes to be served', () =>
    client.list(SANDBOX, { namespace: 'default', limit: 1 }).then(Boolean, () => false),
  );
  return {
    kubeconfig,
    client,
    async stop() {
      await client.close();
      await own?.stop();
    },
  };
}

async function startLocal(): Promise<{ kubeconfig: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-gateway-test-'));
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

/** Asks until it is true, for 20 s at most. */
export async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain for ${what}`);
}
