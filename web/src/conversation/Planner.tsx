import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useState, type ReactNode } from 'react';
import { agentOf } from '../api/agent';
import { getConversation, startPlanner, type Conversation, type ExecutionStatus } from '../api/platform';
import { onEnter } from '../parts/keys';
import { Problem } from '../parts/Problem';
import { useDraft } from '../parts/useDraft';
import { useStart } from '../pages/useStart';
import { Chat } from './Chat';
import { Sleeping } from './Sleeping';
import { useEvents } from './useEvents';

interface PlannerProps {
  parent: Conversation;
  head: ReactNode;
}

/** The conversation with the agent that plans: a sub-conversation, in the same sandbox and folder. Made by its first message. */
export function Planner({ parent, head }: PlannerProps) {
  const [taskId, setTaskId] = useState<string>();
  const id = parent.sub_conversation_ids?.[0];
  if (id !== undefined) return <Running key={id} id={id} head={head} />;
  return (
    <section className="chat" aria-label="Chat">
      {head}
      <div className="rows">
        {taskId !== undefined ? (
          <Coming taskId={taskId} parentId={parent.id} onFailed={() => setTaskId(undefined)} />
        ) : parent.sandbox_status === 'RUNNING' ? (
          <p className="hint">
            A planner reads the workspace and writes a plan, and changes nothing else. The agent can then build it.
          </p>
        ) : (
          <Sleeping what="The planner" />
        )}
      </div>
      {taskId === undefined && parent.sandbox_status === 'RUNNING' ? (
        <First parentId={parent.id} onStarted={setTaskId} />
      ) : null}
    </section>
  );
}

function First({ parentId, onStarted }: { parentId: string; onStarted(taskId: string): void }) {
  const [text, setText] = useDraft(`planner:${parentId}`);
  const start = useMutation({
    mutationFn: (wanted: string) => startPlanner(parentId, wanted),
    onSuccess: (task) => onStarted(task.id),
  });
  const submit = () => {
    if (text.trim() !== '' && !start.isPending) start.mutate(text);
  };
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label className="visually-hidden" htmlFor="plan">
        What should be planned?
      </label>
      <textarea
        id="plan"
        rows={2}
        value={text}
        placeholder="What should be planned?"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onEnter(submit)}
      />
      <button className="primary" type="submit" disabled={text.trim() === '' || start.isPending}>
        Plan
      </button>
      <Problem error={start.error} />
    </form>
  );
}

/** Until the parent says that it is there. */
function Coming({ taskId, parentId, onFailed }: { taskId: string; parentId: string; onFailed(): void }) {
  const { task } = useStart(taskId);
  const queries = useQueryClient();
  const status = task.data?.status;
  useEffect(() => {
    if (status === 'READY') void queries.invalidateQueries({ queryKey: ['conversation', parentId] });
  }, [status, parentId, queries]);
  if (status !== 'ERROR') return <p role="status">The planner is starting…</p>;
  return (
    <>
      <p className="problem" role="alert">
        {task.data?.detail ?? 'The planner could not be started.'}
      </p>
      <button type="button" onClick={onFailed}>
        Try again
      </button>
    </>
  );
}

function Running({ id, head }: { id: string; head: ReactNode }) {
  const query = useQuery({ queryKey: ['conversation', id], queryFn: () => getConversation(id), refetchInterval: 5000 });
  if (query.data == null)
    return (
      <section className="chat" aria-label="Chat">
        {head}
        <Problem error={query.error} />
      </section>
    );
  return <Talk conversation={query.data} head={head} />;
}

function Talk({ conversation, head }: { conversation: Conversation; head: ReactNode }) {
  const { id, conversation_url, session_api_key, sandbox_status } = conversation;
  const agent = useMemo(
    () => (sandbox_status === 'RUNNING' ? agentOf({ id, conversation_url, session_api_key }) : undefined),
    [id, conversation_url, session_api_key, sandbox_status],
  );
  const live = useEvents(id, agent);
  const run = agent === undefined ? null : (live.runStatus ?? conversation.execution_status);
  return <Chat conversation={conversation} run={run as ExecutionStatus | null} agent={agent} live={live} head={head} />;
}
