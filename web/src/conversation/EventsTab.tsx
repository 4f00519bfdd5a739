import { useState } from 'react';
import type { AgentEvent } from '../api/events';

/** Rows drawn at once; older ones on demand, so that a long history stays quick. */
const STEP = 200;

/** Every event as it came off the wire, newest last. */
export function EventsTab({ events }: { events: AgentEvent[] }) {
  const [shown, setShown] = useState(STEP);
  const from = Math.max(0, events.length - shown);
  return (
    <div className="events">
      {from > 0 ? (
        <button type="button" onClick={() => setShown(shown + STEP)}>
          Show {Math.min(STEP, from)} earlier of {events.length}
        </button>
      ) : null}
      {events.length === 0 ? <p className="hint">No events yet.</p> : null}
      {events.slice(from).map((event) => (
        <details key={event.id}>
          <summary>
            <time dateTime={event.timestamp}>{event.timestamp.slice(11, 23)}</time> <b>{event.kind}</b>{' '}
            {event.tool_name ?? event.key ?? ''}
          </summary>
          <pre tabIndex={0}>{JSON.stringify(event, undefined, 2)}</pre>
        </details>
      ))}
    </div>
  );
}
