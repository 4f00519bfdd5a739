import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { listApps, type Agent, type ListeningApp } from '../api/agent';
import { enterSandbox } from '../api/platform';
import { Problem } from '../parts/Problem';
import { SandboxFrame } from './SandboxFrame';
import { Sleeping } from './Sleeping';

interface AppTabProps {
  agent: Agent | undefined;
  sandboxId: string;
  active: boolean;
}

/** What the agent serves: finds listening apps and shows one; moves on by itself when the first appears. */
export function AppTab({ agent, sandboxId, active }: AppTabProps) {
  const [chosen, setChosen] = useState<number>();
  const apps = useQuery({
    queryKey: ['apps', agent?.base],
    queryFn: () => (agent === undefined ? Promise.reject(new Error('no sandbox')) : listApps(agent)),
    enabled: agent !== undefined && active,
    refetchInterval: 2000,
  });
  if (agent === undefined) return <Sleeping what="The app" />;
  // Pages first: a database that listens is no app to look at.
  const list = (apps.data?.apps ?? []).toSorted((a, b) => Number(b.title !== null) - Number(a.title !== null));
  const port = list.some((app) => app.port === chosen) ? chosen : list[0]?.port;
  if (port === undefined) {
    return (
      <div className="offer">
        <Problem error={apps.error} />
        <p>No app is listening yet. This page moves on by itself when the agent starts one.</p>
      </div>
    );
  }
  return <Shown sandboxId={sandboxId} list={list} port={port} onChoose={setChosen} />;
}

interface ShownProps {
  sandboxId: string;
  list: ListeningApp[];
  port: number;
  onChoose(port: number): void;
}

function Shown({ sandboxId, list, port, onChoose }: ShownProps) {
  const [turn, setTurn] = useState(0);
  const entry = useQuery({
    queryKey: ['entry', sandboxId, port, turn],
    queryFn: () => enterSandbox(sandboxId, port),
    staleTime: Infinity,
    gcTime: 0,
  });
  const open = useMutation({
    // The tab is opened by the click itself, or browsers would block it; its address is good for a minute only.
    mutationFn: async (target: Window | null) => {
      try {
        const { url } = await enterSandbox(sandboxId, port);
        if (target === null) throw new Error('The browser did not allow a new tab.');
        target.opener = null;
        target.location.href = url;
      } catch (error) {
        target?.close();
        throw error;
      }
    },
  });
  return (
    <>
      <div className="bar">
        <label>
          App{' '}
          <select value={port} onChange={(event) => onChoose(Number(event.target.value))}>
            {list.map((app) => (
              <option key={app.port} value={app.port}>
                {[app.title ?? app.process ?? 'port', app.port].join(' · ')}
              </option>
            ))}
          </select>
        </label>
        <button type="button" onClick={() => setTurn(turn + 1)}>
          Reload
        </button>
        <button
          type="button"
          disabled={open.isPending}
          onClick={() => open.mutate(window.open('about:blank', '_blank'))}
        >
          Open in a new tab
        </button>
      </div>
      <Problem error={entry.error ?? open.error} />
      {entry.data === undefined ? null : <SandboxFrame title={`App on port ${port}`} url={entry.data.url} />}
    </>
  );
}
