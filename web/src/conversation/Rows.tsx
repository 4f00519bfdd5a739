import { useEffect, useRef, useState, type ReactNode } from 'react';
import { rowOf, type AgentEvent } from '../api/events';
import { EventRow } from './EventRow';

/** Rows drawn at once; older ones on demand, so that a long history stays quick. */
const STEP = 300;

/** The events that people read, newest last; `draft` is what is being written now. */
export function Rows({ events, draft = '', children }: { events: AgentEvent[]; draft?: string; children?: ReactNode }) {
  const [shown, setShown] = useState(STEP);
  const rows = events.filter((event) => rowOf(event) !== undefined);
  const from = Math.max(0, rows.length - shown);
  const end = useStickyEnd(rows.length + draft.length);
  return (
    <div className="rows" role="log" aria-label="Messages" aria-live="off" tabIndex={0}>
      {from > 0 ? (
        <button type="button" onClick={() => setShown(shown + STEP)}>
          Show {Math.min(STEP, from)} earlier of {rows.length}
        </button>
      ) : null}
      {rows.slice(from).map((event) => (
        <EventRow key={event.id} event={event} />
      ))}
      {draft === '' ? null : <div className="row agent draft">{draft}</div>}
      {children}
      <div ref={end} />
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
