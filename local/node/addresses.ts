/**
 * Pod addresses. On Linux all of 127.0.0.0/8 is this machine, so each pod gets an address of its own and pods do not meet on
 * a port. Each cluster on the machine takes one /16 of it, held by an abstract socket that dies with the process.
 */
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:net';

export interface Addresses {
  /** The address of this pod: the one it had (`preferred`) when that is free, else a new one. Undefined when none is left. */
  take(uid: string, preferred?: string): string | undefined;
  release(uid: string): void;
  close(): void;
}

const FIRST = 2;
const LAST = 250;

/** Elsewhere only 127.0.0.1 exists: all pods share it. */
export function sharedAddress(): Addresses {
  return { take: () => '127.0.0.1', release: () => undefined, close: () => undefined };
}

/** Takes a /16 for this cluster; `seed` (its data folder) decides where it looks first, so that addresses stay the same. */
export async function ownAddresses(seed: string): Promise<Addresses> {
  const span = LAST - FIRST + 1;
  const start = createHash('sha256').update(seed).digest().readUInt32BE(0) % span;
  for (let step = 0; step < span; step++) {
    const octet = FIRST + ((start + step) % span);
    const lock = await claimOctet(octet);
    if (lock !== undefined) return { ...createPool(octet), close: () => void lock.close() };
  }
  throw new Error('all loopback ranges of this machine are in use by other one-machine clusters');
}

function claimOctet(octet: number): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen({ path: `\0sandlot-127.${octet}` }, () => resolve(server));
  });
}

/** Addresses of 127.<octet>.0.0/16, handed out in a circle so that a freed one is not met again soon. */
export function createPool(octet: number): Omit<Addresses, 'close'> {
  const byUid = new Map<string, string>();
  const taken = new Set<string>();
  const count = 256 * 254;
  let next = 0;
  const at = (index: number): string => `127.${octet}.${Math.floor(index / 254)}.${(index % 254) + 1}`;
  const give = (uid: string, address: string): string => {
    byUid.set(uid, address);
    taken.add(address);
    return address;
  };
  return {
    take(uid, preferred) {
      const had = byUid.get(uid);
      if (had !== undefined) return had;
      if (preferred?.startsWith(`127.${octet}.`) === true && !taken.has(preferred)) return give(uid, preferred);
      for (let tries = 0; tries < count; tries++) {
        const address = at(next++ % count);
        if (!taken.has(address)) return give(uid, address);
      }
      return undefined;
    },
    release(uid) {
      const address = byUid.get(uid);
      if (address === undefined) return;
      byUid.delete(uid);
      taken.delete(address);
    },
  };
}
