/**
 * Who may write to a conversation's folder: a file that names its owner, renewed while the owner lives. A second server
 * on the same volume (a pod that the cluster has not killed yet) must not write to it.
 */
import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from './record.js';

export const LEASE = 'owner_lease.json';

interface LeaseFile {
  owner: string;
  host: string;
  pid: number;
  /** Milliseconds since 1970. */
  expires: number;
}

export interface LeaseKeeper {
  /** True when the folder is ours now: it was free, its lease ran out, or its owner's process is gone. */
  acquire(folder: string): Promise<boolean>;
  /** Renews; false when somebody else took it. */
  renew(folder: string): Promise<boolean>;
  release(folder: string): Promise<void>;
}

export interface LeaseOptions {
  ttlMs: () => number;
  now: () => number;
  /** True when a process of this host lives. */
  alive?: (pid: number) => boolean;
  host?: string;
  pid?: number;
}

export function createLeaseKeeper(options: LeaseOptions): LeaseKeeper {
  const owner = randomUUID();
  const host = options.host ?? hostname();
  const pid = options.pid ?? process.pid;
  const alive = options.alive ?? processLives;
  const write = (folder: string) => {
    const lease: LeaseFile = { owner, host, pid, expires: options.now() + options.ttlMs() };
    return writeFileAtomic(join(folder, LEASE), JSON.stringify(lease), { durable: false });
  };
  /** One that ends later than any lease could was written before a clock was set back. */
  const runs = ({ expires }: LeaseFile) => expires > options.now() && expires <= options.now() + 2 * options.ttlMs();
  /** A process id means something on its own host only; our own pid under another owner is a predecessor's. */
  const holds = (lease: LeaseFile) =>
    lease.host === host ? lease.pid !== pid && alive(lease.pid) && runs(lease) : runs(lease);
  return {
    async acquire(folder) {
      const lease = await read(folder);
      if (lease !== undefined && lease.owner !== owner && holds(lease)) return false;
      await write(folder);
      return (await read(folder))?.owner === owner;
    },
    async renew(folder) {
      const lease = await read(folder);
      if (lease !== undefined && lease.owner !== owner) return false;
      await write(folder);
      return true;
    },
    async release(folder) {
      if ((await read(folder))?.owner === owner) await rm(join(folder, LEASE), { force: true });
    },
  };
}

async function read(folder: string): Promise<LeaseFile | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, LEASE), 'utf8')) as LeaseFile;
  } catch {
    // Missing or unreadable: nobody holds it.
    return undefined;
  }
}

function processLives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
