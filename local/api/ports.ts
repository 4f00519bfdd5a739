/**
 * Port numbers for process pods. They share the machine's ports, so the named ports that a program binds on every address
 * get their own number at the pod's creation; everybody resolves ports by name, so only the numbers differ.
 */
import { createServer } from 'node:net';
import { ApiError } from './errors.js';
import { isRecord, list, record, text, type Json, type Obj } from './object.js';

export interface PortRange {
  first: number;
  last: number;
}

/** Below the range from which systems take numbers for outgoing connections (Linux: from 32768). */
export const PORT_RANGE: PortRange = { first: 20000, last: 29999 };

/** Named port → environment variables that tell the program its number. */
const WORKERS: Record<string, string[]> = { 'worker-1': ['WORKER_1'], 'worker-2': ['WORKER_2'] };
/** Where pods have no loopback address of their own, these share 127.0.0.1 as well. */
const OTHERS: Record<string, string[]> = { agent: ['PORT'], vscode: ['OH_VSCODE_PORT'] };

export interface PortBook {
  /** Gives the pod's ports their numbers. Changes the pod. Reserves them until `settle`. */
  assign(pod: Obj): Promise<number[]>;
  /** The pod is kept (its numbers are found there from now on), or was refused. */
  settle(numbers: number[]): void;
}

export interface PortBookOptions {
  range: PortRange;
  /** Whether each pod has its own loopback address; then only ports bound on every address matter. */
  ownAddress: boolean;
  /** Every kept pod. */
  pods(): Obj[];
}

const containers = (pod: Obj): Json[] => list(record(pod['spec'])['containers']).filter(isRecord);
const portsOf = (pod: Obj): Json[] => containers(pod).flatMap((container) => list(container['ports']).filter(isRecord));

export function createPortBook(options: PortBookOptions): PortBook {
  const reserved = new Set<number>();
  const size = options.range.last - options.range.first + 1;
  let next = 0;
  const take = async (): Promise<number> => {
    const used = new Set(options.pods().flatMap((pod) => portsOf(pod).map((port) => Number(port['containerPort']))));
    for (let tries = 0; tries < size; tries += 1) {
      const port = options.range.first + (next++ % size);
      if (used.has(port) || reserved.has(port)) continue;
      reserved.add(port);
      if (await isFree(port)) return port;
      reserved.delete(port);
    }
    throw new ApiError({
      code: 500,
      reason: 'InternalError',
      message: `Internal error occurred: no free port between ${options.range.first} and ${options.range.last} for the pod`,
    });
  };
  const names = options.ownAddress ? WORKERS : { ...WORKERS, ...OTHERS };
  const shared = (name: string): boolean => (options.ownAddress ? name in WORKERS : name !== '');
  return {
    async assign(pod) {
      const taken: number[] = [];
      for (const container of containers(pod))
        for (const port of list(container['ports']).filter(isRecord)) {
          const name = text(port['name']);
          if (!shared(name)) continue;
          const number = await take();
          taken.push(number);
          port['containerPort'] = number;
          for (const variable of names[name] ?? []) setVariable(container, variable, number);
        }
      return taken;
    },
    settle: (numbers) => numbers.forEach((number) => reserved.delete(number)),
  };
}

/** Only variables that the pod declares: a pod without them does not ask for its number. */
function setVariable(container: Json, name: string, port: number): void {
  for (const env of list(container['env']).filter(isRecord)) if (env['name'] === name) env['value'] = String(port);
}

/** Whether nobody listens there now, on any address. */
async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '0.0.0.0', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
