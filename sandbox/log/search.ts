/** Searching the events of a conversation: by index where that suffices, by reading them where words are looked for. */
import type { EventLog } from './log.js';

export interface EventFilter {
  /** Class name, short or dotted. */
  kind?: string | undefined;
  source?: string | undefined;
  /** Words to find in the text of messages, whatever their case. */
  body?: string | undefined;
  /** Microseconds since 1970. */
  from?: number | undefined;
  until?: number | undefined;
}
export interface EventQuery extends EventFilter {
  descending?: boolean;
  /** Id of the first event of the page. */
  pageId?: string | undefined;
  limit: number;
}

/** JSON texts of a page, and the id of the first event of the next. */
export async function searchEvents(
  log: EventLog,
  query: EventQuery,
): Promise<{ items: string[]; nextPageId: string | null }> {
  const { index } = log;
  const start = query.pageId === undefined ? undefined : index.find(query.pageId);
  const found: string[] = [];
  for await (const [seq, text] of matches(log, query, { descending: query.descending ?? false, start })) {
    if (found.length === query.limit) return { items: found, nextPageId: index.get(seq).id };
    found.push(text);
  }
  return { items: found, nextPageId: null };
}

export async function countEvents(log: EventLog, filter: EventFilter): Promise<number> {
  if (filter.body === undefined) {
    let count = 0;
    for (let seq = 0; seq < log.index.size; seq++) if (indexMatches(log, filter, seq)) count++;
    return count;
  }
  let count = 0;
  for await (const _ of matches(log, filter, { descending: false })) count++;
  return count;
}

const PAGE = 64;

async function* matches(
  log: EventLog,
  filter: EventFilter,
  walk: { descending: boolean; start?: number | undefined },
): AsyncGenerator<[number, string]> {
  const size = log.index.size;
  const step = walk.descending ? -1 : 1;
  let at = walk.start ?? (walk.descending ? size - 1 : 0);
  while (at >= 0 && at < size) {
    const page: number[] = [];
    for (; at >= 0 && at < size && page.length < PAGE; at += step) if (indexMatches(log, filter, at)) page.push(at);
    const texts = await log.read(page);
    for (const [n, seq] of page.entries()) {
      const text = texts[n] ?? '';
      if (filter.body === undefined || messageHas(text, filter.body)) yield [seq, text];
    }
  }
}

function indexMatches(log: EventLog, filter: EventFilter, seq: number): boolean {
  const entry = log.index.get(seq);
  if (filter.kind !== undefined && filter.kind !== entry.kind && !filter.kind.endsWith(`.${entry.kind}`)) return false;
  if (filter.source !== undefined && filter.source !== entry.source) return false;
  if (filter.body !== undefined && entry.kind !== 'MessageEvent') return false;
  if (filter.from !== undefined && entry.time < filter.from) return false;
  return filter.until === undefined || entry.time < filter.until;
}

function messageHas(text: string, words: string): boolean {
  const event = JSON.parse(text) as { llm_message?: { content?: { text?: string }[] } };
  const wanted = words.toLowerCase();
  return (event.llm_message?.content ?? []).some((part) => part.text?.toLowerCase().includes(wanted) === true);
}
