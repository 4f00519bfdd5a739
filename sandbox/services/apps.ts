/** Which apps listen in the pod: its socket table, narrowed to processes that this server may look at. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { ListeningApp } from '../../contracts/agent/apps.js';
import { POD_MARK, type ServerConfig } from '../config.js';
import type { Titles } from './titles.js';

interface Socket {
  address: string;
  port: number;
  inode: string;
}

const LISTEN = '0A';
const MAX_PROCESSES = 2000;

/**
 * Listening TCP ports of this pod, lowest first, without the server's own and VS Code's. Where several pods share a
 * machine's socket table, only sockets of this server's descendants count. A list of files is no app yet. Empty where
 * there is no /proc.
 */
export async function listApps(config: ServerConfig, titles: Titles): Promise<ListeningApp[]> {
  const apps = await findApps(config);
  const pages = await Promise.all(apps.map((app) => titles.of(app)));
  return apps.flatMap((app, at) =>
    pages[at]?.isListing === true ? [] : [{ ...app, title: pages[at]?.title ?? null }],
  );
}

type FoundApp = Omit<ListeningApp, 'title'>;

/** Listening sockets of this pod's own processes, without their titles. */
export async function findApps(config: ServerConfig, proc = '/proc', self = process.pid): Promise<FoundApp[]> {
  const sockets = await listening(proc);
  if (sockets.length === 0) return [];
  const owners = await socketOwners(proc, await processesOf(config, proc, self));
  const hidden = new Set([config.port, config.vscode.port]);
  const apps = new Map<number, FoundApp>();
  for (const socket of sockets) {
    const owner = owners.get(socket.inode);
    if (owner === undefined || hidden.has(socket.port) || apps.has(socket.port)) continue;
    apps.set(socket.port, { port: socket.port, address: socket.address, pid: owner.pid, process: owner.name });
  }
  return [...apps.values()].sort((a, b) => a.port - b.port);
}

async function listening(proc: string): Promise<Socket[]> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`${proc}/net/${name}`, 'utf8').catch(() => '')),
  );
  return tables.flatMap(parseTable);
}

/** Listening sockets of a `/proc/net/tcp` table. */
export function parseTable(table: string): Socket[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      if (fields[3] !== LISTEN) return [];
      const [address = '', port = ''] = (fields[1] ?? '').split(':');
      return [{ address: addressOf(address), port: parseInt(port, 16), inode: fields[9] ?? '' }];
    });
}

function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => (word.match(/../g) ?? []).reverse().map((byte) => parseInt(byte, 16)));
  if (bytes.length === 4) return bytes.join('.');
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255;
  if (mapped) return bytes.slice(12).join('.');
  return bytes.every((byte) => byte === 0) ? '::' : bytes.slice(0, 15).every((byte) => byte === 0) ? '::1' : hex;
}

/** Processes that this server started, directly or not; those that lost their parents carry its mark. */
async function processesOf(config: ServerConfig, proc: string, self: number): Promise<number[]> {
  const names = await readdir(proc).catch(() => []);
  const pids = names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .slice(0, MAX_PROCESSES);
  const parents = new Map(await Promise.all(pids.map(async (pid) => [pid, await parentOf(proc, pid)] as const)));
  const mark = `${POD_MARK}=${config.commandEnv[POD_MARK] ?? ''}`;
  const mine = await Promise.all(
    pids.map(async (pid) => pid !== self && (descends(parents, pid, self) || (await carries(proc, pid, mark)))),
  );
  return pids.filter((_pid, at) => mine[at]);
}

async function parentOf(proc: string, pid: number): Promise<number> {
  const text = await readFile(`${proc}/${pid}/stat`, 'utf8').catch(() => '');
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
}

function descends(parents: Map<number, number>, pid: number, ancestor: number): boolean {
  for (let step = pid, depth = 0; step > 1 && depth < 100; step = parents.get(step) ?? 0, depth++)
    if (step === ancestor) return true;
  return false;
}

const carries = async (proc: string, pid: number, mark: string): Promise<boolean> =>
  (await readFile(`${proc}/${pid}/environ`, 'latin1').catch(() => '')).split('\0').includes(mark);

async function socketOwners(proc: string, pids: number[]): Promise<Map<string, { pid: number; name: string | null }>> {
  const owners = new Map<string, { pid: number; name: string | null }>();
  for (const pid of pids) {
    const folder = `${proc}/${pid}/fd`;
    const links = await Promise.all(
      (await readdir(folder).catch(() => [])).map((fd) => readlink(`${folder}/${fd}`).catch(() => '')),
    );
    const inodes = links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]).filter((inode) => inode !== undefined);
    if (inodes.length === 0) continue;
    const name = (await readFile(`${proc}/${pid}/comm`, 'utf8').catch(() => '')).trim() || null;
    for (const inode of inodes) if (!owners.has(inode)) owners.set(inode, { pid, name });
  }
  return owners;
}
