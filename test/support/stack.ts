/** The real thing for suites: `sandlot up` in a process of its own, on free ports, in a data folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../process/root.js';

export interface Stack {
  data: string;
  kubeconfig: string;
  /** Base of the API server and UI. */
  api: string;
  gatewayPort: number;
  pid: number;
  /** Everything that it printed. */
  output(): string;
  /** Ctrl-C; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** kill -9 of `sandlot up` itself. */
  kill(): Promise<void>;
}

export interface StackOptions {
  data?: string;
  ports?: [ui: number, gateway: number, kube: number];
  env?: NodeJS.ProcessEnv;
}

export const READY_MS = 60_000;

export async function newDataFolder(): Promise<string> {
  return await mkdtemp(join(tmpdir(), 'sandlot-e2e-'));
}

/** Resolves when the stack has said where its UI is; rejects with its output when it ends before. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const data = options.data ?? (await newDataFolder());
  const ports = options.ports ?? (await freePorts());
  const [ui, gateway, kube] = ports;
  const child = spawn(
    process.execPath,
    [
      'bin/sandlot.js',
      'up',
      '--data',
      data,
      '--port',
      `${ui}`,
      '--gateway-port',
      `${gateway}`,
      '--kube-port',
      `${kube}`,
    ],
    { cwd: packageRoot(), stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } },
  );
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  await announced(child, () => output, `localhost:${ui}`);
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return {
    data,
    kubeconfig: join(data, 'kubeconfig'),
    api: `http://localhost:${ui}`,
    gatewayPort: gateway,
    pid: child.pid ?? 0,
    output: () => output,
    stop: () => {
      child.kill('SIGINT');
      return exited;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

function announced(child: ChildProcess, output: () => string, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const give = (error?: Error) => {
      clearInterval(poll);
      clearTimeout(limit);
      child.off('exit', ended);
      if (error === undefined) resolve();
      else reject(error);
    };
    const ended = (code: number | null) => give(new Error(`sandlot up ended with ${code}:\n${output()}`));
    const limit = setTimeout(() => give(new Error(`sandlot up said nothing of ${address}:\n${output()}`)), READY_MS);
    const poll = setInterval(() => {
      if (output().includes(address)) give();
    }, 20);
    child.once('exit', ended);
  });
}

/** Three different free ports; held together while they are chosen. */
export async function freePorts(): Promise<[number, number, number]> {
  const servers = [createServer(), createServer(), createServer()];
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return [ports[0] ?? 0, ports[1] ?? 0, ports[2] ?? 0];
}

export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/** Polls until `look` gives something; the error says what was waited for and what was seen last. */
export async function until<T>(what: string, look: () => Promise<T | undefined | false>, ms = 30_000): Promise<T> {
  const end = Date.now() + ms;
  let last: unknown;
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      last = found;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(
    `waited ${ms} ms for ${what}; last seen: ${last instanceof Error ? last.message : JSON.stringify(last)}`,
  );
}
