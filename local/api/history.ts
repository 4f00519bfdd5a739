/** The window of recent changes from which watches resume: bounded; what fell out of it answers 410. */
import type { Obj } from './object.js';

export interface Change {
  /** Resource version of the change. */
  rv: number;
  /** `group/plural`: what was changed. */
  resource: string;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: Obj;
  /** The object before, for selectors that it left. */
  old?: Obj;
}

export interface History {
  push(change: Change): void;
  /** Changes after `rv`, or undefined when some of them are gone. */
  since(rv: number): Change[] | undefined;
  oldest(): number;
}

/** Keeps at least `size` changes, at most twice as many. `start`: nothing before it is known. */
export function createHistory(start: number, size: number): History {
  let changes: Change[] = [];
  let oldest = start;
  return {
    oldest: () => oldest,
    push(change) {
      changes.push(change);
      if (changes.length < size * 2) return;
      oldest = changes[changes.length - size - 1]?.rv ?? oldest;
      changes = changes.slice(-size);
    },
    since(rv) {
      if (rv < oldest) return undefined;
      let low = 0;
      let high = changes.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((changes[middle]?.rv ?? 0) <= rv) low = middle + 1;
        else high = middle;
      }
      return changes.slice(low);
    },
  };
}
