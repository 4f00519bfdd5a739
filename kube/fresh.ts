/**
 * A cache that also knows this program's own writes. A watch tells them some milliseconds later, or was quicker than the
 * write's answer: a decision made on the old state would claim a second pod, create one too many, or wait for what was.
 */
import { createCache, keyOf, type Cache, type IndexFunctions } from './cache.js';
import type { ReflectorHandler } from './reflector.js';
import type { Clock, KubeObject } from './types.js';

export interface FreshCache<T extends KubeObject, Index extends string = string> extends Pick<
  Cache<T, Index>,
  'get' | 'by' | 'first' | 'count' | 'list'
> {
  /** Takes in what a write answered, unless the watch was faster. Answers whether it did. */
  note(object: T): boolean;
  /** The server said that it does not exist. */
  noteGone(object: { metadata: { name: string; namespace?: string | undefined; uid?: string | undefined } }): void;
  /**
   * Drops objects that a create answered and the watch never told (it was cut, and they were gone at the re-list). `heardAt`
   * is when the watch last said anything: silence proves nothing. Call it now and then.
   */
  expire(heardAt: number): void;
  handler: Required<Pick<ReflectorHandler<T>, 'upsert' | 'remove'>>;
}

/** A watch that speaks this long after a write, ms, has told the write before: it tells in order. */
const CONFIRMED_WITHIN_MS = 10_000;

/** `changed` hears of each change that the watch tells and of what `expire` drops, not of own writes. */
export function createFreshCache<T extends KubeObject, Index extends string = never>(options: {
  indexes?: IndexFunctions<T, Index>;
  clock: Clock;
  changed: (object: T, old: T | undefined) => void;
}): FreshCache<T, Index> {
  const cache = createCache<T, Index>(options.indexes === undefined ? {} : { indexes: options.indexes });
  const unconfirmed = new Map<string, number>();
  return {
    get: (key) => cache.get(key),
    by: (index, value) => cache.by(index, value),
    first: (index, value, matches) => cache.first(index, value, matches),
    count: (index, value) => cache.count(index, value),
    list: () => cache.list(),
    note(object) {
      const key = keyOf(object);
      const known = cache.get(key);
      if (known !== undefined && !isOlder(known, object)) return false;
      delete object.metadata.managedFields;
      if (known === undefined) unconfirmed.set(key, options.clock.now());
      cache.upsert(object);
      return true;
    },
    noteGone(object) {
      const known = cache.get(keyOf(object));
      if (known !== undefined && known.metadata.uid === object.metadata.uid) cache.remove(keyOf(object));
    },
    expire(heardAt) {
      const keys = [...unconfirmed].filter(([, at]) => at + CONFIRMED_WITHIN_MS < heardAt).map(([key]) => key);
      for (const key of keys) {
        unconfirmed.delete(key);
        const gone = cache.remove(key);
        // Nobody else will ever tell those who count on it.
        if (gone !== undefined) options.changed(gone, gone);
      }
    },
    handler: {
      upsert(object) {
        const key = keyOf(object);
        const old = cache.get(key);
        // An event from before our own write, which the watch will tell in a moment.
        if (isOlder(object, old)) return;
        unconfirmed.delete(key);
        cache.upsert(object);
        options.changed(object, old);
      },
      remove(object) {
        const key = keyOf(object);
        const old = cache.get(key);
        if (old !== undefined && old.metadata.uid !== object.metadata.uid) return;
        unconfirmed.delete(key);
        cache.remove(key);
        options.changed(object, old);
      },
    },
  };
}

/** Versions are compared as numbers, which they are in etcd and in the one-machine cluster; others count as newer. One kind shares one sequence. */
function isOlder(object: KubeObject, than: KubeObject | undefined): boolean {
  if (than === undefined) return false;
  const [a, b] = [object.metadata.resourceVersion ?? '', than.metadata.resourceVersion ?? ''];
  if (!/^[0-9]+$/.test(a) || !/^[0-9]+$/.test(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}
