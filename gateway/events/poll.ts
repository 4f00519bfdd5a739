/**
 * Events by long polling: `{"events":[…],"next":"<cursor>"}` as soon as there is something, or after a while without. The first,
 * without a cursor, is answered at once and tells the conversation's state too.
 */
import { readable } from '../decide.js';
import { textOf } from './history.js';
import { START, writeCursor, type Cursor } from './request.js';
import { LEAVING, noteEvent, refuseVisit, settleVisit, type Control, type Reader, type Visit } from './visit.js';

/** One answer holds so much; the next poll gets the rest. */
const MAX_EVENTS = 200;
const MAX_BYTES = 1 << 20;
/** Events come in little groups. */
const GATHER_MS = 25;

export function createPoll(visit: Visit, control: Control): Reader {
  const events: string[] = [];
  let last: Cursor | undefined = visit.wanted.after;
  let bytes = 0;
  let stored = 0;
  let isLive = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const answer = () => {
    clearTimeout(timer);
    if (visit.over) return;
    control.close();
    visit.status = 200;
    const next = JSON.stringify(last === undefined ? START : writeCursor(last));
    const body = `{"events":[${events.join(',')}],"next":${next}}`;
    visit.bytesOut = Buffer.byteLength(body);
    settleVisit(visit);
    const { connection, forward } = visit;
    connection.socket.write(headOf(visit, visit.bytesOut) + body);
    connection.next(forward.head.keepAlive);
  };
  const gather = () => {
    if (isLive && (stored > 0 || visit.wanted.isFirst)) timer ??= setTimeout(answer, GATHER_MS);
  };
  return {
    event(event, cursor) {
      // Deltas between two polls would be missing, so none come; the whole message follows. States are stored as they change.
      const isNew = cursor !== undefined || (event['key'] === 'full_state' && visit.wanted.isFirst);
      if (visit.over || !isNew) return;
      const text = textOf(event);
      if (text === undefined) return;
      events.push(text);
      bytes += text.length;
      if (cursor !== undefined) {
        last = cursor;
        stored++;
        noteEvent(visit);
      }
      if (events.length >= MAX_EVENTS || bytes >= MAX_BYTES) answer();
      else gather();
    },
    live() {
      isLive = true;
      gather();
    },
    ended(why) {
      if (events.length > 0) answer();
      else refuseVisit(visit, why);
    },
    tick: answer,
    drained: () => undefined,
    leave(why) {
      if (why === 'Draining' && isLive) return answer();
      control.close();
      refuseVisit(visit, LEAVING[why]);
    },
  };
}

function headOf({ forward }: Visit, length: number): string {
  const connection = forward.head.keepAlive ? '' : 'Connection: close\r\n';
  return [
    'HTTP/1.1 200 OK',
    'Content-Type: application/json',
    `Content-Length: ${length}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `${connection}${readable(forward.trustedOrigin)}`,
    '',
  ].join('\r\n');
}
