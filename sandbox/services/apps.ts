/** Which apps listen in the pod: its socket table, narrowed to processes that this server may look at. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { ListeningApp } from '../../contracts/agent/apps.js';
import type { ServerConfig } from '../config.js';
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
 * machine's socket table, only sockets of this server's descendants count. Empty where there is no /proc.
 */
export async function listApps(config: ServerConfig, titles: Titles): Promise<ListeningApp[]> {
  const apps = await findApps(config);
  return Promise.all(apps.map(async (app) => ({ ...app, title: await titles.of(app) })));
}

type FoundApp = Omit<ListeningApp, 'title'>;

async function findApps(config: ServerConfig, proc = '/proc', self = process.pid): Promise<FoundApp[]> {
  const sockets = await listening(proc);
  if (sockets.length === 0) return [];
  const owners = await socketOwners(proc, await descendants(proc, self));
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

/** Processes that this one started, directly or not; a pod of its own has process 1, and then all of them count. */
async function descendants(proc: string, self: number): Promise<number[]> {
  const pids = (await readdir(proc).catch(() => []))
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .slice(0, MAX_PROCESSES);
  const parents = new Map<number, number>();
  const sessions = new Map<number, number>();
  await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`${proc}/${pid}/stat`, 'utf8').catch(() => '');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      parents.set(pid, Number(fields[1]));
      sessions.set(pid, Number(fields[3]));
    }),
  );
  const marks = await Promise.all(pids.map((pid) => markOf(proc, pid)));
  const mine = await markOf(proc, self);
  return pids.filter((pid, at) => {
    if (pid === self) return false;
    for (let step = pid, depth = 0; step > 1 && depth < 100; step = parents.get(step) ?? 0, depth++)
      if (step === self) return true;
    // A process that outlived its parent belongs to process 1 now; it still carries the pod's mark.
    return mine !== undefined && marks[at] === mine;
  });
}

/** A word in the environment that only processes of this pod have. */
async function markOf(proc: string, pid: number): Promise<string | undefined> {
  const text = await readFile(`${proc}/${pid}/environ`, 'latin1').catch(() => '');
  return text.split('\0').find((entry) => entry.startsWith('SANDLOT_POD='));
}

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
