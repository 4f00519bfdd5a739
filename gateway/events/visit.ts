/** The state of one client that reads events, and its entry in the books. */
import type { Answer } from '../answers.js';
import { sendAnswer, type Connection } from '../connection.js';
import { readable, type Forward } from '../decide.js';
import { leave } from '../limits.js';
import type { Sink } from './follow.js';
import type { EventsRequest } from './request.js';

/** What a stream or a poll makes of what happens. */
export interface Reader extends Sink {
  /** Time to say that the connection lives, or to give a poll its answer. */
  tick(): void;
  drained(): void;
  /** The gateway is stopping, the right has ended, or the pod was replaced. */
  leave(why: keyof typeof LEAVING): void;
}

export interface Visit {
  connection: Connection;
  forward: Forward;
  wanted: EventsRequest;
  startedAt: number;
  bytesOut: number;
  status: number;
  over: boolean;
}

/** Between two signs of life, and how long a poll waits. */
export const HEARTBEAT_MS = 5_000;
export const POLL_MS = 20_000;

/** What a reader may do with its source. */
export interface Control {
  pause(): void;
  resume(): void;
  close(): void;
}

export const LEAVING = {
  Draining: { status: 503, reason: 'Draining', message: 'Please connect again.', retryAfter: 1 },
  AccessEnded: {
    status: 401,
    reason: 'AccessEnded',
    message: 'The key or the link that opened this is no longer good.',
  },
  SandboxStarting: { status: 503, reason: 'SandboxStarting', message: 'The sandbox was replaced.', retryAfter: 1 },
} as const;

/** Stored events are use of the sandbox; signs of life are not. */
export function noteEvent({ connection, forward }: Visit): void {
  forward.route.load.lastTraffic = connection.gateway.clock.now;
}

/** An answer instead of events. */
export function refuseVisit(visit: Visit, answer: Answer): void {
  const { connection, forward } = visit;
  const { keepAlive } = forward.head;
  visit.status = answer.status;
  visit.bytesOut += sendAnswer(connection, {
    head: forward.head,
    answer,
    lines: readable(forward.trustedOrigin),
    keepAlive,
  });
  settleVisit(visit, answer);
  connection.next(keepAlive);
}

/** Takes the visit out of the books; once. */
export function settleVisit(visit: Visit, answer?: Pick<Answer, 'reason'>): void {
  if (visit.over) return;
  visit.over = true;
  const { connection, forward } = visit;
  connection.forward = undefined;
  leave(forward.route, 'streams');
  connection.gateway.observer.finished({
    ip: connection.ip,
    head: forward.head,
    status: visit.status,
    reason: answer?.reason,
    context: forward,
    grant: forward.grant,
    bytesIn: 0,
    bytesOut: visit.bytesOut,
    ms: performance.now() - visit.startedAt,
  });
}
