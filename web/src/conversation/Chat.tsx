import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { confirm, type Agent } from '../api/agent';
import { rowOf } from '../api/events';
import type { Conversation, ExecutionStatus } from '../api/platform';
import { Problem } from '../parts/Problem';
import { Announcer } from './Announcer';
import { Composer } from './Composer';
import { EventRow } from './EventRow';
import type { Live } from './useEvents';

interface ChatProps {
  conversation: Conversation;
  run: ExecutionStatus | null;
  agent: Agent | undefined;
  live: Live;
}

/** Rows drawn at once; older ones on demand, so that a long history stays quick. */
const STEP = 300;

export function Chat({ conversation, run, agent, live }: ChatProps) {
  const [shown, setShown] = useState(STEP);
  const rows = live.events.filter((event) => rowOf(event) !== undefined);
  const from = Math.max(0, rows.length - shown);
  const end = useStickyEnd(rows.length + live.draft.length);
  return (
    <section className="chat" aria-label="Chat">
      <div className="rows" role="log" aria-label="Messages" aria-live="off" tabIndex={0}>
        {from > 0 ? (
          <button type="button" onClick={() => setShown(shown + STEP)}>
            Show {Math.min(STEP, from)} earlier of {rows.length}
          </button>
        ) : null}
        {rows.slice(from).map((event) => (
          <EventRow key={event.id} event={event} />
        ))}
        {live.draft === '' ? null : <div className="row agent draft">{live.draft}</div>}
        <Problem error={live.historyError} />
        <div ref={end} />
      </div>
      <Announcer rows={rows} run={run} />
      {run === 'waiting_for_confirmation' && agent !== undefined ? <Confirmation agent={agent} /> : null}
      <Composer conversation={conversation} agent={agent} live={live} />
    </section>
  );
}

function Confirmation({ agent }: { agent: Agent }) {
  const answer = useMutation({ mutationFn: (accept: boolean) => confirm(agent, accept) });
  return (
    <div className="confirm" role="group" aria-label="Confirmation">
      <span>The agent wants to do the action above.</span>
      <button type="button" className="primary" disabled={answer.isPending} onClick={() => answer.mutate(true)}>
        Allow
      </button>
      <button type="button" disabled={answer.isPending} onClick={() => answer.mutate(false)}>
        Reject
      </button>
      <Problem error={answer.error} />
    </div>
  );
}

/** Keeps the end in view while the reader is there, and leaves a reader who scrolled up alone. */
function useStickyEnd(size: number) {
  const end = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  useEffect(() => {
    const box = end.current?.parentElement;
    if (box == null) return undefined;
    const look = () => {
      follow.current = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
    };
    box.addEventListener('scroll', look, { passive: true });
    return () => box.removeEventListener('scroll', look);
  }, []);
  useEffect(() => {
    if (follow.current) end.current?.scrollIntoView({ block: 'end' });
  }, [size]);
  return end;
}
