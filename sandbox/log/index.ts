/** What is kept in memory of each event: where it lies, and what searches filter by. About 150 bytes an event. */
import { DEFAULT_SOURCE, type EventKind, type EventSource } from '../../contracts/agent/events.js';
import { parseTime } from '../http/query.js';

export interface IndexEntry {
  id: string;
  kind: string;
  source: string;
  /** Microseconds since 1970. */
  time: number;
  /** Sequence number of the parent; -1 for none, -2 for the root of the tree. */
  parent: number;
  offset: number;
  length: number;
}

export const ROOT = '__root__';
const NONE = -1;
const AT_ROOT = -2;

export interface EventIndex {
  readonly size: number;
  add(entry: IndexEntry): number;
  get(seq: number): IndexEntry;
  find(id: string): number | undefined;
  /** Sequence numbers of the branch that ends with this event, oldest first. */
  branch(leaf: number): number[];
  /** The part of that branch behind `after`, oldest first; undefined when `after` is not on it. Its cost is its length. */
  branchAfter(leaf: number, after: number): number[] | undefined;
}

/** Fields that the index needs, read from an event's JSON. */
export interface IndexedEvent {
  id: string;
  kind: string;
  source?: string;
  timestamp: string;
  parent_id?: string | null;
}

export function createIndex(): EventIndex {
  const ids: string[] = [];
  const kinds: string[] = [];
  const sources: string[] = [];
  const numbers: number[][] = [];
  const byId = new Map<string, number>();
  return {
    get size() {
      return ids.length;
    },
    add(entry) {
      const seq = ids.length;
      ids.push(entry.id);
      kinds.push(entry.kind);
      sources.push(entry.source);
      numbers.push([entry.time, entry.parent, entry.offset, entry.length]);
      byId.set(entry.id, seq);
      return seq;
    },
    get(seq) {
      const [time = 0, parent = NONE, offset = 0, length = 0] = numbers[seq] ?? [];
      return { id: ids[seq] ?? '', kind: kinds[seq] ?? '', source: sources[seq] ?? '', time, parent, offset, length };
    },
    find: (id) => byId.get(id),
    branch(leaf) {
      const path: number[] = [];
      for (let at = leaf; at >= 0; at = numbers[at]?.[1] ?? NONE) path.push(at);
      return path.reverse();
    },
    branchAfter(leaf, after) {
      const path: number[] = [];
      let at = leaf;
      for (; at > after; at = numbers[at]?.[1] ?? NONE) path.push(at);
      return at === after ? path.reverse() : undefined;
    },
  };
}

/** The entry of an event that was written at this place. */
export function entryOf(event: IndexedEvent, place: { offset: number; length: number }, index: EventIndex): IndexEntry {
  const kind = intern(event.kind);
  return {
    id: event.id,
    kind,
    source: intern(event.source ?? sourceOf(kind)),
    time: parseTime(event.timestamp) ?? 0,
    parent:
      event.parent_id == null ? NONE : event.parent_id === ROOT ? AT_ROOT : (index.find(event.parent_id) ?? AT_ROOT),
    ...place,
  };
}

function sourceOf(kind: string): EventSource {
  return DEFAULT_SOURCE[kind as EventKind] ?? 'environment';
}

const known = new Map<string, string>();
/** The same string object for equal words, so that a history of 100,000 events holds each kind once. */
function intern(word: string): string {
  const found = known.get(word);
  if (found !== undefined) return found;
  if (known.size < 1000) known.set(word, word);
  return word;
}
