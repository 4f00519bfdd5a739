import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { useLocation } from 'wouter';
import { continueRun, stopRun, type Agent } from '../api/agent';
import {
  deleteConversation,
  pauseSandbox,
  renameConversation,
  resumeSandbox,
  type Conversation,
  type ExecutionStatus,
} from '../api/platform';
import { Badge } from '../parts/Badge';
import { Problem } from '../parts/Problem';
import { ShareButton } from './ShareDialog';

interface HeaderProps {
  conversation: Conversation;
  run: ExecutionStatus | null;
  agent: Agent | undefined;
}

export function Header({ conversation, run, agent }: HeaderProps) {
  const queries = useQueryClient();
  const act = useMutation({
    mutationFn: (action: () => Promise<unknown>) => action(),
    onSettled: () => queries.invalidateQueries({ queryKey: ['conversation', conversation.id] }),
  });
  const { sandbox_status: sandbox, sandbox_id: sandboxId } = conversation;
  return (
    <div className="head">
      <h1 className="visually-hidden">{conversation.title ?? 'Untitled'}</h1>
      <Title key={conversation.title} conversation={conversation} />
      <Badge sandbox={sandbox} run={run} />
      <div className="actions">
        {agent !== undefined && run === 'running' ? (
          <button type="button" onClick={() => act.mutate(() => stopRun(agent))}>
            Stop agent
          </button>
        ) : null}
        {agent !== undefined && run === 'paused' ? (
          <button type="button" onClick={() => act.mutate(() => continueRun(agent))}>
            Continue
          </button>
        ) : null}
        {sandbox === 'RUNNING' || sandbox === 'STARTING' ? (
          <button type="button" disabled={act.isPending} onClick={() => act.mutate(() => pauseSandbox(sandboxId))}>
            Pause sandbox
          </button>
        ) : null}
        {sandbox === 'PAUSED' || sandbox === 'ERROR' ? (
          <button
            type="button"
            className="primary"
            disabled={act.isPending}
            onClick={() => act.mutate(() => resumeSandbox(sandboxId))}
          >
            Resume sandbox
          </button>
        ) : null}
        <ShareButton conversation={conversation} agent={agent} />
        <DeleteButton conversation={conversation} />
      </div>
      <Problem error={act.error} />
    </div>
  );
}

function Title({ conversation }: { conversation: Conversation }) {
  const [text, setText] = useState(conversation.title ?? '');
  const queries = useQueryClient();
  const rename = useMutation({
    mutationFn: (title: string) => renameConversation(conversation.id, title),
    onSettled: () => queries.invalidateQueries({ queryKey: ['conversation', conversation.id] }),
  });
  const save = () => {
    if (text.trim() !== '' && text !== conversation.title) rename.mutate(text.trim());
  };
  return (
    <input
      className="title"
      aria-label="Title of the conversation"
      value={text}
      onChange={(event) => setText(event.target.value)}
      onBlur={save}
      onKeyDown={(event) => {
        if (event.key === 'Enter') event.currentTarget.blur();
      }}
    />
  );
}

function DeleteButton({ conversation }: { conversation: Conversation }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [, navigate] = useLocation();
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () => deleteConversation(conversation.id),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['conversations'] });
      navigate('/');
    },
  });
  return (
    <>
      <button type="button" onClick={() => dialog.current?.showModal()}>
        Delete…
      </button>
      <dialog ref={dialog} aria-labelledby="delete-title">
        <h2 id="delete-title">Delete this conversation?</h2>
        <p>Its sandbox, its files and its history are removed. This cannot be undone.</p>
        <Problem error={remove.error} />
        <div className="bar">
          <button type="button" onClick={() => dialog.current?.close()}>
            Keep it
          </button>
          <button type="button" className="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
            Delete
          </button>
        </div>
      </dialog>
    </>
  );
}
