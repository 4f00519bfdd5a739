import { useEffect, useRef, useState } from 'react';
import { actionLine, errorLine, rowOf, textOf, type AgentEvent } from '../api/events';
import type { ExecutionStatus } from '../api/platform';

const LONGEST = 300;
/** A replay of the history comes at once after the page was opened; none of it is news. */
const SETTLE_MS = 2000;

/** What a screen reader hears of a conversation: answers, errors and questions as they come, not each line of output. */
export function Announcer({ rows, run }: { rows: AgentEvent[]; run: ExecutionStatus | null }) {
  const [text, setText] = useState('');
  const opened = useRef(Date.now());
  const last = rows.at(-1);
  useEffect(() => {
    const words = last === undefined ? undefined : spoken(last);
    if (words !== undefined && Date.now() - opened.current > SETTLE_MS) setText(words.slice(0, LONGEST));
  }, [last]);
  useEffect(() => {
    if (run === 'waiting_for_confirmation') setText('The agent asks whether it may do an action.');
  }, [run]);
  return (
    <p className="visually-hidden" role="status">
      {text}
    </p>
  );
}

function spoken(event: AgentEvent): string | undefined {
  const row = rowOf(event);
  if (row === 'agent') return `Agent: ${textOf(event.llm_message?.content)}`;
  if (row === 'error') return `Error: ${errorLine(event)}`;
  return row === 'action' && event.action?.kind === 'FinishAction' ? `Agent: ${actionLine(event)}` : undefined;
}
