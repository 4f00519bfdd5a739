import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { confirm, type Agent } from '../api/agent';
import { rowOf } from '../api/events';
import type { Conversation, ExecutionStatus } from '../api/platform';
import { Problem } from '../parts/Problem';
import { Announcer } from './Announcer';
import { Composer } from './Composer';
import { Rows } from './Rows';
import type { Live } from './useEvents';

interface ChatProps {
  conversation: Conversation;
  run: ExecutionStatus | null;
  agent: Agent | undefined;
  live: Live;
  head?: ReactNode;
}

export function Chat({ conversation, run, agent, live, head }: ChatProps) {
  const rows = live.events.filter((event) => rowOf(event) !== undefined);
  return (
    <section className="chat" aria-label="Chat">
      {head}
      <Rows events={live.events} draft={live.draft}>
        <Problem error={live.historyError} />
      </Rows>
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
