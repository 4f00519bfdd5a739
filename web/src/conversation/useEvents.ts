import { useEffect, useState } from 'react';
import type { Agent } from '../api/agent';
import { isEvent, statusIn, type AgentEvent } from '../api/events';
import { openEventStream, type StreamState } from '../api/eventStream';
import { readHistory } from '../api/platform';

export interface Live {
  /** Every event once, in order; transient ones (deltas, full state) excluded. */
  events: AgentEvent[];
  /** Text of the answer that is being written now. */
  draft: string;
  runStatus: string | undefined;
  stream: StreamState;
  /** The stream was open once and is not now. */
  lost: boolean;
  historyError: Error | undefined;
}

/** Joins stored history and the live socket by event id. The socket replays all, so history matters while there is no sandbox. */
export function useEvents(conversationId: string, agent: Agent | undefined): Live {
  const [events, setEvents] = useState<AgentEvent[]>([]);
  const [draft, setDraft] = useState('');
  const [runStatus, setRunStatus] = useState<string>();
  const [stream, setStream] = useState<StreamState>('closed');
  const [lost, setLost] = useState(false);
  const [historyError, setHistoryError] = useState<Error>();

  useEffect(() => {
    const abort = new AbortController();
    readHistory(conversationId, abort.signal)
      .then((stored) => {
        setHistoryError(undefined);
        setEvents((known) =>
          merge(
            known,
            stored.filter(isEvent).filter((event) => !transient(event)),
          ),
        );
      })
      .catch((error: Error) => {
        if (!abort.signal.aborted) setHistoryError(error);
      });
    return () => abort.abort();
  }, [conversationId, agent === undefined]);

  useEffect(() => {
    if (agent === undefined) return undefined;
    let waiting: AgentEvent[] = [];
    let frame = 0;
    // A replay of thousands of events makes one render a frame, not one an event.
    const flush = () => {
      frame = 0;
      const batch = waiting;
      waiting = [];
      setEvents((known) => merge(known, batch));
    };
    const live = openEventStream(agent, {
      onState: (state) => {
        setStream(state);
        if (state !== 'connecting') setLost(state === 'closed');
      },
      onEvent: (event) => {
        const status = statusIn(event);
        if (status !== undefined) setRunStatus(status);
        if (event.kind === 'StreamingDeltaEvent') return setDraft((text) => text + (event.content ?? ''));
        if (event.source === 'agent') setDraft('');
        if (transient(event)) return;
        waiting.push(event);
        frame ||= requestAnimationFrame(flush);
      },
    });
    return () => {
      cancelAnimationFrame(frame);
      live.close();
      setStream('closed');
      setLost(false);
      setRunStatus(undefined);
      setDraft('');
    };
  }, [agent]);

  return { events, draft, runStatus, stream, lost, historyError };
}

export const transient = (event: AgentEvent) =>
  event.kind === 'StreamingDeltaEvent' || (event.kind === 'ConversationStateUpdateEvent' && event.key === 'full_state');

export function merge(known: AgentEvent[], more: AgentEvent[]): AgentEvent[] {
  const ids = new Set(known.map((event) => event.id));
  const fresh = more.filter((event) => !ids.has(event.id) && ids.add(event.id));
  if (fresh.length === 0) return known;
  const last = known.at(-1);
  const all = [...known, ...fresh];
  // Live events come in order; only history that arrives late needs sorting.
  const inOrder = last === undefined || fresh.every((event) => event.timestamp >= last.timestamp);
  return inOrder ? all : all.sort((a, b) => a.timestamp.localeCompare(b.timestamp));
}
