import { memo } from 'react';
import Markdown from 'react-markdown';
import { Link } from 'wouter';
import { actionLine, errorLine, noticeLine, rowOf, textOf, type AgentEvent } from '../api/events';

/** Longer output is cut in the chat; the Events tab has the whole. */
const SHOWN_CHARACTERS = 4000;

export const EventRow = memo(function EventRow({ event }: { event: AgentEvent }) {
  const row = rowOf(event);
  switch (row) {
    case 'user':
      return <div className="row user">{textOf(event.llm_message?.content)}</div>;
    case 'agent':
      return (
        <div className="row agent">
          <Markdown>{textOf(event.llm_message?.content)}</Markdown>
        </div>
      );
    case 'action':
      return <Action event={event} />;
    case 'observation':
      return <Observation event={event} />;
    case 'error':
      return (
        <div className="row error">
          {errorLine(event)}
          {event.code?.includes('Authentication') === true ? (
            <>
              {' '}
              <Link href="/settings">Settings</Link> are used by conversations that are started after they were saved.
            </>
          ) : null}
        </div>
      );
    case 'notice':
      return <div className="row notice">{noticeLine(event)}</div>;
    default:
      return null;
  }
});

function Action({ event }: { event: AgentEvent }) {
  const thought = textOf(event.thought);
  const line = actionLine(event);
  if (event.action?.kind === 'FinishAction') {
    return (
      <div className="row agent">
        <Markdown>{line}</Markdown>
      </div>
    );
  }
  return (
    <div className="row action">
      {thought === '' ? null : <Markdown>{thought}</Markdown>}
      <div className="call">
        <span className="tool">{event.tool_name}</span>
        <code>{line}</code>
        {event.security_risk === 'HIGH' ? <span className="badge bad">high risk</span> : null}
      </div>
    </div>
  );
}

function Observation({ event }: { event: AgentEvent }) {
  const observation = event.observation;
  const text = textOf(observation?.content);
  if (observation?.kind === 'FinishObservation' || text === '') return null;
  const failed =
    observation?.is_error === true || (typeof observation?.exit_code === 'number' && observation.exit_code > 0);
  return (
    <details className={`row observation${failed ? ' failed' : ''}`} open={text.length < 600}>
      <summary>
        {failed ? 'Failed' : 'Output'}
        {typeof observation?.exit_code === 'number' && observation.exit_code !== 0
          ? `, exit code ${observation.exit_code}`
          : ''}
      </summary>
      <pre tabIndex={0}>{text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}\n…` : text}</pre>
    </details>
  );
}
