/** How an exchange ends: whole, with an answer of the gateway instead of the pod's, or cut. */
import type { Answer } from '../answers.js';
import { sendAnswer } from '../connection.js';
import { readable } from '../decide.js';
import { closeFrame } from '../frames.js';
import { settle, type Exchange } from './books.js';

/** The answer is complete. `surplus`: the pod sent more than that, so its connection is not to be trusted again. */
export function finish(exchange: Exchange, surplus: boolean): void {
  const { connection, upstream, request } = exchange;
  settle(exchange);
  if (upstream !== undefined) {
    upstream.user = undefined;
    const reusable = !surplus && request.done && exchange.podIdleMs !== 0;
    const { gateway } = connection;
    if (reusable) gateway.pool.give(upstream, gateway.clock.now, exchange.podIdleMs);
    else upstream.socket.destroy();
  }
  connection.next(exchange.keepAlive);
}

export const HUNG_UP: Answer = {
  status: 502,
  reason: 'BadAnswer',
  message: 'The sandbox hung up without an answer.',
  retryAfter: 2,
};

/** The pod's side ended or broke. */
export function podEnded(exchange: Exchange): void {
  if (exchange.over) return;
  const { response } = exchange;
  if (response === undefined) return fail(exchange, HUNG_UP);
  if (response.kind === 'close' && exchange.upstream?.socket.errored == null) {
    response.done = true;
    if (exchange.page !== undefined) {
      const last = exchange.page.end();
      exchange.bytesOut += last.length;
      exchange.connection.socket.write(last, 'latin1');
    }
    return finish(exchange, false);
  }
  // The client must see that something is missing: cut instead of a clean end.
  cut(exchange);
}

/** Ends the exchange with an answer of the gateway, or cuts it when an answer is already under way. */
export function fail(exchange: Exchange, answer: Answer): void {
  if (exchange.over) return;
  if (exchange.accepted) return refuseAccepted(exchange, 1013, answer.reason);
  if (exchange.response !== undefined) return cut(exchange);
  const { connection, forward, request } = exchange;
  const keepAlive = forward.head.keepAlive && request.done && !forward.head.websocket;
  exchange.status = answer.status;
  dropPod(exchange);
  exchange.bytesOut += sendAnswer(connection, {
    head: forward.head,
    answer,
    lines: readable(forward.trustedOrigin),
    keepAlive,
  });
  settle(exchange, answer);
  connection.next(keepAlive);
}

export function refuseAccepted(exchange: Exchange, code: number, reason: string): void {
  exchange.status = 502;
  dropPod(exchange);
  settle(exchange);
  exchange.connection.socket.write(closeFrame(code, reason));
  exchange.connection.next(false);
}

function cut(exchange: Exchange): void {
  dropPod(exchange);
  settle(exchange);
  exchange.connection.socket.destroy();
}

/** The client went away: the pod learns it at once. */
export function abort(exchange: Exchange): void {
  if (exchange.over) return;
  if (exchange.status === 0) exchange.status = 499;
  cut(exchange);
}

function dropPod(exchange: Exchange): void {
  exchange.cancelDial?.();
  exchange.cancelDial = undefined;
  if (exchange.upstream === undefined) return;
  exchange.upstream.user = undefined;
  exchange.upstream.socket.destroy();
}
