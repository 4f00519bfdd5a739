import { useMutation, useQuery } from '@tanstack/react-query';
import { startVscodeInstall, vscodeInstall, type Agent } from '../api/agent';
import { enterSandbox } from '../api/platform';
import { Problem } from '../parts/Problem';
import { SandboxFrame } from './SandboxFrame';
import { Sleeping } from './Sleeping';
import { useOpenInTab } from './useOpenInTab';

interface CodeTabProps {
  agent: Agent | undefined;
  sandboxId: string;
  /** What the editor opens. */
  folder: string;
  active: boolean;
}

/** VS Code of the sandbox. Where the machine has none yet, offers to install it and shows how far it is. */
export function CodeTab({ agent, sandboxId, folder, active }: CodeTabProps) {
  const install = useQuery({
    queryKey: ['vscode', agent?.base],
    queryFn: () => (agent === undefined ? Promise.reject(new Error('no sandbox')) : vscodeInstall(agent)),
    enabled: agent !== undefined && active,
    refetchInterval: ({ state }) => (state.data?.state === 'installing' ? 1000 : false),
  });
  const start = useMutation({
    mutationFn: (target: Agent) => startVscodeInstall(target),
    onSuccess: () => install.refetch(),
  });
  if (agent === undefined) return <Sleeping what="VS Code" />;
  if (install.data?.state === 'installed') return <Editor agent={agent} sandboxId={sandboxId} folder={folder} />;
  const installing = install.data?.state === 'installing';
  return (
    <div className="offer">
      <Problem error={install.error ?? start.error} />
      {install.data === undefined ? null : (
        <>
          <p>VS Code is not installed on this machine yet. Installing takes about a minute and 300 MB, once.</p>
          <button
            type="button"
            className="primary"
            disabled={installing || start.isPending}
            onClick={() => start.mutate(agent)}
          >
            {installing ? 'Installing…' : install.data.state === 'failed' ? 'Try again' : 'Install VS Code'}
          </button>
          {installing ? <progress max={100} value={install.data.percent} aria-label="Installation" /> : null}
          <p
            role={install.data.state === 'failed' ? 'alert' : 'status'}
            className={install.data.state === 'failed' ? 'problem' : 'hint'}
          >
            {install.data.message}
          </p>
        </>
      )}
    </div>
  );
}

function Editor({ agent, sandboxId, folder }: { agent: Agent; sandboxId: string; folder: string }) {
  const query = `?folder=${encodeURIComponent(folder)}`;
  const entry = useQuery({
    queryKey: ['entry', sandboxId, 'vscode', agent.sessionKey],
    // That page goes on to the editor, or says why it cannot be shown in a frame.
    queryFn: () => enterSandbox(sandboxId, 'vscode', `/-/open${query}`),
    // The pass is for one use within a minute; the frame keeps the cookie that it was exchanged for.
    staleTime: Infinity,
    gcTime: 0,
  });
  const tab = useOpenInTab(() => enterSandbox(sandboxId, 'vscode', `/${query}`));
  return (
    <>
      <div className="bar end">
        <button type="button" disabled={tab.isPending} onClick={tab.open}>
          Open in a new tab
        </button>
      </div>
      <Problem error={entry.error ?? tab.error} />
      {entry.data === undefined ? null : <SandboxFrame editor title="VS Code" url={entry.data.url} />}
    </>
  );
}
