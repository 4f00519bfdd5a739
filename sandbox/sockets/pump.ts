/**
 * Sends a log to a socket from a place on: first what is there, then what comes. It keeps a place and no queue, so a slow
 * reader costs no memory; it waits while the socket has more than `HIGH` bytes to send.
 */
import type { WebSocket } from 'ws';
import type { EventLog } from '../log/log.js';

const PAGE = 100;
const HIGH = 1 << 20;
const POLL_MS = 20;

export interface PumpOptions {
  socket: WebSocket;
  log: EventLog;
  /** Sequence number of the first event to send. */
  from: number;
  /** Events to leave out. */
  skip?: (seq: number) => boolean;
  /** The frame for an event. */
  frame: (seq: number, json: string) => string;
}

export function startPump(options: PumpOptions): { stop(): void } {
  const { socket, log } = options;
  let next = options.from;
  let busy = false;
  let stopped = false;
  const stop = () => {
    stopped = true;
    unsubscribe();
  };
  const send = (seq: number, json: string) => {
    if (options.skip?.(seq) !== true) socket.send(options.frame(seq, json));
  };
  const work = async () => {
    if (busy) return;
    busy = true;
    try {
      while (!stopped && next < log.index.size) {
        const to = Math.min(log.index.size, next + PAGE);
        const seqs = Array.from({ length: to - next }, (_, at) => next + at);
        const texts = await log.read(seqs);
        for (const [at, seq] of seqs.entries()) {
          while (!stopped && socket.bufferedAmount > HIGH) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
          if (stopped) return;
          send(seq, texts[at] ?? '');
          next = seq + 1;
        }
      }
    } finally {
      busy = false;
    }
  };
  const unsubscribe = log.subscribe((seq, json) => {
    if (!busy && seq === next && socket.bufferedAmount < HIGH) {
      next++;
      send(seq, json);
    } else work().catch(stop);
  });
  socket.once('close', stop);
  work().catch(stop);
  return { stop };
}
