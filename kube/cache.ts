import type { KubeObject } from './types.js';

/** `namespace/name`, or `name` for objects without a namespace. */
export function keyOf(object: { metadata: { namespace?: string | undefined; name: string } }): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** The reverse of `keyOf`. */
export function refOf(key: string): { namespace?: string; name: string } {
  const slash = key.indexOf('/');
  return slash === -1 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export interface Cache<T extends KubeObject, Index extends string = string> {
  get(key: string): T | undefined;
  list(): T[];
  /** Objects whose index function answered `value`; O(matches). */
  by(index: Index, value: string): T[];
  /** One of the objects that `by` would answer, the longest unchanged first; does not look further than needed. */
  first(index: Index, value: string, matches?: (object: T) => boolean): T | undefined;
  /** How many objects `by` would answer, without copying. */
  count(index: Index, value: string): number;
  /** The values that an index holds now. */
  values(index: Index): string[];
  /** Answers the object that was replaced. */
  upsert(object: T): T | undefined;
  /** Accepts a key or the object; answers what was removed. */
  remove(target: string | T): T | undefined;
  readonly size: number;
}

export type IndexFunctions<T, Index extends string> = Record<
  Index,
  (object: T) => readonly string[] | string | undefined
>;

/**
 * Objects by key, with secondary indexes kept incrementally. Objects are shared, not copied: treat them as frozen.
 * Bounded by what the server holds, because a reflector removes what the server no longer has.
 */
export function createCache<T extends KubeObject, Index extends string = never>(
  options: { indexes?: IndexFunctions<T, Index> } = {},
): Cache<T, Index> {
  const objects = new Map<string, T>();
  const functions = Object.entries(options.indexes ?? {}) as [Index, IndexFunctions<T, Index>[Index]][];
  const indexes = new Map<Index, Map<string, Map<string, T>>>(functions.map(([name]) => [name, new Map()]));

  const valuesOf = (read: IndexFunctions<T, Index>[Index], object: T): readonly string[] => {
    const values = read(object);
    return values === undefined ? [] : typeof values === 'string' ? [values] : values;
  };
  const bucketOf = (index: Index, value: string): Map<string, T> | undefined => indexes.get(index)?.get(value);

  const unindex = (key: string, object: T): void => {
    for (const [name, read] of functions) {
      const index = indexes.get(name);
      for (const value of valuesOf(read, object)) {
        const bucket = index?.get(value);
        bucket?.delete(key);
        if (bucket?.size === 0) index?.delete(value);
      }
    }
  };
  const enindex = (key: string, object: T): void => {
    for (const [name, read] of functions) {
      const index = indexes.get(name) as Map<string, Map<string, T>>;
      for (const value of valuesOf(read, object)) {
        const bucket = index.get(value);
        if (bucket === undefined) index.set(value, new Map([[key, object]]));
        else bucket.set(key, object);
      }
    }
  };

  return {
    get: (key) => objects.get(key),
    list: () => [...objects.values()],
    by: (index, value) => [...(bucketOf(index, value)?.values() ?? [])],
    first(index, value, matches = () => true) {
      for (const object of bucketOf(index, value)?.values() ?? []) if (matches(object)) return object;
      return undefined;
    },
    count: (index, value) => bucketOf(index, value)?.size ?? 0,
    values: (index) => [...(indexes.get(index)?.keys() ?? [])],
    upsert(object) {
      const key = keyOf(object);
      const old = objects.get(key);
      if (old !== undefined) unindex(key, old);
      objects.set(key, object);
      enindex(key, object);
      return old;
    },
    remove(target) {
      const key = typeof target === 'string' ? target : keyOf(target);
      const old = objects.get(key);
      if (old === undefined) return undefined;
      unindex(key, old);
      objects.delete(key);
      return old;
    },
    get size() {
      return objects.size;
    },
  };
}
