import { useInfiniteQuery, useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent } from 'react';
import { Link, useLocation } from 'wouter';
import { searchConversations, startConversation, type Conversation } from '../api/platform';
import { Badge } from '../parts/Badge';
import { Problem } from '../parts/Problem';
import { onEnter } from '../parts/keys';
import { LINE_RUNNER, readSettings } from '../parts/settings';
import { forgetDraft, useDraft } from '../parts/useDraft';
import { useTitle } from '../parts/useTitle';

/** Works without a model: writes a page and serves it on the port that the sandbox has for apps. */
const EXAMPLE = `mkdir -p site && echo '<title>Hello</title><h1>Hello from the sandbox</h1>' > site/index.html
node -e "require('http').createServer((q, s) => { s.setHeader('content-type', 'text/html'); require('fs').createReadStream('site/index.html').pipe(s) }).listen(process.env.WORKER_1)" &
sleep 1; echo the app is up`;

export function HomePage() {
  useTitle(undefined);
  return (
    <div className="page">
      <StartForm />
      <ConversationList />
    </div>
  );
}

function StartForm() {
  const [text, setText] = useDraft('task');
  const [repository, setRepository] = useDraft('repository');
  const [, navigate] = useLocation();
  const start = useMutation({
    mutationFn: startConversation,
    onSuccess: (task) => {
      forgetDraft('task');
      forgetDraft('repository');
      navigate(`/conversations/task-${task.id}`);
    },
  });
  const submit = (event?: FormEvent) => {
    event?.preventDefault();
    if (text.trim() === '' || start.isPending) return;
    start.mutate({ text, ...(repository.trim() === '' ? {} : { repository: repository.trim() }) });
  };
  return (
    <form className="start" onSubmit={submit}>
      <h1>
        <label htmlFor="task">What should the agent do?</label>
      </h1>
      <textarea
        id="task"
        rows={4}
        autoFocus
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onEnter(submit)}
        aria-describedby="task-hint"
      />
      <ModelHint onExample={setText} />
      <div className="bar">
        <label className="inline">
          Repository <span className="hint">(optional, owner/name)</span>
          <input value={repository} onChange={(event) => setRepository(event.target.value)} pattern="[^\s/]+/[^\s/]+" />
        </label>
        <button className="primary" type="submit" disabled={text.trim() === '' || start.isPending}>
          {start.isPending ? 'Starting…' : 'Start'}
        </button>
      </div>
      <Problem error={start.error} />
    </form>
  );
}

/** Which model will read the task. Room is kept for it, so that nothing moves when it arrives. */
function ModelHint({ onExample }: { onExample(text: string): void }) {
  const settings = useQuery({ queryKey: ['settings'], queryFn: readSettings });
  const model = settings.data?.agent_settings.llm.model ?? LINE_RUNNER;
  return (
    <p className="hint task-hint" id="task-hint">
      Enter starts, Shift+Enter makes a new line.{' '}
      {!settings.isSuccess ? null : model === LINE_RUNNER ? (
        <>
          No model is set up: the built-in line-runner runs what you write as shell commands.{' '}
          <Link href="/settings">Choose a model</Link> or{' '}
          <button type="button" className="link" onClick={() => onExample(EXAMPLE)}>
            take an example
          </button>
          .
        </>
      ) : (
        <>
          {model} will do it. <Link href="/settings">Change</Link>
        </>
      )}
    </p>
  );
}

function ConversationList() {
  const list = useInfiniteQuery({
    queryKey: ['conversations'],
    queryFn: ({ pageParam }) => searchConversations(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_page_id ?? undefined,
    refetchInterval: 5000,
  });
  const conversations = list.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <section aria-labelledby="recent">
      <h2 id="recent">Recent conversations</h2>
      <Problem error={list.error} />
      {list.isPending ? <p className="hint">Loading…</p> : null}
      {list.isSuccess && conversations.length === 0 ? (
        <p className="hint">None yet. What you start above appears here.</p>
      ) : null}
      <ul className="list">
        {conversations.map((conversation) => (
          <Row key={conversation.id} conversation={conversation} />
        ))}
      </ul>
      {list.hasNextPage ? (
        <button type="button" onClick={() => void list.fetchNextPage()} disabled={list.isFetchingNextPage}>
          Show more
        </button>
      ) : null}
    </section>
  );
}

function Row({ conversation }: { conversation: Conversation }) {
  return (
    <li>
      <Link href={`/conversations/${conversation.id}`}>
        <span className="title">{conversation.title ?? 'Untitled'}</span>
        <time dateTime={conversation.updated_at}>{new Date(conversation.updated_at).toLocaleString()}</time>
        <Badge sandbox={conversation.sandbox_status} run={conversation.execution_status} />
      </Link>
    </li>
  );
}
