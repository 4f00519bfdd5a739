/** One page of a conversation's stored events, by the agent server's REST API. */
import { request } from 'node:http';
import { z } from 'zod';
import type { Cursor } from './request.js';

export interface Pod {
  ip: string;
  port: number;
  key: string;
  conversation: string;
  /** Whose it is: users share what memory there is for histories. */
  user: string;
}

/** Where a page begins; undefined: with the first event. */
export type From = { id: string } | { time: string } | undefined;

const eventSchema = z.looseObject({ id: z.string(), kind: z.string(), timestamp: z.string().optional() });
export type PodEvent = z.infer<typeof eventSchema>;

const pageSchema = z.object({ items: z.array(eventSchema), next_page_id: z.string().nullish() });
export type Page = z.infer<typeof pageSchema>;

/** The agent server refused, or answered what is no page. */
export class HistoryError extends Error {
  constructor(
    readonly status: number,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'HistoryError';
  }
}

/** A page has more bytes than was allowed for it: ask for fewer events. */
export class PageTooLarge extends HistoryError {}

export interface PageSize {
  /** Events. */
  limit: number;
  maxBytes: number;
}

/** For a whole page: one that trickles would hold memory that others wait for. */
const TIMEOUT_MS = 30_000;

/** Throws HistoryError; status 0 when nothing answered. */
export async function readPage(pod: Pod, from: From, size: PageSize, signal: AbortSignal): Promise<Page> {
  const query = new URLSearchParams({ limit: String(size.limit), ...placeOf(from) });
  const path = `/api/conversations/${pod.conversation}/events/search?${query.toString()}`;
  const { status, text } = await get(pod, path, size.maxBytes, signal);
  if (status !== 200) throw new HistoryError(status, `the agent server answered ${status}`);
  try {
    return pageSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new HistoryError(502, 'the agent server sent no page of events', { cause: error });
  }
}

const placeOf = (from: From): Record<string, string> => {
  if (from === undefined) return {};
  return 'id' in from ? { page_id: from.id } : { timestamp__gte: from.time };
};

function get(pod: Pod, path: string, maxBytes: number, signal: AbortSignal): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) =>
      reject(
        cause instanceof PageTooLarge ? cause : new HistoryError(0, 'the agent server does not answer', { cause }),
      );
    const headers = { 'x-session-api-key': pod.key, accept: 'application/json', connection: 'close' };
    const asking = request({ host: pod.ip, port: pod.port, path, headers, agent: false, signal }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > maxBytes) asking.destroy(new PageTooLarge(502, 'the agent server sent a larger page than is read'));
      });
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      );
      response.once('error', fail);
    });
    const timer = setTimeout(() => asking.destroy(new Error('timed out')), TIMEOUT_MS);
    asking.once('close', () => clearTimeout(timer));
    asking.once('error', fail);
    asking.end();
  });
}

/** An event as JSON; undefined where it is nested so deeply that it could be read but not written again. */
export function textOf(event: PodEvent): string | undefined {
  try {
    return JSON.stringify(event);
  } catch {
    return undefined;
  }
}

const WORD = /^[A-Za-z0-9._:+-]{1,128}$/;

/** Place of a stored event; undefined for what is not stored (deltas, whole states), or has an id that is none. */
export function cursorOf(event: PodEvent): Cursor | undefined {
  if (event.kind === 'StreamingDeltaEvent' || event.kind === 'ServerErrorEvent' || event['key'] === 'full_state')
    return undefined;
  if (!WORD.test(event.id)) return undefined;
  return {
    id: event.id,
    time: event.timestamp !== undefined && WORD.test(event.timestamp) ? event.timestamp : undefined,
  };
}

/** A frame of the events socket; undefined when it is no event. */
export function readFrame(text: string): PodEvent | undefined {
  try {
    return eventSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
