/** How a request gets its connection to the pod: a kept one, a new one, or after a moment another try. */
import type { Answer } from '../answers.js';
import type { Exchange } from './books.js';
import { resolve, type Forward } from '../decide.js';
import { NO_LIMITS } from '../limits.js';
import type { Upstream } from '../pool.js';
import { dialByRelay, type Relay } from '../relay.js';
import { isPlatform, portOf } from '../table.js';

/** What to do with the connection, or without. */
export interface Then {
  attach(exchange: Exchange, upstream: Upstream): void;
  fail(exchange: Exchange, answer: Answer): void;
}

const MAX_DIALS = 3;
const DIAL_PAUSE_MS = 150;

export function connectPod(exchange: Exchange, then: Then): void {
  const { route, port, head } = exchange.forward;
  const { pool } = exchange.connection.gateway;
  const target = { slot: route.slot, ip: route.address?.ip ?? '', port: port.number ?? 0 };
  // A handshake gets a connection of its own anyway, so it need not meet one that is closing.
  const reused = head.websocket ? undefined : pool.take(target);
  exchange.reused = reused !== undefined;
  if (reused !== undefined) return then.attach(exchange, reused);
  dial(exchange, then);
}

function dial(exchange: Exchange, then: Then): void {
  const { route, port } = exchange.forward;
  const { pool } = exchange.connection.gateway;
  const target = { slot: route.slot, ip: route.address?.ip ?? '', port: port.number ?? 0 };
  exchange.reused = false;
  exchange.dials++;
  exchange.cancelDial = pool.dial(target, (error, upstream) => {
    exchange.cancelDial = undefined;
    if (upstream !== undefined) return then.attach(exchange, upstream);
    const code = codeOf(error);
    const relay = code === 'ECONNREFUSED' ? relayOf(exchange.forward) : undefined;
    if (relay === undefined) return dialFailed(exchange, then, code);
    exchange.cancelDial = dialByRelay(pool, target, relay, (refusal, relayed) => {
      exchange.cancelDial = undefined;
      if (relayed !== undefined) then.attach(exchange, relayed);
      else dialFailed(exchange, then, codeOf(refusal));
    });
  });
}

const codeOf = (error: Error | undefined) => (error as NodeJS.ErrnoException | undefined)?.code ?? 'ERROR';

/** An app that refuses may listen on the pod's loopback only. */
function relayOf({ route, port }: Forward): Relay | undefined {
  const agent = route.address?.ports.get('agent');
  return agent === undefined || isPlatform(port) ? undefined : { port: agent, key: route.key };
}

/** Nothing was sent: the dial may be repeated, to wherever the pod is by then. */
function dialFailed(exchange: Exchange, then: Then, code: string): void {
  const { forward, connection } = exchange;
  connection.gateway.observer.dialFailed(code);
  const isAgent = forward.port.name === 'agent';
  // Nobody listening on an app's port is an answer; on the agent's it is a pod that is being replaced.
  if (exchange.dials >= MAX_DIALS || (code === 'ECONNREFUSED' && !isAgent))
    return then.fail(exchange, nobodyThere(exchange, code));
  const timer = setTimeout(() => {
    exchange.cancelDial = undefined;
    connectAgain(exchange, then, nobodyThere(exchange, code));
  }, DIAL_PAUSE_MS * exchange.dials);
  exchange.cancelDial = () => clearTimeout(timer);
}

/** A new connection to wherever the pod is by now; `otherwise` when it is another sandbox's, or has another key. */
export function connectAgain(exchange: Exchange, then: Then, otherwise: Answer): void {
  const { forward, connection } = exchange;
  const route = connection.gateway.table.bySlot(forward.route.slot);
  if (route === undefined || route.epoch !== forward.route.epoch) return then.fail(exchange, otherwise);
  const port = portOf(route, forward.located.port);
  const again = resolve({ ...forward, route, port }, NO_LIMITS);
  if (again.do === 'answer') return then.fail(exchange, again.answer);
  // The books were opened on these counters, so they are closed on them.
  exchange.forward = {
    ...forward,
    route: { ...route, load: forward.route.load, ownerLoad: forward.route.ownerLoad },
    port,
  };
  connection.forward = exchange.forward;
  dial(exchange, then);
}

function nobodyThere({ forward }: Exchange, code: string): Answer {
  if (forward.port.name === 'agent')
    return { status: 503, reason: 'SandboxStarting', message: 'Its agent server does not answer yet.', retryAfter: 1 };
  if (code === 'ECONNREFUSED')
    return {
      status: 502,
      reason: 'NothingListening',
      message: `No app is listening on port ${forward.port.number ?? ''} yet.`,
      retryAfter: 2,
    };
  return { status: 504, reason: 'Unreachable', message: 'The sandbox cannot be reached.', retryAfter: 2 };
}
