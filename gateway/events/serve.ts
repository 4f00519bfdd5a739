/** Puts a client that reads events together with its source. */
import { stash, type ClientUser, type Connection } from '../connection.js';
import { unavailable, type Forward } from '../decide.js';
import { enter } from '../limits.js';
import { followEvents, type Sink } from './follow.js';
import { portOf } from '../table.js';
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
  const following = followEvents(pod, wanted.after, withReason(visit, reader), gateway.history);
  // The drain has passed it by while its head came.
  if (gateway.draining) reader.leave('Draining');
}

/** A lost connection alone says little: the table knows whether the sandbox is paused or has failed. */
function withReason({ connection, forward }: Visit, reader: Reader): Sink {
  return {
    event: (event, cursor) => reader.event(event, cursor),
    live: () => reader.live(),
    ended(why) {
      const route = connection.gateway.table.bySlot(forward.route.slot);
      const known = route === undefined ? undefined : unavailable(route, portOf(route, forward.located.port));
      reader.ended(why.status === 404 ? why : (known ?? why));
    },
  };
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
    moved: () => reader.leave('SandboxStarting'),
  };
}
