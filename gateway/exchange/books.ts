/** The state of one request and its answer, and its entry in the books: counters, deadlines, the access log. */
import type { Answer } from '../answers.js';
import type { Connection } from '../connection.js';
import type { Forward } from '../decide.js';
import type { Timeouts } from '../gateway.js';
import type { Body } from '../http/body.js';
import { leave, type Counted } from '../limits.js';
import type { PageRewriter } from '../pages/rewriter.js';
import type { Upstream } from '../pool.js';

export interface Exchange {
  connection: Connection;
  forward: Forward;
  startedAt: number;
  /** The WebSocket was accepted by the gateway before (see firstframe.ts): the pod's 101 is not for the client. */
  accepted: boolean;
  upstream: Upstream | undefined;
  cancelDial: (() => void) | undefined;
  dials: number;
  /** Its connection had served others before; undefined while there is none. */
  reused: boolean | undefined;
  request: Body;
  /** As what it stands in the books of limits. */
  counted: Counted;
  /** Undefined until the head of the answer is complete. */
  response: Body | undefined;
  /** Set when the answer is a page that is rewritten. */
  page: PageRewriter | undefined;
  partial: Buffer | undefined;
  interim: number;
  /** The client has had its 100 Continue. */
  continued: boolean;
  status: number;
  bytesIn: number;
  bytesOut: number;
  keepAlive: boolean;
  /** How long the pod keeps the connection, ms; 0 for not at all. */
  podIdleMs: number | undefined;
  over: boolean;
}

/** Bytes moved: the silence begins anew. */
export function touch(exchange: Exchange): void {
  const { connection } = exchange;
  const { clock, timeouts } = connection.gateway;
  connection.deadline = clock.now + silenceOf(exchange, timeouts);
  connection.yieldAt = exchange.counted === 'streams' ? Infinity : clock.now + timeouts.crowdedMs;
}

/** How long nothing may move, by what is waited for. */
function silenceOf(
  { connection, forward, request, response, counted, upstream }: Exchange,
  timeouts: Timeouts,
): number {
  if (response === undefined) {
    if (forward.head.websocket) return timeouts.bodyMs;
    // A client that is not read is not to blame for its silence.
    return request.done || connection.socket.isPaused() ? timeouts.answerMs : timeouts.bodyMs;
  }
  if (counted === 'streams') return timeouts.idleMs;
  return response.kind === 'length' || upstream?.socket.isPaused() === true ? timeouts.bodyMs : timeouts.answerMs;
}

/** A pod that answers an authorised request is in use; one that is only probed is not. */
export function noteTraffic({ connection, forward }: Exchange): void {
  if (forward.grant !== 'probe') forward.route.load.lastTraffic = connection.gateway.clock.now;
}

/** Takes the exchange out of the books; once. */
export function settle(exchange: Exchange, answer?: Answer): void {
  if (exchange.over) return;
  exchange.over = true;
  const { connection, forward } = exchange;
  connection.forward = undefined;
  connection.yieldAt = Infinity;
  leave(forward.route, exchange.counted);
  connection.gateway.observer.finished({
    ip: connection.ip,
    head: forward.head,
    status: exchange.status,
    reason: answer?.reason,
    context: forward,
    grant: forward.grant,
    bytesIn: exchange.bytesIn,
    bytesOut: exchange.bytesOut,
    ms: performance.now() - exchange.startedAt,
  });
}
