/**
 * One request and its answer: connects the client to the pod and moves bytes both ways at the pace of the slower side. Only
 * heads are read and written; of bodies only the end is looked for.
 */
import type { Answer } from '../answers.js';
import { stash, takeStash, type ClientUser, type Connection } from '../connection.js';
import type { Forward } from '../decide.js';
import { bodyOfRequest } from '../framing.js';
import { headForPod } from '../heads.js';
import { advance } from '../http/body.js';
import { BadMessage } from '../http/message.js';
import { enter } from '../limits.js';
import type { LinkUser } from '../link.js';
import type { Upstream } from '../pool.js';
import { fromPod } from './answer.js';
import { touch, type Exchange } from './books.js';
import { connectAgain, connectPod, type Then } from './dialing.js';
import { abort, fail, HUNG_UP, podEnded } from './end.js';
import { outgoing } from './heads.js';

const ACCESS_ENDED: Answer = {
  status: 401,
  reason: 'AccessEnded',
  message: 'The key or the link that opened this is no longer good.',
};

const NO_ANSWER: Answer = { status: 504, reason: 'TimedOut', message: 'The sandbox did not answer in time.' };
const NO_BODY: Answer = { status: 408, reason: 'TimedOut', message: 'The rest of the body did not come in time.' };

const REPLACED: Answer = {
  status: 502,
  reason: 'Unreachable',
  message: 'The sandbox was replaced before it had answered. Whether it did what was asked is not known.',
  retryAfter: 1,
};

export function startExchange(connection: Connection, forward: Forward, accepted = false): void {
  const exchange: Exchange = {
    connection,
    forward,
    startedAt: performance.now(),
    accepted,
    upstream: undefined,
    cancelDial: undefined,
    dials: 0,
    reused: undefined,
    request: bodyOfRequest(forward.head),
    response: undefined,
    counted: forward.head.websocket ? 'streams' : 'requests',
    page: undefined,
    partial: undefined,
    interim: 0,
    continued: false,
    status: 0,
    bytesIn: 0,
    bytesOut: 0,
    keepAlive: false,
    podIdleMs: undefined,
    over: false,
  };
  enter(forward.route, exchange.counted);
  connection.user = clientSide(exchange);
  connection.forward = forward;
  touch(exchange);
  connectPod(exchange, THEN);
}

const THEN: Then = { attach, fail };

function attach(exchange: Exchange, upstream: Upstream): void {
  const { connection, forward } = exchange;
  exchange.upstream = upstream;
  upstream.user = podSide(exchange);
  const bytes = takeStash(connection);
  const head = headForPod(forward.head, outgoing(exchange));
  if (bytes === undefined) {
    upstream.socket.write(head, 'latin1');
    return;
  }
  upstream.socket.cork();
  upstream.socket.write(head, 'latin1');
  fromClient(exchange, bytes);
  upstream.socket.uncork();
}

function clientSide(exchange: Exchange): ClientUser {
  const { connection } = exchange;
  return {
    data: (chunk) => fromClient(exchange, chunk),
    // A client that hangs up does not wait for the answer (browsers, curl and load balancers close both ways).
    ended: () => abort(exchange),
    closed: () => abort(exchange),
    drained() {
      exchange.upstream?.socket.resume();
      touch(exchange);
    },
    expired: () => fail(exchange, exchange.request.done || connection.socket.isPaused() ? NO_ANSWER : NO_BODY),
    // A request in flight may end; its connection is closed with its answer.
    drain: () => undefined,
    revoked: () => fail(exchange, ACCESS_ENDED),
    moved: () => fail(exchange, REPLACED),
  };
}

function podSide(exchange: Exchange): LinkUser {
  return {
    data(chunk) {
      try {
        fromPod(exchange, chunk);
      } catch (error) {
        if (!(error instanceof BadMessage)) throw error;
        fail(exchange, { status: 502, reason: 'BadAnswer', message: `Bad answer of the sandbox: ${error.message}.` });
      }
    },
    ended: () => hungUp(exchange),
    closed: () => hungUp(exchange),
    drained() {
      exchange.connection.socket.resume();
      touch(exchange);
    },
  };
}

/** Methods that ask for nothing but an answer (RFC 9110, 9.2.1). */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * A server may hang up on an idle connection just when a request comes. Whether it read that nobody can tell, so only what
 * may be asked twice is asked again: once, on a connection of its own.
 */
function hungUp(exchange: Exchange): void {
  const { forward, upstream, request, response, partial, interim } = exchange;
  const isUnheard = response === undefined && partial === undefined && interim === 0;
  const isRepeatable = SAFE.has(forward.head.method) && request.kind === 'none';
  if (exchange.over || upstream === undefined || exchange.reused !== true || !isUnheard || !isRepeatable)
    return podEnded(exchange);
  exchange.upstream = undefined;
  upstream.user = undefined;
  upstream.socket.destroy();
  connectAgain(exchange, THEN, HUNG_UP);
}

/** Bytes of the client: its body goes to the pod, what follows waits for its turn. */
function fromClient(exchange: Exchange, chunk: Buffer): void {
  const { connection, upstream, request } = exchange;
  if (upstream === undefined || request.done) return stash(connection, chunk);
  let end: number;
  try {
    end = advance(request, chunk, 0);
  } catch (error) {
    if (!(error instanceof BadMessage)) throw error;
    return fail(exchange, { status: 400, reason: 'BadRequest', message: `Bad request: ${error.message}.` });
  }
  exchange.bytesIn += end;
  const { passed } = request;
  if (passed > 0 && !upstream.socket.write(passed === chunk.length ? chunk : chunk.subarray(0, passed)))
    connection.socket.pause();
  if (request.done && request.trailer !== '') upstream.socket.write(request.trailer, 'latin1');
  if (end < chunk.length) stash(connection, chunk.subarray(end));
  touch(exchange);
}
