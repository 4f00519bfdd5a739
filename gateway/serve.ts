/**
 * One connection of a client: reads heads, decides, hands over to an exchange, and takes the next request afterwards. One
 * request at a time; what a client sends ahead waits, within bounds.
 */
import type { Socket } from 'node:net';
import type { Answer, Reason } from './answers.js';
import { sendAnswer, type ClientUser, type Connection } from './connection.js';
import { decide, type Context, type Decision } from './decide.js';
import { awaitFrame } from './firstframe.js';
import type { Gateway } from './gateway.js';
import { BadMessage, MAX_REQUEST_HEAD } from './http/message.js';
import { begin } from './begin.js';
import { holdForm, wakeAndHold } from './hold.js';
import { parseRequest, type RequestHead } from './http/request.js';
import { listen } from './link.js';

const LINGER_MS = 2_000;

export function acceptConnection(gateway: Gateway, socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 60_000);
  const connection: Connection = {
    gateway,
    socket,
    ip: (socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
    user: undefined as unknown as ClientUser,
    forward: undefined,
    stash: undefined,
    deadline: gateway.clock.now + gateway.timeouts.firstByteMs,
    yieldAt: Infinity,
    next: (keepAlive) => next(connection, keepAlive),
  };
  connection.user = headReader(connection, true);
  gateway.connections.add(connection);
  listen(socket, {
    data: (chunk) => connection.user.data(chunk),
    ended: () => connection.user.ended(),
    drained: () => connection.user.drained(),
    closed: () => {
      gateway.connections.delete(connection);
      connection.user.closed();
    },
  });
}

/** When a new connection must have begun its request, once the gateway drains, ms. */
const LAST_CALL_MS = 1_000;

function headReader(connection: Connection, isFirst: boolean): ClientUser {
  const { gateway, socket } = connection;
  return {
    data(chunk) {
      if (connection.stash === undefined) connection.deadline = gateway.clock.now + gateway.timeouts.headMs;
      readHead(connection, connection.stash === undefined ? chunk : Buffer.concat([connection.stash, chunk]));
    },
    ended: () => socket.end(),
    closed: () => undefined,
    // Answers went out: now the requests that were sent ahead.
    drained: () => readAhead(connection),
    expired() {
      if (connection.stash === undefined) socket.destroy();
      else refuse(connection, new BadMessage(408, 'the head did not come in time'));
    },
    drain() {
      if (connection.stash !== undefined) return;
      // Nobody asks again on a connection that was just made and is ended: its request is under way.
      if (isFirst) connection.deadline = Math.min(connection.deadline, gateway.clock.now + LAST_CALL_MS);
      else socket.end();
    },
    revoked: () => undefined,
    moved: () => undefined,
  };
}

const HEAD_END = Buffer.from('\r\n\r\n');

function readHead(connection: Connection, bytes: Buffer): void {
  // The part that was searched before ends in the stash.
  const searched = Math.max(0, (connection.stash?.length ?? 0) - 3);
  const end = bytes.indexOf(HEAD_END, searched);
  if (end < 0 ? bytes.length > MAX_REQUEST_HEAD : end > MAX_REQUEST_HEAD)
    return refuse(connection, new BadMessage(431, 'head too large'));
  if (end < 0) {
    // Without this a client that ends lines with a bare LF would wait for its timeout.
    if (hasBareLineFeed(bytes, searched)) return refuse(connection, new BadMessage(400, 'line ends with a bare LF'));
    connection.stash = bytes;
    if (connection.socket.isPaused()) connection.socket.resume();
    return;
  }
  connection.stash = end + 4 < bytes.length ? bytes.subarray(end + 4) : undefined;
  let head: RequestHead;
  try {
    head = parseRequest(bytes, 0, end + 2);
  } catch (error) {
    if (error instanceof BadMessage) return refuse(connection, error);
    throw error;
  }
  const { gateway } = connection;
  carryOut(connection, head, gateway.isSynced() ? decide(head, gateway.table, gateway.rules, Date.now()) : NOT_SYNCED);
}

/** Before the table is complete nothing is known to be unknown. */
const NOT_SYNCED: Decision = {
  do: 'answer',
  answer: { status: 503, reason: 'SandboxStarting', message: 'The gateway is starting.', retryAfter: 1 },
  lines: '',
  context: undefined,
};

function hasBareLineFeed(bytes: Buffer, from: number): boolean {
  for (let at = bytes.indexOf(10, from); at >= 0; at = bytes.indexOf(10, at + 1))
    if (at === 0 || bytes[at - 1] !== 13) return true;
  return false;
}

function carryOut(connection: Connection, head: RequestHead, decision: Decision): void {
  // What follows a body that nobody read, or a refused handshake, must not be taken for a request: the connection ends.
  const keepAlive = head.keepAlive && !head.websocket && !head.chunked && (head.length ?? 0) === 0;
  switch (decision.do) {
    case 'forward':
      return begin(connection, decision.forward);
    case 'wake':
      return wakeAndHold(connection, decision.forward);
    case 'hold':
      return holdForm(connection, decision.forward);
    case 'await-frame':
      return awaitFrame(connection, decision);
    case 'reply':
      connection.socket.write(decision.text, 'latin1');
      note(connection, { head, status: decision.status, reason: undefined, context: decision.context, bytesOut: 0 });
      return next(connection, keepAlive);
    case 'answer': {
      const { answer, lines, context } = decision;
      const bytesOut = sendAnswer(connection, { head, answer, lines, keepAlive });
      note(connection, { head, status: answer.status, reason: answer.reason, context, bytesOut });
      return next(connection, keepAlive);
    }
  }
}

function refuse(connection: Connection, error: BadMessage): void {
  const answer: Answer = { status: error.status, reason: 'BadRequest', message: `Bad request: ${error.message}.` };
  connection.stash = undefined;
  const bytesOut = sendAnswer(connection, { head: undefined, answer, lines: '', keepAlive: false });
  note(connection, { head: undefined, status: error.status, reason: 'BadRequest', context: undefined, bytesOut });
  next(connection, false);
}

interface Noted {
  head: RequestHead | undefined;
  status: number;
  reason: Reason | undefined;
  context: Context | undefined;
  bytesOut: number;
}

function note(connection: Connection, { head, status, reason, context, bytesOut }: Noted): void {
  connection.gateway.observer.finished({
    ip: connection.ip,
    head,
    status,
    reason,
    context,
    grant: undefined,
    bytesIn: 0,
    bytesOut,
    ms: 0,
  });
}

function next(connection: Connection, keepAlive: boolean): void {
  const { gateway, socket } = connection;
  if (!keepAlive || gateway.draining) return linger(connection);
  connection.user = headReader(connection, false);
  connection.deadline = gateway.clock.now + gateway.timeouts.idleMs;
  if (connection.stash === undefined) {
    if (socket.isPaused()) socket.resume();
  } else if (socket.writableNeedDrain) {
    // Whoever sends ahead must also read: no new answer is made while the last one waits to be read.
    socket.pause();
  } else setImmediate(readAhead, connection);
}

function readAhead(connection: Connection): void {
  const { stash: bytes, socket, gateway } = connection;
  if (bytes === undefined || socket.destroyed) return;
  connection.stash = undefined;
  connection.deadline = gateway.clock.now + gateway.timeouts.headMs;
  readHead(connection, bytes);
  if (socket.isPaused() && connection.stash === undefined) socket.resume();
}

/** Closes so that the answer arrives: what the client still sends is read and dropped for a moment, or a reset would overtake it. */
function linger(connection: Connection): void {
  const { socket, gateway } = connection;
  connection.stash = undefined;
  connection.user = {
    data: () => undefined,
    ended: () => undefined,
    closed: () => undefined,
    drained: () => undefined,
    expired: () => socket.destroy(),
    drain: () => undefined,
    revoked: () => undefined,
    moved: () => undefined,
  };
  connection.deadline = gateway.clock.now + LINGER_MS;
  socket.resume();
  socket.end();
}
