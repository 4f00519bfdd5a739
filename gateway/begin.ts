/** A request that may go on begins: as one exchange with the pod, or as a reader of events. */
import type { Connection } from './connection.js';
import type { Forward } from './decide.js';
import { serveEvents } from './events/serve.js';
import { startExchange } from './exchange/start.js';

export function begin(connection: Connection, forward: Forward): void {
  if (forward.events === undefined) startExchange(connection, forward);
  else serveEvents(connection, forward, forward.events);
}
