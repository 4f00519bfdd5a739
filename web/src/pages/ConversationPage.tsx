import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { Link } from 'wouter';
import { agentOf } from '../api/agent';
import { getConversation, type Conversation, type ExecutionStatus } from '../api/platform';
import { AppTab } from '../conversation/AppTab';
import { Chat } from '../conversation/Chat';
import { CodeTab } from '../conversation/CodeTab';
import { EventsTab } from '../conversation/EventsTab';
import { Header } from '../conversation/Header';
import { ModeSwitch, type Mode } from '../conversation/ModeSwitch';
import { Planner } from '../conversation/Planner';
import { PlanTab } from '../conversation/PlanTab';
import { TerminalTab } from '../conversation/TerminalTab';
import { useEvents } from '../conversation/useEvents';
import { Problem } from '../parts/Problem';
import { Tabs } from '../parts/Tabs';
import { useNarrow } from '../parts/useNarrow';
import { useTitle } from '../parts/useTitle';

export default function ConversationPage({ id }: { id: string }) {
  const query = useQuery({
    queryKey: ['conversation', id],
    queryFn: () => getConversation(id),
    // Quick while something is changing, slow otherwise: titles and states of others' making still arrive.
    refetchInterval: ({ state }) => (state.data?.sandbox_status === 'STARTING' ? 500 : 5000),
  });
  if (query.isPending) return <p className="page">Loading…</p>;
  if (query.data == null) {
    return (
      <div className="page">
        <Problem error={query.error} />
        {query.isSuccess ? <p>There is no such conversation.</p> : null}
        <Link href="/">Go to your conversations</Link>
      </div>
    );
  }
  return <Open conversation={query.data} />;
}

function Open({ conversation }: { conversation: Conversation }) {
  const { id, conversation_url, session_api_key, sandbox_id, sandbox_status, title } = conversation;
  const folder = conversation.tags?.archiveworkspacepath ?? '/workspace/project';
  useTitle(title ?? 'Untitled');
  const agent = useMemo(
    () => (sandbox_status === 'RUNNING' ? agentOf({ id, conversation_url, session_api_key }) : undefined),
    [id, conversation_url, session_api_key, sandbox_status],
  );
  const live = useEvents(id, agent);
  const isNarrow = useNarrow();
  const [mode, setMode] = useState<Mode>('code');
  const [chosen, setTab] = useState('chat');
  const planned = mode === 'plan' || (conversation.sub_conversation_ids ?? []).length > 0;
  // Side by side the chat is no tab of its own; without a planner there is no plan.
  const isShown = chosen === 'chat' ? isNarrow : chosen !== 'plan' || planned;
  const tab = isShown ? chosen : isNarrow ? 'chat' : 'events';
  const run = (
    agent === undefined ? null : (live.runStatus ?? conversation.execution_status)
  ) as ExecutionStatus | null;
  const choose = (next: Mode) => {
    setMode(next);
    if (next === 'plan' && !isNarrow) setTab('plan');
  };
  const goOn = () => {
    setMode('code');
    if (isNarrow) setTab('chat');
  };
  const head = <ModeSwitch mode={mode} onChange={choose} />;
  const chat =
    mode === 'plan' ? (
      <Planner parent={conversation} head={head} />
    ) : (
      <Chat conversation={conversation} run={run} agent={agent} live={live} head={head} />
    );
  const plan = <PlanTab agent={agent} conversationId={id} active={tab === 'plan'} onBuild={goOn} />;
  const tabs = [
    ...(isNarrow ? [{ key: 'chat', label: 'Chat', content: chat }] : []),
    ...(planned ? [{ key: 'plan', label: 'Plan', content: plan }] : []),
    { key: 'events', label: 'Events', content: <EventsTab events={live.events} /> },
    { key: 'terminal', label: 'Terminal', content: <TerminalTab agent={agent} /> },
    {
      key: 'code',
      label: 'Code',
      content: <CodeTab agent={agent} sandboxId={sandbox_id} folder={folder} active={tab === 'code'} />,
    },
    { key: 'app', label: 'App', content: <AppTab agent={agent} sandboxId={sandbox_id} active={tab === 'app'} /> },
  ];
  return (
    <div className="conversation">
      <Header conversation={conversation} run={run} agent={agent} />
      <div className="columns">
        {isNarrow ? null : chat}
        <Tabs label="Sandbox" tabs={tabs} active={tab} onChange={setTab} />
      </div>
    </div>
  );
}
