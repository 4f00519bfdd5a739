/** The data folder: LevelDB with synced writes, many waiting writers sharing one sync (group commit). */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import type { Obj } from './object.js';

export interface Disk {
  /** Queues a write; a missing object deletes the key. */
  write(key: string, object: Obj | undefined, rv: number): void;
  /** Resolves when everything written so far is safe; rejects for good once a write failed. */
  flushed(): Promise<void>;
  /** Why nothing can be written any more; undefined while it can. */
  failure(): Error | undefined;
  close(): Promise<void>;
}

/** The folder cannot be used; the message tells a person what to do. */
export class DataFolderError extends Error {}

const RV_KEY = 'meta/rv';
const MARK = 'meta/format';
const FORMAT = '1';

type Database = ClassicLevel<string, string>;
type Operation = { type: 'put'; key: string; value: string } | { type: 'del'; key: string };

export interface Loaded {
  disk: Disk;
  rv: number;
  /** Key → object, in the order of the keys. */
  objects: Map<string, Obj>;
}

/** Opens or makes the folder and reads all of it. Throws DataFolderError when it is in use, damaged or someone else's. */
export async function openDisk(folder: string): Promise<Loaded> {
  const database = await openDatabase(folder);
  const objects = new Map<string, Obj>();
  try {
    const format = await database.get(MARK);
    if (format === undefined) await database.batch([{ type: 'put', key: MARK, value: FORMAT }], { sync: true });
    else if (format !== FORMAT)
      throw new DataFolderError(
        `${folder} was written by another version (format ${format}); this one reads ${FORMAT}`,
      );
    for await (const [key, value] of database.iterator({ gte: 'o/', lt: 'o0' }))
      objects.set(key.slice(2), JSON.parse(value) as Obj);
    const rv = Number((await database.get(RV_KEY)) ?? '0');
    return { disk: createDisk(database), rv, objects };
  } catch (error) {
    await database.close();
    if (error instanceof DataFolderError) throw error;
    throw new DataFolderError(`${folder} is damaged (${String(error)}). Move it away to start empty`, { cause: error });
  }
}

async function openDatabase(folder: string): Promise<Database> {
  const fresh = !existsSync(join(folder, 'CURRENT'));
  if (
    fresh &&
    existsSync(folder) &&
    readdirSync(folder).some((name) => !/^(LOCK|LOG|LOG\.old|[0-9]+\.(log|dbtmp)|MANIFEST-.*)$/.test(name))
  )
    throw new DataFolderError(
      `${folder} is not empty and is no data folder of the one-machine cluster; choose another`,
    );
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const database: Database = new ClassicLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
    await database.open();
    return database;
  } catch (error) {
    throw new DataFolderError(explain(folder, error), { cause: error });
  }
}

function explain(folder: string, error: unknown): string {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  if (cause?.code === 'LEVEL_LOCKED')
    return `${folder} is in use by another process; stop that one, or choose another folder`;
  const why = cause?.message ?? String(error);
  if (cause?.code === 'LEVEL_CORRUPTION' || /corrupt/i.test(why))
    return `${folder} is damaged or half-written (${why}). Move it away to start empty`;
  return `${folder} cannot be opened: ${why}`;
}

interface Batch {
  operations: Operation[];
  rv: number;
  done: Promise<void>;
  finish(error?: Error): void;
}

function newBatch(): Batch {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const done = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Whoever waits sees the failure; a batch that nobody waits for must not end the process.
  done.catch(() => undefined);
  return { operations: [], rv: 0, done, finish: (error) => (error === undefined ? resolve() : reject(error)) };
}

function createDisk(database: Database): Disk {
  let current: Batch | undefined;
  let next: Batch | undefined;
  let failure: Error | undefined;
  const run = async (): Promise<void> => {
    while (next !== undefined) {
      current = next;
      next = undefined;
      current.operations.push({ type: 'put', key: RV_KEY, value: String(current.rv) });
      try {
        if (failure === undefined) await database.batch(current.operations, { sync: true });
      } catch (error) {
        failure = new Error('the data folder cannot be written any more', { cause: error });
      }
      current.finish(failure);
    }
    current = undefined;
  };
  return {
    write(key, object, rv) {
      const idle = current === undefined && next === undefined;
      next ??= newBatch();
      next.rv = rv;
      next.operations.push(
        object === undefined
          ? { type: 'del', key: `o/${key}` }
          : { type: 'put', key: `o/${key}`, value: JSON.stringify(object) },
      );
      // The next microtask, so that writes of one moment share a sync.
      if (idle) void Promise.resolve().then(run);
    },
    failure: () => failure,
    async flushed() {
      await (next ?? current)?.done;
      if (failure !== undefined) throw failure;
    },
    async close() {
      await (next ?? current)?.done.catch(() => undefined);
      await database.close();
    },
  };
}
