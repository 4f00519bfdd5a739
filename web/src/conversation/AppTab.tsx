import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { listApps, type Agent, type ListeningApp } from '../api/agent';
import { enterSandbox } from '../api/platform';
import { Problem } from '../parts/Problem';
import { SandboxFrame } from './SandboxFrame';
import { Sleeping } from './Sleeping';
import { useOpenInTab } from './useOpenInTab';

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
  const tab = useOpenInTab(() => enterSandbox(sandboxId, port));
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
        <button type="button" disabled={tab.isPending} onClick={tab.open}>
          Open in a new tab
        </button>
      </div>
      <Problem error={entry.error ?? tab.error} />
      {entry.data === undefined ? null : <SandboxFrame title={`App on port ${port}`} url={entry.data.url} />}
    </>
  );
}
