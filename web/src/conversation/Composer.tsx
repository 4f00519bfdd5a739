import { useMutation } from '@tanstack/react-query';
import { sendByHttp, type Agent } from '../api/agent';
import { queueMessage, type Conversation } from '../api/platform';
import { onEnter } from '../parts/keys';
import { Problem } from '../parts/Problem';
import { useDraft } from '../parts/useDraft';
import type { Live } from './useEvents';

interface ComposerProps {
  conversation: Conversation;
  agent: Agent | undefined;
  live: Live;
}

/** Sends to the sandbox, which says when the message is stored; while it sleeps, the API server keeps it for later. */
export function Composer({ conversation, agent, live }: ComposerProps) {
  const [text, setText] = useDraft(`conversation:${conversation.id}`);
  const send = useMutation({
    mutationFn: async (message: string) => {
      if (agent !== undefined) await sendByHttp(agent, message);
      else await queueMessage(conversation.id, message);
      return { kept: agent === undefined };
    },
    // What was typed meanwhile stays.
    onSuccess: (_answer, message) => setText((now) => (now === message ? '' : now)),
  });
  const submit = () => {
    if (text.trim() !== '' && !send.isPending) send.mutate(text);
  };
  const state =
    agent === undefined
      ? send.data?.kept === true && text === ''
        ? 'Kept; it is delivered when the sandbox runs again.'
        : 'The sandbox does not run. A message is kept until it does.'
      : live.stream === 'open'
        ? 'Enter sends, Shift+Enter makes a new line.'
        : live.lost
          ? 'The connection to the sandbox is lost. Trying again…'
          : 'Connecting…';
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
        aria-describedby="message-state"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onEnter(submit)}
      />
      <button className="primary" type="submit" disabled={text.trim() === '' || send.isPending}>
        Send
      </button>
      <p className="hint" role="status" id="message-state">
        {state}
      </p>
      <Problem error={send.error} />
    </form>
  );
}
