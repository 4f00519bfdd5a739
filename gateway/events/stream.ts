/** Events as server-sent events: `id:` is the cursor to resume from, comments are signs of life, the event `end` says why it ends. */
import type { Reason } from '../answers.js';
import { readable } from '../decide.js';
import { textOf } from './history.js';
import { writeCursor } from './request.js';
import {
  HEARTBEAT_MS,
  LEAVING,
  noteEvent,
  refuseVisit,
  settleVisit,
  type Control,
  type Reader,
  type Visit,
} from './visit.js';

/** Unsent bytes above which deltas are left out; the whole message follows them. */
const DELTA_LIMIT = 256 * 1024;
/** How long a client may leave what was sent unread. */
const SLOW_MS = 30_000;
const RETRY_MS = 1_000;
const FIRST_LINE = `retry: ${RETRY_MS}\n\n`;

export function createStream(visit: Visit, control: Control): Reader {
  const { connection } = visit;
  const { socket, gateway } = connection;
  /** When the client was last seen to read; undefined while it keeps up. */
  let slowSince: number | undefined;
  const write = (text: string) => {
    visit.bytesOut += Buffer.byteLength(text);
    if (socket.write(text) || slowSince !== undefined) return;
    slowSince = gateway.clock.now;
    control.pause();
  };
  const begin = () => {
    if (visit.status !== 0) return;
    visit.status = 200;
    // Heads are no bodies.
    write(headOf(visit));
    visit.bytesOut = Buffer.byteLength(FIRST_LINE);
  };
  const end = (reason: Reason, retryMs: number) => {
    control.close();
    write(`retry: ${retryMs}\nevent: end\ndata: ${JSON.stringify({ reason })}\n\n`);
    settleVisit(visit, { reason });
    connection.next(false);
  };
  return {
    event(event, cursor) {
      begin();
      if (cursor === undefined && socket.writableLength > DELTA_LIMIT) return;
      const text = textOf(event);
      if (text === undefined) return;
      if (cursor !== undefined) noteEvent(visit);
      const id = cursor === undefined ? '' : `id: ${writeCursor(cursor)}\n`;
      write(`${id}data: ${text}\n\n`);
    },
    live: begin,
    ended(why) {
      if (visit.status === 0) refuseVisit(visit, why);
      else end(why.reason, (why.retryAfter ?? 1) * 1000);
    },
    tick() {
      connection.deadline = gateway.clock.now + HEARTBEAT_MS;
      if (slowSince !== undefined && gateway.clock.now - slowSince >= SLOW_MS) end('SlowReader', RETRY_MS);
      else if (slowSince === undefined && visit.status !== 0) write(': \n\n');
    },
    drained() {
      slowSince = undefined;
      control.resume();
    },
    // Not all in one moment, or all clients would come back in one.
    leave: (why) =>
      visit.status === 0 ? refuseVisit(visit, LEAVING[why]) : end(why, Math.round(Math.random() * RETRY_MS)),
  };
}

function headOf({ forward }: Visit): string {
  return [
    'HTTP/1.1 200 OK',
    'Content-Type: text/event-stream',
    'Cache-Control: no-cache, no-transform',
    // nginx would keep events until a buffer is full.
    'X-Accel-Buffering: no',
    'X-Content-Type-Options: nosniff',
    'Connection: close',
    `${readable(forward.trustedOrigin)}`,
    FIRST_LINE,
  ].join('\r\n');
}
