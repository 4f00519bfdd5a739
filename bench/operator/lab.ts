/** The laboratory: a real control plane, simulated kubelets and operators, all in one network namespace of their own. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { SANDBOX, SANDBOX_POOL, SANDBOX_TEMPLATE } from '../../contracts/resources.js';
import { createClient, loadKubeConfig, type KubeClient } from '../../kube/client.js';
import { CUSTOM_RESOURCE_DEFINITION, type CustomResourceDefinition } from '../../kube/kinds.js';
import { createVacantLease } from '../../kube/lease.js';
import { leaseName, WHOLE } from '../../operator/shard.js';
import { packageRoot } from '../../process/root.js';
import { until } from '../../test/support/stack.js';
import { readMetrics, type Metrics } from './metrics.js';

const run = promisify(execFile);
const OUTPUT_LIMIT = 64 * 1024 * 1024;
const NODES = '10';
const KINDS = [SANDBOX, SANDBOX_TEMPLATE, SANDBOX_POOL];

export interface Lab {
  client: KubeClient;
  /** Runs kubebench to its end and answers what it printed. */
  kubebench(...args: string[]): Promise<string>;
  /** A manifest as a file, for kubebench. */
  file(name: string, text: string): Promise<string>;
  auditLog: string;
  startOperator(): Promise<OperatorProcess>;
  /** Programs of the control plane by name. */
  plane: Record<'API server' | 'controller manager', Usage>;
  /** The peer that does only what a claim cannot do without (bare.ts), with a pool of this size. */
  startBare(pool: number): Usage;
  close(): Promise<void>;
}

export interface Usage {
  /** MiB that are resident now, and seconds of CPU used so far. */
  usage(): { rssMiB: number; cpuSeconds: number };
}

export interface OperatorProcess extends Usage {
  pid: number;
  metrics(): Promise<Metrics>;
  /** /readyz answers 200. */
  ready(): Promise<boolean>;
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

export async function startLab(): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), 'sandlot-bench-'));
  const plane = join(folder, 'plane');
  const script = join(packageRoot(), 'test/kube/control-plane');
  const { stdout } = await run(script, ['up', plane, '--audit'], { maxBuffer: OUTPUT_LIMIT });
  const kubeconfig = stdout.trim().split('\n').at(-1) ?? '';
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  const client = createClient(loadKubeConfig(env), { userAgent: 'bench' });
  await installDefinitions(client);
  await createVacantLease(client, { namespace: 'default', name: leaseName(WHOLE) });
  const binary = join(
    process.env.KUBE_BIN ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'sandlot-kube'),
    'kubebench',
  );
  const children: ChildProcess[] = [];
  const start = (command: string, args: string[], more: NodeJS.ProcessEnv, log: string): ChildProcess => {
    const output = openSync(join(folder, log), 'a');
    const child = spawn(command, args, { env: { ...env, ...more }, stdio: ['ignore', output, output] });
    children.push(child);
    return child;
  };
  start(binary, ['nodes', '-n', NODES], {}, 'nodes.log');
  const secret = randomBytes(32).toString('hex');
  let operators = 0;
  return {
    client,
    auditLog: join(plane, 'log', 'audit.log'),
    async kubebench(...args) {
      return (await run(binary, args, { env, maxBuffer: OUTPUT_LIMIT })).stdout;
    },
    async file(name, text) {
      const path = join(folder, name);
      await writeFile(path, text);
      return path;
    },
    async startOperator() {
      const port = 9_100 + ++operators;
      const child = start(
        process.execPath,
        // What was given to this program, --cpu-prof for instance, is for the operators too.
        [...process.execArgv, join(packageRoot(), 'bin/sandlot.js'), 'operator'],
        { SANDLOT_SECRET: secret, SANDLOT_HEALTH_PORT: String(port), POD_NAME: `operator-${operators}` },
        `operator-${operators}.log`,
      );
      return operatorProcess(child, port);
    },
    plane: {
      'API server': { usage: usageOf(pidIn(plane, 'kube-apiserver')) },
      'controller manager': { usage: usageOf(pidIn(plane, 'kube-controller-manager')) },
    },
    startBare(pool) {
      const program = join(packageRoot(), 'dist/bench/operator/bare.js');
      return { usage: usageOf(start(process.execPath, [program, String(pool)], {}, 'bare.log').pid ?? 0) };
    },
    async close() {
      for (const child of children) child.kill('SIGKILL');
      await client.close();
      await run(script, ['down', plane]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function installDefinitions(client: KubeClient): Promise<void> {
  for (const { plural } of KINDS) {
    const text = readFileSync(join(packageRoot(), 'crds', `${plural}.yaml`), 'utf8');
    await client.create(CUSTOM_RESOURCE_DEFINITION, parse(text) as CustomResourceDefinition);
  }
  for (const kind of KINDS)
    await until(`${kind.plural} to be served`, () => client.list(kind, { namespace: 'default', limit: 1 }));
}

function operatorProcess(child: ChildProcess, port: number): OperatorProcess {
  const pid = child.pid ?? 0;
  const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
  return {
    pid,
    metrics: async () => readMetrics(await (await get('/metrics')).text()),
    ready: () =>
      get('/readyz').then(
        ({ ok }) => ok,
        () => false,
      ),
    usage: usageOf(pid),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill(signal);
      await Promise.race([exited, sleep(20_000)]);
      child.kill('SIGKILL');
    },
  };
}

const pidIn = (plane: string, name: string): number => Number(readFileSync(join(plane, 'pid', name), 'utf8'));

const TICKS_PER_SECOND = 100;

const usageOf = (pid: number) => (): { rssMiB: number; cpuSeconds: number } => {
  const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(11, 13) ?? [];
  return { rssMiB: Number(rss) / 1024, cpuSeconds: (Number(user) + Number(system)) / TICKS_PER_SECOND };
};
