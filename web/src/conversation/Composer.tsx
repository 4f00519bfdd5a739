import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { sendByHttp, type Agent } from '../api/agent';
import { queueMessage, type Conversation } from '../api/platform';
import { onEnter } from '../parts/keys';
import { Problem } from '../parts/Problem';
import type { Live } from './useEvents';

/** Sends by the socket when it is open, by HTTP when only the sandbox is, and queues at the API server while it sleeps. */
export function Composer({
  conversation,
  agent,
  live,
}: {
  conversation: Conversation;
  agent: Agent | undefined;
  live: Live;
}) {
  const [text, setText] = useState('');
  const send = useMutation({
    mutationFn: async (message: string) => {
      if (live.stream === 'open' && live.send(message)) return 'sent';
      if (agent !== undefined) await sendByHttp(agent, message);
      else await queueMessage(conversation.id, message);
      return agent === undefined ? 'queued' : 'sent';
    },
    onSuccess: () => setText(''),
  });
  const submit = () => {
    if (text.trim() !== '' && !send.isPending) send.mutate(text);
  };
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label className="visually-hidden" htmlFor="message">
        Message to the agent
      </label>
      <textarea
        id="message"
        rows={2}
        value={text}
        placeholder="Message the agent"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onEnter(submit)}
      />
      <button className="primary" type="submit" disabled={text.trim() === '' || send.isPending}>
        Send
      </button>
      {send.data === 'queued' && text === '' ? (
        <p className="hint" role="status">
          Queued; it is delivered when the sandbox runs again.
        </p>
      ) : null}
      <Problem error={send.error} />
    </form>
  );
}
