/** What the suite sees the cluster with: real kubectl and helm, and HTTP where the cluster's addresses exist. */
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Sandbox } from '../../contracts/resources.js';
import { sessionKey } from '../../contracts/keys.js';
import type { Pod, Secret } from '../../kube/kinds.js';
import { packageRoot } from '../../process/root.js';
import { ask, type Answer, type AskOptions } from '../support/client.js';
import { until } from '../support/stack.js';

const run = promisify(execFile);
export const NAMESPACE = 'sandlot-e2e';
export const RELEASE = 'sandlot';
export const DOMAIN = 'sandbox.localhost:3001';

async function command(file: string, args: string[], input?: string): Promise<string> {
  const running = run(file, args, { maxBuffer: 16 * 1024 * 1024, timeout: 300_000 });
  if (input !== undefined) running.child.stdin?.end(input);
  try {
    return (await running).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${file} ${args.join(' ')}: ${stderr.slice(-2000)} ${stdout.slice(-2000)}`, { cause: error });
  }
}

/** Real kubectl and helm in one namespace. */
export function clusterIn(namespace: string) {
  const kubectl = (...args: string[]): Promise<string> => command('kubectl', ['-n', namespace, ...args]);
  return {
    kubectl,
    helm: (...args: string[]): Promise<string> => command(process.env.HELM ?? 'helm', ['-n', namespace, ...args]),
    get: async <T>(...args: string[]): Promise<T> => JSON.parse(await kubectl('get', '-o', 'json', ...args)) as T,
  };
}

export const { kubectl, helm, get } = clusterIn(NAMESPACE);
export const apply = (yaml: string): Promise<string> => command('kubectl', ['-n', NAMESPACE, 'apply', '-f', '-'], yaml);
export const node = (verb: 'stop-node' | 'start-node', name: string): Promise<string> =>
  command(join(packageRoot(), 'test/kube/cluster'), [verb, name]);

export const sandbox = (name: string): Promise<Sandbox> => get<Sandbox>('sandbox', name);
export const podOf = async (name: string): Promise<Pod> => get<Pod>('pod', (await sandbox(name)).status?.slot ?? '');

export async function newSandbox(name: string, spec: Record<string, unknown> = {}): Promise<Sandbox> {
  await apply(sandboxYaml(name, spec));
  return await ready(name);
}

export const sandboxYaml = (name: string, spec: Record<string, unknown> = {}): string =>
  JSON.stringify({
    apiVersion: 'sandlot.dev/v1alpha1',
    kind: 'Sandbox',
    metadata: { name },
    spec: { template: 'default', ...spec },
  });

export async function ready(name: string): Promise<Sandbox> {
  await kubectl('wait', '--for=condition=Ready', `sandbox/${name}`, '--timeout=180s');
  return await sandbox(name);
}

/** The current session key of a sandbox, which follows from the installation's secret. */
export async function keyOf(name: string): Promise<string> {
  const { data } = await get<Secret>('secret', `${RELEASE}-secret`);
  const { status } = await sandbox(name);
  return sessionKey(Buffer.from(data?.secret ?? '', 'base64').toString(), status?.slot ?? '', status?.keyEpoch ?? 0);
}

/** A call to a sandbox's agent server through the gateway's Service. */
export async function viaGateway<T = unknown>(
  slot: string,
  path: string,
  options: AskOptions = {},
): Promise<Answer<T>> {
  const address = await gatewayAddress();
  return await ask<T>(`http://${address}:3001${path}`, {
    ...options,
    headers: { host: `${slot}.${DOMAIN}`, ...options.headers },
  });
}

let gateway: string | undefined;
async function gatewayAddress(): Promise<string> {
  gateway ??= (await get<{ spec: { clusterIP: string } }>('service', `${RELEASE}-gateway`)).spec.clusterIP;
  return gateway;
}

/** Runs a command in a sandbox as its agent would, through the gateway; answers what it printed. */
export async function shell(name: string, line: string): Promise<string> {
  const slot = (await sandbox(name)).status?.slot ?? '';
  const key = await keyOf(name);
  const answer = await until('the agent server through the gateway', async () => {
    const said = await viaGateway<{ stdout: string | null; stderr: string | null }>(
      slot,
      '/api/bash/execute_bash_command',
      {
        method: 'POST',
        headers: { 'x-session-api-key': key },
        body: { command: line, cwd: '/workspace', timeout: 60 },
      },
    );
    if (said.status !== 200) throw new Error(`${said.status} ${said.text.slice(0, 300)}`);
    return said;
  });
  return `${answer.body.stdout ?? ''}${answer.body.stderr ?? ''}`;
}

/** `kubectl port-forward`, until the answer is called. */
export async function forward(target: string, port: number): Promise<() => void> {
  const child = spawn('kubectl', ['-n', NAMESPACE, 'port-forward', target, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`port-forward of ${target} ended with ${code}`)));
  });
  return () => void child.kill();
}

export async function poolFull(): Promise<void> {
  await until(
    'a warm pod',
    async () =>
      ((await get<{ status?: { readyReplicas?: number } }>('sandboxpool', 'default')).status?.readyReplicas ?? 0) >= 1,
    120_000,
  );
}
