/**
 * Hints between the API servers of one database, by PostgreSQL's LISTEN and NOTIFY: "this changed, look at it". A hint may
 * get lost (a connection that broke), so nothing depends on one alone: whoever listens also looks by itself now and then,
 * and is told `undefined` ("anything may have changed") when the connection is back.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { z } from 'zod';
import type { Logger } from '../../process/log.js';

/** `start`: a start task (its id) reached another state. */
export type Topic = 'start';
export type NoticeListener = (id: string | undefined) => void;

export interface Notices {
  /** Tells the other API servers, not this one. Never rejects. */
  tell(topic: Topic, id: string): Promise<void>;
  /** Answers how to stop. */
  listen(topic: Topic, listener: NoticeListener): () => void;
  close(): Promise<void>;
}

const CHANNEL = 'sandlot';
const RETRY_MS = 1_000;
const noticeSchema = z.object({ from: z.string(), topic: z.enum(['start']), id: z.string().max(100) });

export interface NoticeOptions {
  url: string;
  pool: Pick<pg.Pool, 'query'>;
  log: Logger;
}

export function serverNotices({ url, pool, log }: NoticeOptions): Notices {
  const me = randomUUID();
  const listeners = new Map<Topic, Set<NoticeListener>>();
  const stopping = new AbortController();
  const give = (topic: Topic, id: string | undefined) => {
    for (const listener of [...(listeners.get(topic) ?? [])]) listener(id);
  };
  const take = (payload: string | undefined): void => {
    const notice = noticeSchema.safeParse(parseJson(payload ?? ''));
    if (notice.success && notice.data.from !== me) give(notice.data.topic, notice.data.id);
  };

  /** Listens until the connection ends, or all does. Rejects when there is no connection. */
  const listenOnce = async (): Promise<void> => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000, keepAlive: true });
    const ended = new Promise<void>((resolve) => client.once('end', resolve));
    client.on('error', () => undefined);
    client.on('notification', ({ payload }) => take(payload));
    const listen = async (): Promise<void> => {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      for (const topic of listeners.keys()) give(topic, undefined);
      await ended;
    };
    let stop = (): void => undefined;
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    stopping.signal.addEventListener('abort', stop, { once: true });
    try {
      // A client that is ended while it connects never says how that went.
      await Promise.race([listen(), stopped]);
    } finally {
      stopping.signal.removeEventListener('abort', stop);
      void client.end().catch(() => undefined);
    }
  };
  const keepListening = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await listenOnce().catch((error: unknown) => log.debug({ err: error }, 'no notices from the database now'));
      await sleep(RETRY_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const loop = keepListening();

  return {
    async tell(topic, id) {
      const payload = JSON.stringify({ from: me, topic, id });
      await pool
        .query('SELECT pg_notify($1, $2)', [CHANNEL, payload])
        .catch((error: unknown) => log.debug({ err: error }, 'a notice was not sent'));
    },
    listen(topic, listener) {
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set.add(listener));
      return () => void set.delete(listener);
    },
    async close() {
      stopping.abort();
      await loop;
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Somebody else's use of the channel.
    return undefined;
  }
}
