/**
 * WebSockets of the agent server that show their key in the first frame instead of the handshake (what OpenHands' clients
 * prefer, since it keeps keys out of URLs). The gateway accepts the handshake itself, reads that one frame, and only with
 * a good key connects the pod, which then gets the same handshake and the same frame. So nobody without a key reaches a pod,
 * and on the single host the key tells which pod is meant.
 */
import { MAX_FIRST_FRAME, acceptOf, closeFrame, keyInFirstFrame } from './frames.js';
import { sendAnswer, stash, type Connection } from './connection.js';
import { decideByFrame } from './decide.js';
import { startExchange } from './exchange/start.js';
import type { Finished } from './gateway.js';
import type { RequestHead } from './http/request.js';
import { fieldOf } from './http/request.js';
import type { Located } from './locate.js';

interface Waiting {
  head: RequestHead;
  located: Located;
}

export function awaitFrame(connection: Connection, waiting: Waiting): void {
  const { gateway, socket } = connection;
  const accept = acceptOf(fieldOf(waiting.head, 'sec-websocket-key'));
  if (accept === undefined || fieldOf(waiting.head, 'sec-websocket-version') !== '13') {
    const answer = { status: 400, reason: 'BadRequest', message: 'Bad WebSocket handshake.' } as const;
    const bytesOut = sendAnswer(connection, { head: waiting.head, answer, lines: '', keepAlive: false });
    note(connection, waiting, { status: 400, reason: 'BadRequest', bytesOut });
    return connection.next(false);
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  connection.deadline = gateway.clock.now + gateway.timeouts.firstFrameMs;
  connection.user = {
    data(chunk) {
      stash(connection, chunk);
      readFrame(connection, waiting);
    },
    ended: () => socket.end(),
    closed: () => undefined,
    drained: () => undefined,
    expired: () => refuse(connection, waiting, 4001, 'Authentication failed'),
    drain: () => refuse(connection, waiting, 1012, 'restarting'),
    revoked: () => undefined,
    moved: () => undefined,
  };
  if (connection.stash !== undefined) readFrame(connection, waiting);
}

function readFrame(connection: Connection, waiting: Waiting): void {
  const { gateway } = connection;
  const bytes = connection.stash ?? Buffer.alloc(0);
  const found = keyInFirstFrame(bytes);
  if (found === 'more' && bytes.length <= MAX_FIRST_FRAME + 8) return;
  if (typeof found === 'string') return refuse(connection, waiting, 4001, 'Authentication failed');
  const decision = decideByFrame(
    { ...waiting, head: withoutOptions(waiting.head), key: found.key },
    gateway.table,
    gateway.rules,
  );
  if (decision === undefined) return refuse(connection, waiting, 4001, 'Authentication failed');
  if (decision.do === 'forward') return startExchange(connection, decision.forward, true);
  // 1013, try again later: paused, starting or full.
  refuse(connection, waiting, 1013, decision.do === 'answer' ? decision.answer.reason : 'refused');
}

/** Extensions and subprotocols were not agreed on with the client, so the pod must not use any. */
function withoutOptions(head: RequestHead): RequestHead {
  const optional = new Set(['sec-websocket-extensions', 'sec-websocket-protocol']);
  return { ...head, fields: head.fields.filter((field) => !optional.has(field.name)) };
}

function refuse(connection: Connection, waiting: Waiting, code: number, reason: string): void {
  connection.stash = undefined;
  connection.socket.write(closeFrame(code, reason));
  note(connection, waiting, {
    status: code === 4001 ? 401 : 503,
    reason: code === 4001 ? 'WrongKey' : 'Draining',
    bytesOut: 0,
  });
  connection.next(false);
}

function note(
  connection: Connection,
  { head }: Waiting,
  noted: Pick<Finished, 'status' | 'reason' | 'bytesOut'>,
): void {
  const unknown = { context: undefined, grant: undefined, bytesIn: 0, ms: 0 };
  connection.gateway.observer.finished({ ip: connection.ip, head, ...unknown, ...noted });
}
