import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { enterShared, getShared, type SharedConversation, type SharedPort, type Visit } from '../api/shares';
import { Rows } from '../conversation/Rows';
import { useOpenInTab } from '../conversation/useOpenInTab';
import { useSharedEvents } from '../conversation/useSharedEvents';
import { Badge } from '../parts/Badge';
import { Problem } from '../parts/Problem';
import { useTitle } from '../parts/useTitle';

/** A conversation as somebody sees it who has a link to it: to read, nothing else. */
export default function SharedPage({ id }: { id: string }) {
  // The secret of the link; browsers send what is behind `#` to nobody.
  const visit = useMemo<Visit>(() => ({ id, secret: location.hash.slice(1) }), [id]);
  const query = useQuery({ queryKey: ['shared', id], queryFn: () => getShared(visit), refetchInterval: 3000 });
  const { events, error } = useSharedEvents(visit, query.data != null);
  useTitle(query.data?.title ?? 'Shared conversation');
  if (query.isPending) return <p className="page">Loading…</p>;
  if (query.data == null)
    return (
      <div className="page">
        <h1>Not shared</h1>
        <p>This conversation is not shared with you, or no longer. Ask whoever gave you the link for a new one.</p>
        <Problem error={query.error} />
      </div>
    );
  return (
    <div className="conversation">
      <div className="head">
        <h1 className="shared-title">{query.data.title ?? 'Untitled'}</h1>
        <Badge sandbox={query.data.sandbox_status} run={query.data.execution_status} />
        <Terms conversation={query.data} visit={visit} />
      </div>
      <section className="chat shared" aria-label="Chat">
        <Rows events={events}>
          <Problem error={query.error ?? error} />
        </Rows>
      </section>
    </div>
  );
}

/** When it ends, and what it opens besides. */
function Terms({ conversation, visit }: { conversation: SharedConversation; visit: Visit }) {
  const { share, sandbox_status: status } = conversation;
  if (share === null) return <span className="hint">Public</span>;
  const ends = new Date(share.expires_at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
  return (
    <>
      <span className="hint">Shared until {ends}</span>
      <div className="actions">
        {share.ports.map((port) => (
          <OpenApp key={port} visit={visit} port={port} isRunning={status === 'RUNNING'} />
        ))}
      </div>
    </>
  );
}

function OpenApp({ visit, port, isRunning }: { visit: Visit; port: SharedPort; isRunning: boolean }) {
  const tab = useOpenInTab(() => enterShared(visit, port));
  return (
    <>
      <button type="button" disabled={tab.isPending || !isRunning} onClick={tab.open}>
        Open app {port}
      </button>
      <Problem error={tab.error} />
    </>
  );
}
