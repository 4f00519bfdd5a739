/**
 * Events of a running conversation: by the first way that leads there (transports.ts), from where they broke off after a
 * reconnect, without duplicates, until closed.
 */
import type { Agent } from './agent';
import type { AgentEvent } from './events';
import { longPolling, serverSent, webSocket, type Place, type Transport } from './transports';

export type StreamState = 'connecting' | 'open' | 'closed';

export interface StreamHandlers {
  onEvent(event: AgentEvent): void;
  onState(state: StreamState): void;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
const WAYS: readonly Transport[] = [webSocket, serverSent, longPolling];
/** The way that led there last, for the streams that this page opens later; undefined while none has. */
let known: number | undefined;
/** Attempts in a row by the way that is known before another is tried: the other side may only be restarting. */
const ATTEMPTS = 3;

export interface EventStream {
  close(): void;
}

export function openEventStream(agent: Agent, handlers: StreamHandlers): EventStream {
  const seen = new Set<string>();
  let newest: Place | undefined;
  let retryMs = FIRST_RETRY_MS;
  let way = known ?? 0;
  let attempts = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop: (() => void) | undefined;

  const receive = (event: AgentEvent) => {
    if (seen.has(event.id)) return;
    seen.add(event.id);
    const transient = event.kind === 'StreamingDeltaEvent' || event.key === 'full_state';
    if (!transient) newest = { id: event.id, timestamp: event.timestamp };
    handlers.onEvent(event);
  };
  const connect = () => {
    handlers.onState('connecting');
    stop = WAYS[way]?.(agent, newest, {
      onOpen() {
        known = way;
        attempts = 0;
        retryMs = FIRST_RETRY_MS;
        handlers.onState('open');
      },
      onEvent: receive,
      onEnd(why) {
        handlers.onState('closed');
        const isElsewhere = why === 'silent' || (why === 'blocked' && (way !== known || ++attempts >= ATTEMPTS));
        if (isElsewhere) way = (way + 1) % WAYS.length;
        // It answered, so it is not the way that is wrong.
        else if (why === 'later') way = known ?? 0;
        // The next way at once, unless all have been tried.
        if (isElsewhere && way !== 0) return connect();
        timer = setTimeout(connect, retryMs * (0.5 + Math.random() / 2));
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      },
    });
  };

  connect();
  return {
    close: () => {
      clearTimeout(timer);
      stop?.();
    },
  };
}
