/** Puts a client that reads events together with its source. */
import { stash, type ClientUser, type Connection } from '../connection.js';
import type { Forward } from '../decide.js';
import { enter } from '../limits.js';
import { followEvents } from './follow.js';
import { createPoll } from './poll.js';
import type { EventsRequest } from './request.js';
import { createStream } from './stream.js';
import { HEARTBEAT_MS, POLL_MS, settleVisit, type Control, type Reader, type Visit } from './visit.js';

export function serveEvents(connection: Connection, forward: Forward, wanted: EventsRequest): void {
  const { gateway } = connection;
  const visit: Visit = {
    connection,
    forward,
    wanted,
    startedAt: performance.now(),
    bytesOut: 0,
    status: 0,
    over: false,
  };
  enter(forward.route, 'streams');
  connection.forward = forward;
  const { route, port } = forward;
  const pod = {
    ip: route.address?.ip ?? '',
    port: port.number ?? 0,
    key: route.key,
    conversation: wanted.conversation,
    user: route.owner === '' ? route.slot : route.owner,
  };
  const control = {
    pause: () => following.pause(),
    resume: () => following.resume(),
    close: () => following.close(),
  };
  const reader = wanted.transport === 'poll' ? createPoll(visit, control) : createStream(visit, control);
  connection.deadline = gateway.clock.now + (wanted.transport === 'poll' ? POLL_MS : HEARTBEAT_MS);
  connection.user = userOf(visit, reader, control);
  const following = followEvents(pod, wanted.after, reader, gateway.history);
}

function userOf(visit: Visit, reader: Reader, control: Control): ClientUser {
  const { connection } = visit;
  const gone = () => {
    if (visit.over) return;
    control.close();
    visit.status ||= 499;
    settleVisit(visit);
    connection.socket.destroy();
  };
  return {
    // A next request, sent ahead.
    data: (chunk) => stash(connection, chunk),
    ended: gone,
    closed: gone,
    drained: () => reader.drained(),
    expired: () => reader.tick(),
    drain: () => reader.leave('Draining'),
    revoked: () => reader.leave('AccessEnded'),
  };
}
