/** What is really on this machine, seen from outside Sandlot. */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { ask, type Answer, type AskOptions } from './client.js';
import type { Stack } from './stack.js';

/** Pids of the processes that mention `needle` in their command line or environment (Linux). */
export function processesOf(needle: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => mentions(`/proc/${pid}/cmdline`, needle) || mentions(`/proc/${pid}/environ`, needle))
    .map(Number);
}

/** Pids of the children of `parent` whose command line mentions `word` (Linux). */
export function childrenOf(parent: number, word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && mentions(`/proc/${name}/cmdline`, word) && parentOf(name) === parent)
    .map(Number);
}

function parentOf(pid: string): number | undefined {
  try {
    // The second field, the program's name in brackets, may hold blanks; the parent is the second after it.
    return Number(
      readFileSync(`/proc/${pid}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ')[1],
    );
  } catch {
    return undefined;
  }
}

function mentions(file: string, needle: string): boolean {
  try {
    return readFileSync(file, 'latin1').includes(needle);
  } catch {
    // The process ended meanwhile, or is not ours to read.
    return false;
  }
}

interface KubeConfigFile {
  clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
  users: { user: { token: string } }[];
}

export interface Listed {
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; ownerReferences?: { name: string }[] };
  status?: Record<string, unknown>;
}

/** A plain HTTP call to the stack's Kubernetes API, with the token of the printed kubeconfig. */
export async function askKube<T>(stack: Stack, path: string, options: AskOptions = {}): Promise<Answer<T>> {
  const config = parse(readFileSync(stack.kubeconfig, 'utf8')) as KubeConfigFile;
  const cluster = config.clusters[0]?.cluster;
  const ca = Buffer.from(cluster?.['certificate-authority-data'] ?? '', 'base64').toString();
  const authorization = `Bearer ${config.users[0]?.user.token ?? ''}`;
  return await ask<T>(`${cluster?.server ?? ''}${path}`, {
    ca,
    ...options,
    headers: { authorization, ...options.headers },
  });
}

export async function listKube(stack: Stack, path: string): Promise<Listed[]> {
  return (await askKube<{ items: Listed[] }>(stack, path)).body.items;
}
