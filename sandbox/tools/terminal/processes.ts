/**
 * The processes that a terminal started, and the ports that they listen on, read from /proc. Where there is no
 * /proc (macOS), ports are unknown and only the shell's process group is ended.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Name of the variable that marks every process of a terminal, also those that left its session. */
export const TERMINAL_MARK = 'TOOL_TERMINAL';

async function pids(): Promise<number[]> {
  try {
    return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  } catch {
    return [];
  }
}

async function belongs(pid: number, leader: number, mark: string): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    const session = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
    if (session === leader) return true;
    return (await readFile(`/proc/${pid}/environ`, 'latin1')).split('\0').includes(`${TERMINAL_MARK}=${mark}`);
  } catch {
    return false;
  }
}

/** Every process of the terminal: its session, and whatever carries its mark. */
export async function processesOf(leader: number, mark: string): Promise<number[]> {
  const all = (await pids()).filter((pid) => pid !== process.pid);
  const mine = await Promise.all(all.map((pid) => belongs(pid, leader, mark)));
  return all.filter((_, index) => mine[index]);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}

async function endGroup(leader: number): Promise<void> {
  signal(-leader, 'SIGHUP');
  await sleep(200);
  signal(-leader, 'SIGKILL');
}

/** Ends the terminal's processes: asks first, then kills. Bounded in time. */
export async function endProcesses(leader: number, mark: string): Promise<void> {
  if (!existsSync('/proc/self')) return endGroup(leader);
  const ask = await processesOf(leader, mark);
  for (const pid of ask) signal(pid, pid === leader ? 'SIGHUP' : 'SIGTERM');
  for (let round = 0; round < 10; round++) {
    await sleep(50);
    if ((await processesOf(leader, mark)).length === 0) return;
  }
  for (const pid of await processesOf(leader, mark)) signal(pid, 'SIGKILL');
}

const LISTEN = '0A';

async function listeningSockets(): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').slice(1);
    for (const line of lines) {
      const fields = line.trim().split(/\s+/);
      const port = Number.parseInt(fields[1]?.split(':')[1] ?? '', 16);
      if (fields[3] === LISTEN && fields[9] !== undefined && port > 0) found.set(fields[9], port);
    }
  }
  return found;
}

async function socketsOf(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}

/** TCP ports that the terminal's processes listen on, ascending. */
export async function listeningPorts(leader: number, mark: string): Promise<number[]> {
  const sockets = await listeningSockets();
  if (sockets.size === 0) return [];
  const owned = await Promise.all((await processesOf(leader, mark)).map(socketsOf));
  const ports = owned.flat().flatMap((inode) => sockets.get(inode) ?? []);
  return [...new Set(ports)].sort((a, b) => a - b);
}
