/**
 * Events of a running conversation by WebSocket: authenticates with the first frame (no key in URLs), asks for what it
 * missed after a reconnect, drops duplicates by id, and reconnects with jitter until closed.
 */
import { isEvent, type AgentEvent } from './events';
import type { Agent } from './agent';

export type StreamState = 'connecting' | 'open' | 'closed';

export interface StreamHandlers {
  onEvent(event: AgentEvent): void;
  onState(state: StreamState): void;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;

export interface EventStream {
  close(): void;
}

export function openEventStream(agent: Agent, handlers: StreamHandlers): EventStream {
  const seen = new Set<string>();
  let socket: WebSocket | undefined;
  let newest: string | undefined;
  let retryMs = FIRST_RETRY_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  const connect = () => {
    handlers.onState('connecting');
    const since =
      newest === undefined ? 'resend_mode=all' : `resend_mode=since&after_timestamp=${encodeURIComponent(newest)}`;
    socket = new WebSocket(`${agent.base.replace(/^http/, 'ws')}/sockets/events/${agent.conversationId}?${since}`);
    socket.onopen = () => {
      socket?.send(JSON.stringify({ type: 'auth', session_api_key: agent.sessionKey }));
    };
    socket.onmessage = ({ data }) => receive(String(data));
    socket.onclose = () => {
      handlers.onState('closed');
      if (closed) return;
      timer = setTimeout(connect, retryMs * (0.5 + Math.random() / 2));
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    };
  };

  const receive = (text: string) => {
    const event = parse(text);
    // The first frame proves that the server has let us in.
    handlers.onState('open');
    retryMs = FIRST_RETRY_MS;
    if (!isEvent(event) || seen.has(event.id)) return;
    seen.add(event.id);
    const transient = event.kind === 'StreamingDeltaEvent' || event.key === 'full_state';
    if (!transient) newest = event.timestamp;
    handlers.onEvent(event);
  };

  connect();
  return {
    close: () => {
      closed = true;
      clearTimeout(timer);
      socket?.close();
    },
  };
}

/** What a sandbox sends need not be JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
