/** Processes of this machine as the node must know them: who belongs to a pod, and ending all of them. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

export interface ProcessInfo {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** Tells a process from a later one with the same pid: clock ticks since boot (Linux), start date (elsewhere). */
  started: string;
}

/**
 * The variable that marks every process of a pod: `<cluster>/<pod uid>/<container>/<run>`. Children inherit it, also those
 * that leave their group and session. Not caught: a process that clears its environment AND leaves the session AND loses its
 * parent; and, without /proc (macOS), every one that leaves the session and loses its parent.
 */
export const MARK = 'K8S_PROCESS_POD';

const linux = process.platform === 'linux';

/** All processes that this user may see. */
export async function listProcesses(): Promise<ProcessInfo[]> {
  return linux ? await fromProc() : await fromPs();
}

async function fromProc(): Promise<ProcessInfo[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const infos = await Promise.all(names.map((name) => statOf(name)));
  return infos.filter((info) => info !== undefined);
}

async function statOf(pid: string): Promise<ProcessInfo | undefined> {
  try {
    return parseStat(await readFile(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    // It ended meanwhile.
    return undefined;
  }
}

/** proc(5) stat: `pid (name) state ppid pgrp session … starttime(22)`; the name may hold blanks and brackets. Zombies are none. */
export function parseStat(text: string): ProcessInfo | undefined {
  const close = text.lastIndexOf(')');
  const fields = text.slice(close + 2).split(' ');
  const [state, parent, group, session] = fields;
  if (close === -1 || state === 'Z' || state === 'X') return undefined;
  return {
    pid: Number.parseInt(text, 10),
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    started: fields[19] ?? '',
  };
}

async function fromPs(): Promise<ProcessInfo[]> {
  const { stdout } = await promisify(execFile)('ps', ['-axo', 'pid=,ppid=,pgid=,sess=,lstart='], {
    maxBuffer: 1 << 24,
  });
  return stdout.split('\n').flatMap((line) => {
    const parts = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line);
    if (parts === null) return [];
    const [, pid, parent, group, , started] = parts;
    return [
      {
        pid: Number(pid),
        parent: Number(parent),
        group: Number(group),
        session: Number(group),
        started: started ?? '',
      },
    ];
  });
}

/** The mark of a process; undefined where it has none, or where it cannot be read. */
async function markOf(pid: number): Promise<string | undefined> {
  if (!linux) return undefined;
  try {
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1');
    const at = environment.startsWith(`${MARK}=`) ? 0 : environment.indexOf(`\0${MARK}=`) + 1;
    if (at === 0 && !environment.startsWith(`${MARK}=`)) return undefined;
    return environment.slice(at + MARK.length + 1).split('\0', 1)[0];
  } catch {
    return undefined;
  }
}

/** Whose processes: everything whose mark starts so, and the known leaders with all that they started. */
export interface Belonging {
  markPrefix: string;
  /** Pids of group leaders that the node started itself. */
  leaders: readonly number[];
}

/** Members by mark, by process group or session of a leader, and children of members. Never this process itself. */
export async function membersOf({ markPrefix, leaders }: Belonging): Promise<ProcessInfo[]> {
  const all = await listProcesses();
  const marks = new Map(await Promise.all(all.map(async ({ pid }) => [pid, await markOf(pid)] as const)));
  const led = new Set(leaders);
  const member = new Set(
    all
      .filter(
        ({ pid, group, session }) =>
          led.has(pid) || led.has(group) || led.has(session) || marks.get(pid)?.startsWith(markPrefix) === true,
      )
      .map(({ pid }) => pid),
  );
  for (let grew = true; grew;) {
    const before = member.size;
    // A child with another pod's mark belongs there: an exec session of the node itself never adopts.
    for (const { pid, parent } of all)
      if (member.has(parent) && (marks.get(pid)?.startsWith(markPrefix) ?? true)) member.add(pid);
    grew = member.size > before;
  }
  return all.filter(({ pid }) => member.has(pid) && pid !== process.pid);
}

export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    // Gone, or never ours.
    return false;
  }
}

const ROUNDS = 40;
const ROUND_MS = 25;

/** SIGKILL to every member until none is left. Answers the pids that would not go (processes in uninterruptible sleep). */
export async function killAll(belonging: Belonging, sleep: (ms: number) => Promise<void>): Promise<number[]> {
  let left: ProcessInfo[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    left = await membersOf(belonging);
    if (left.length === 0) return [];
    for (const { pid } of left) signal(pid, 'SIGKILL');
    await sleep(ROUND_MS);
  }
  return left.map(({ pid }) => pid);
}
