/** The API server as a process of its own, for suites that kill it. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SECRET } from './api-rig.js';
import { execArgv, extension, type Cluster } from './cluster.js';

export interface ApiProcess {
  base: string;
  pid: number;
  /** The port of /metrics and /readyz. */
  healthPort: number;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  output(): string;
}

export interface ApiProcessOptions {
  cluster: Pick<Cluster, 'kubeconfig' | 'namespace'>;
  databaseUrl: string;
  port?: number;
  env?: NodeJS.ProcessEnv;
}

/** Resolves when it is ready; rejects with its output when it ends before. */
export async function startApi({ cluster, databaseUrl, port = 0, env = {} }: ApiProcessOptions): Promise<ApiProcess> {
  const program = fileURLToPath(new URL(`./api-main.${extension}`, import.meta.url));
  const child = fork(program, [], {
    execArgv,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      ...process.env,
      KUBECONFIG: cluster.kubeconfig,
      SANDLOT_NAMESPACE: cluster.namespace,
      SANDLOT_SECRET: SECRET,
      SANDLOT_IDENTITY: 'single-user',
      SANDLOT_PORT: String(port),
      DATABASE_URL: databaseUrl,
      ...env,
    },
  });
  let output = '';
  child.stdout?.on('data', (chunk) => (output += String(chunk)));
  child.stderr?.on('data', (chunk) => (output += String(chunk)));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const said = await announcement(child, () => output);
  const end = (signal: 'SIGKILL' | 'SIGTERM') => {
    child.kill(signal);
    return exited;
  };
  return {
    base: `http://localhost:${said.port}`,
    healthPort: said.healthPort,
    pid: child.pid ?? 0,
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
    output: () => output,
  };
}

interface Announcement {
  port: number;
  healthPort: number;
}

function announcement(child: ChildProcess, output: () => string): Promise<Announcement> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as Announcement));
    child.once('exit', (code) => reject(new Error(`the API server ended with ${code}:\n${output()}`)));
  });
}
