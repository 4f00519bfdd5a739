/**
 * All objects, in memory, behind a log of changes and the disk. Every verb decides and writes in one synchronous step, so
 * two requests never interleave; an answer leaves only after `flushed()`, so nothing is told that a crash could take back.
 */
import { createHistory, type Change } from './history.js';
import type { Disk, Loaded } from './disk.js';
import { keyFor, type Obj } from './object.js';

export interface Store {
  /** The latest resource version. */
  rv(): number;
  get(resource: string, key: string): Obj | undefined;
  /** Sorted by key. */
  list(resource: string): Obj[];
  /** Writes one object (`undefined` deletes) under the next resource version and returns what was kept or last was. */
  put(resource: string, object: Obj): Obj;
  remove(resource: string, object: Obj): Obj;
  flushed(): Promise<void>;
  /** Called after a change is safe, in order. Returns the way to stop. */
  subscribe(listener: (change: Change) => void): () => void;
  /** Safe changes after `rv`; undefined when the window no longer has them. */
  since(rv: number): Change[] | undefined;
  /** The latest resource version that is safe: what a watch may start from. */
  safeRv(): number;
  /** The list at `safeRv`: without changes that are still on their way to the disk. */
  safeList(resource: string): Obj[];
  /** The earliest resource version from which `since` can answer. */
  oldest(): number;
  /** Why nothing can be written any more; undefined while it can. */
  failure(): Error | undefined;
  close(): Promise<void>;
}

interface Bucket {
  objects: Map<string, Obj>;
  sorted: Obj[] | undefined;
}

export const HISTORY_SIZE = 5000;

export function createStore(loaded: Loaded, historySize = HISTORY_SIZE): Store {
  const buckets = new Map<string, Bucket>();
  const bucket = (resource: string): Bucket => {
    const found = buckets.get(resource) ?? { objects: new Map<string, Obj>(), sorted: undefined };
    buckets.set(resource, found);
    return found;
  };
  for (const [path, object] of loaded.objects) {
    const resource = path.split('/').slice(0, 2).join('/');
    bucket(resource).objects.set(keyFor(object.metadata), object);
  }
  // Never 0: clients take resource version 0 for "any".
  const log = createLog(Math.max(loaded.rv, 1), loaded.disk, historySize);
  const change = (resource: string, object: Obj, type: 'put' | 'remove'): Obj => {
    const key = keyFor(object.metadata);
    const { objects } = bucket(resource);
    const old = objects.get(key);
    const kept = log.append(resource, key, object, { type, old });
    if (type === 'put') objects.set(key, kept);
    else objects.delete(key);
    bucket(resource).sorted = undefined;
    return kept;
  };
  return {
    rv: log.rv,
    safeRv: log.safeRv,
    get: (resource, key) => buckets.get(resource)?.objects.get(key),
    list(resource) {
      const of = bucket(resource);
      of.sorted ??= [...of.objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
      return of.sorted;
    },
    put: (resource, object) => change(resource, object, 'put'),
    remove: (resource, object) => change(resource, object, 'remove'),
    safeList(resource) {
      const pending = log.pending().filter((one) => one.resource === resource);
      if (pending.length === 0) return this.list(resource);
      const objects = new Map(bucket(resource).objects);
      for (const { object, old } of pending.reverse()) {
        if (old === undefined) objects.delete(keyFor(object.metadata));
        else objects.set(keyFor(object.metadata), old);
      }
      return [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    },
    oldest: log.oldest,
    flushed: loaded.disk.flushed,
    subscribe: log.subscribe,
    since: log.since,
    failure: loaded.disk.failure,
    close: loaded.disk.close,
  };
}

function createLog(start: number, disk: Disk, historySize: number) {
  let rv = start;
  let safe = start;
  const history = createHistory(start, historySize);
  const listeners = new Set<(change: Change) => void>();
  let pending: Change[] = [];
  const publish = (upTo: number): void => {
    const ready = pending.filter((change) => change.rv <= upTo);
    pending = pending.filter((change) => change.rv > upTo);
    for (const change of ready) {
      safe = change.rv;
      history.push(change);
      for (const listener of [...listeners]) listener(change);
    }
  };
  return {
    rv: () => rv,
    safeRv: () => safe,
    pending: () => [...pending],
    oldest: () => history.oldest(),
    since: (from: number) => history.since(from),
    subscribe(listener: (change: Change) => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    append(resource: string, key: string, object: Obj, how: { type: 'put' | 'remove'; old: Obj | undefined }): Obj {
      rv += 1;
      const mine = rv;
      const kept: Obj = { ...object, metadata: { ...object.metadata, resourceVersion: String(mine) } };
      const type = how.type === 'remove' ? 'DELETED' : how.old === undefined ? 'ADDED' : 'MODIFIED';
      pending.push({ rv: mine, resource, type, object: kept, ...(how.old === undefined ? {} : { old: how.old }) });
      disk.write(`${resource}/${key}`, how.type === 'put' ? kept : undefined, mine);
      // A failed disk fails every answer by itself; here only the news are held back.
      disk.flushed().then(
        () => publish(mine),
        () => undefined,
      );
      return kept;
    },
  };
}
