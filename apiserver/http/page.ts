/** Page tokens: opaque to clients. An unreadable token means the first page, as the recorded server has it. */
import { z } from 'zod';

export interface Page<Item> {
  items: Item[];
  next_page_id: string | null;
}

/** A list that lies in memory, by offset. The token is base64 of the offset, as recorded. */
export function sliceByOffset<Item>(all: readonly Item[], pageId: string | undefined, limit: number): Page<Item> {
  const offset = readOffset(pageId);
  const end = offset + limit;
  const token = Buffer.from(String(end)).toString('base64url');
  return { items: all.slice(offset, end), next_page_id: end < all.length ? token : null };
}

function readOffset(token: string | undefined): number {
  if (token === undefined) return 0;
  const plain = /^[0-9]{1,9}$/.test(token) ? token : Buffer.from(token, 'base64url').toString('utf8');
  return /^[0-9]{1,9}$/.test(plain) ? Number(plain) : 0;
}

/** The place of the last item in an order that the database has an index for. */
export function writeCursor(place: readonly string[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/** The parts of a cursor, or undefined when the token is none of ours. */
export function readCursor(token: string | undefined, parts: number): string[] | undefined {
  if (token === undefined) return undefined;
  try {
    const parsed = z
      .array(z.string().max(100))
      .length(parts)
      .safeParse(JSON.parse(Buffer.from(token, 'base64url').toString('utf8')));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Cuts a result that was asked for with one item more than the page holds. */
export function pageOf<Item>(found: Item[], limit: number, placeOf: (item: Item) => string[]): Page<Item> {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next_page_id: found.length > limit && last !== undefined ? writeCursor(placeOf(last)) : null };
}
