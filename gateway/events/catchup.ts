/** Reads what is stored and was not sent yet, page by page, at the client's pace and within the memory that all readers share. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Budget, Lease } from './budget.js';
import {
  cursorOf,
  HistoryError,
  PageTooLarge,
  readPage,
  type From,
  type Page,
  type Pod,
  type PodEvent,
} from './history.js';
import type { Cursor } from './request.js';

export interface Reading {
  pod: Pod;
  budget: Budget;
  signal: AbortSignal;
  /** The last stored event that was sent. */
  last: Cursor | undefined;
  /** Live events that the history may hold too, by id. */
  waiting: Map<string, PodEvent>;
  /** Some came by the socket and were not kept: the history has them. */
  missed: boolean;
  isPaused: boolean;
  /** Called when the client reads again, or is gone. */
  resumed: (() => void) | undefined;
  /** Sends it, unless it was sent. */
  pass(event: PodEvent, cursor: Cursor): void;
}

/** Memory for the pages of all readers: of each page this many bytes of text, and two or three times that while it is read. */
export const HISTORY_BYTES = 32 << 20;
const PAGE = 50;
const PAGE_BYTES = 1 << 20;
/** One event alone may have as much as a frame. */
const EVENT_BYTES = 16 << 20;
/** A conversation that writes faster than it is read is asked this often, not without pause. */
const TURN_MS = 100;

/** Until nothing is left that came by the socket meanwhile. Throws HistoryError. */
export async function readHistory(reading: Reading): Promise<void> {
  do {
    if (reading.missed) await sleep(TURN_MS, undefined, { signal: reading.signal }).catch(() => undefined);
    reading.missed = false;
    await readOn(reading);
  } while (reading.missed && !reading.signal.aborted);
}

/** Where to go on: `isAfter` a place whose event the client has. */
interface Place {
  from: From;
  isAfter: boolean;
}

const placeOf = ({ last }: Reading): Place => ({ from: last && { id: last.id }, isAfter: last !== undefined });

async function readOn(reading: Reading): Promise<void> {
  let place: Place | undefined = placeOf(reading);
  let limit = PAGE;
  while (place !== undefined) {
    const maxBytes: number = limit === 0 ? EVENT_BYTES : PAGE_BYTES;
    const lease: Lease | undefined = await reading.budget.take(maxBytes, reading.pod.user, reading.signal);
    if (lease === undefined) return;
    try {
      const page: Page = await readPage(
        reading.pod,
        place.from,
        { limit: Math.max(limit, 1), maxBytes },
        reading.signal,
      );
      place = await passPage(reading, place, page, lease);
      limit = Math.min(PAGE, Math.max(1, limit * 2));
    } catch (error) {
      if (!(error instanceof PageTooLarge) || limit === 0) throw error;
      limit >>= 2;
    } finally {
      lease.release();
    }
    while (reading.isPaused && !reading.signal.aborted) await untilResumed(reading);
  }
}

/** Sends a page and says where the next begins; undefined after the last. */
async function passPage(reading: Reading, place: Place, page: Page, lease: Lease): Promise<Place | undefined> {
  const { last } = reading;
  const isKnown = place.isAfter && page.items[0]?.id === last?.id;
  // A server that does not know the place begins anew; the time says better where.
  if (place.isAfter && !isKnown && last?.time !== undefined) return { from: { time: last.time }, isAfter: false };
  if (!(await passItems(reading, isKnown ? page.items.slice(1) : page.items, lease)))
    return reading.signal.aborted ? undefined : placeOf(reading);
  return page.items.length === 0 ? undefined : nextPlace(place, page.next_page_id ?? undefined);
}

/** False when it was not to the end: the client is gone, or does not read while others want the memory. */
async function passItems(reading: Reading, items: PodEvent[], lease: Lease): Promise<boolean> {
  for (const event of items) {
    if (reading.isPaused && !(await mayKeep(reading, lease))) return false;
    if (reading.signal.aborted) return false;
    const cursor = cursorOf(event);
    if (cursor !== undefined) reading.pass(event, cursor);
  }
  return true;
}

function nextPlace({ from }: Place, id: string | undefined): Place | undefined {
  if (id === undefined) return undefined;
  if (from !== undefined && 'id' in from && from.id === id)
    throw new HistoryError(502, 'the agent server sent a page that goes on with itself');
  return { from: { id }, isAfter: false };
}

const untilResumed = (reading: Reading) => new Promise<void>((resolve) => (reading.resumed = resolve));

/** The client does not read: its page is kept for it until others want the memory. False when they do. */
async function mayKeep(reading: Reading, lease: Lease): Promise<boolean> {
  while (reading.isPaused && !reading.signal.aborted) {
    if (reading.budget.isShort()) return false;
    await new Promise<void>((resolve) => {
      reading.resumed = resolve;
      lease.wanted = resolve;
    });
    lease.wanted = undefined;
  }
  return !reading.signal.aborted;
}
