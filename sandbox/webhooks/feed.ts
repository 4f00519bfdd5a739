/**
 * Sends the events of one conversation to one webhook, in order and without loss: what is still to send is a place in the
 * conversation's log, not a queue in memory. The place is kept on disk, so a restart goes on where the receiver stands
 * (and may send its last batch again: receivers go by event id). An event that the receiver refuses for what it is (see
 * sender.ts) is left out, since everything after it would wait for ever.
 */
import type { AgentEvent } from '../../contracts/agent/events.js';
import type { WebhookSpec } from '../config.js';
import { withNulls } from '../conversations/forms.js';
import type { EventLog } from '../log/log.js';
import type { Sender } from './sender.js';

export interface Feed {
  /** Sends all that is there now; resolves when it was taken or given up. */
  flush(): Promise<void>;
  /** No more sending; resolves when nothing is under way. */
  stop(): Promise<void>;
}

export interface FeedOptions {
  spec: WebhookSpec;
  sender: Sender;
  /** `/events/<conversation, hex>` */
  path: string;
  events: EventLog;
  /** Sequence number of the first event to send. */
  from: number;
  /** The receiver has everything before this sequence number. */
  onSent: (next: number) => Promise<void>;
  /** The receiver will never take this event. */
  onRefused: (seq: number) => void;
}

export function createFeed(options: FeedOptions): Feed {
  const { spec, events } = options;
  const stopping = new AbortController();
  let next = Math.min(options.from, events.index.size);
  /** Events of one batch; fewer while one that is refused is looked for. */
  let most = spec.event_buffer_size;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;

  const waiting = () => events.index.size - next;
  const arm = () => {
    if (stopping.signal.aborted || waiting() === 0) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      void send(1);
    }, spec.flush_delay * 1000).unref();
  };
  /** Sends batches while at least `least` events wait. */
  const send = (least: number): Promise<void> =>
    (sending ??= (async () => {
      clearTimeout(timer);
      timer = undefined;
      let failed = false;
      const whole = events.index.size;
      while (!failed && !stopping.signal.aborted && waiting() >= (next < whole ? least : spec.event_buffer_size))
        failed = !(await sendBatch());
      sending = undefined;
      arm();
    })());
  const sendBatch = async (): Promise<boolean> => {
    const { body, count } = await batchOf(options, next, most);
    const delivery = await options.sender.post(options.path, body, stopping.signal);
    if (delivery === 'failed') return false;
    if (delivery === 'refused' && count > 1) {
      most = Math.ceil(count / 2);
      return true;
    }
    if (delivery === 'refused') options.onRefused(next);
    most = spec.event_buffer_size;
    next += count;
    await options.onSent(next);
    return true;
  };
  const unsubscribe = events.subscribe(() => {
    if (waiting() >= spec.event_buffer_size) void send(spec.event_buffer_size);
    else if (sending === undefined) arm();
  });
  if (waiting() >= spec.event_buffer_size) void send(1);
  else arm();

  return {
    async flush() {
      await sending;
      if (waiting() > 0) await send(1);
    },
    async stop() {
      unsubscribe();
      stopping.abort();
      clearTimeout(timer);
      await sending;
    },
  };
}

/** The next batch: at most `most` events and, unless one alone is larger, `max_batch_bytes`. */
async function batchOf(options: FeedOptions, from: number, most: number): Promise<{ body: string; count: number }> {
  const { spec, events } = options;
  const to = Math.min(events.index.size, from + most);
  const texts = await events.read(Array.from({ length: to - from }, (_, at) => from + at));
  const parts: string[] = [];
  let bytes = 2;
  for (const text of texts) {
    const part = JSON.stringify(withNulls(JSON.parse(text) as AgentEvent));
    bytes += Buffer.byteLength(part) + 1;
    if (parts.length > 0 && bytes > spec.max_batch_bytes) break;
    parts.push(part);
  }
  return { body: `[${parts.join(',')}]`, count: parts.length };
}
