import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRef, useState, type FormEvent } from 'react';
import { listApps, type Agent } from '../api/agent';
import type { Conversation } from '../api/platform';
import {
  createShare,
  listShares,
  publicPath,
  revokeShare,
  setPublic,
  type Share,
  type SharedPort,
} from '../api/shares';
import { Problem } from '../parts/Problem';
import { RevokeButton } from '../parts/RevokeButton';
import { CopyField } from '../parts/CopyField';

const HOUR_MS = 3_600_000;
const LIVES: [hours: number, words: string][] = [
  [1, 'an hour'],
  [24, 'a day'],
  [24 * 7, 'a week'],
  [24 * 30, '30 days'],
  [24 * 365, 'a year'],
];

interface ShareProps {
  conversation: Conversation;
  agent: Agent | undefined;
}

export function ShareButton({ conversation, agent }: ShareProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [isOpen, setOpen] = useState(false);
  const open = () => {
    setOpen(true);
    dialog.current?.showModal();
  };
  return (
    <>
      <button type="button" onClick={open}>
        Share…
      </button>
      <dialog ref={dialog} className="share" aria-labelledby="share-title" onClose={() => setOpen(false)}>
        <h2 id="share-title">Share this conversation</h2>
        {isOpen ? <Sharing conversation={conversation} agent={agent} /> : null}
        <div className="bar end">
          <button type="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </div>
      </dialog>
    </>
  );
}

/** Links that exist, a new one, and the switch that needs none. */
function Sharing({ conversation, agent }: ShareProps) {
  const { id } = conversation;
  const shares = useQuery({ queryKey: ['shares', id], queryFn: () => listShares(id) });
  return (
    <>
      <p className="hint">
        Whoever has a link reads the messages and the agent’s work, without an account, until it ends or you revoke it.
        They cannot write, and see no settings, secrets or keys.
      </p>
      <Problem error={shares.error} />
      <ul className="keys">
        {shares.data?.map((share) => (
          <ShareRow key={share.id} conversationId={id} share={share} />
        ))}
      </ul>
      <NewLink conversationId={id} agent={agent} />
      <PublicSwitch conversation={conversation} />
    </>
  );
}

function ShareRow({ conversationId, share }: { conversationId: string; share: Share }) {
  const queries = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => revokeShare(conversationId, share.id),
    onSettled: () => queries.invalidateQueries({ queryKey: ['shares', conversationId] }),
  });
  const name = share.name === null || share.name === '' ? 'Link' : share.name;
  return (
    <li>
      <span>
        <b>{name}</b> <span className="hint">{grants(share.ports)}</span>
        <br />
        <span className="hint">
          {share.last_used_at === null ? 'Never opened' : `Opened ${time(share.last_used_at)}`}, ends{' '}
          {time(share.expires_at)}
        </span>
      </span>
      <RevokeButton name={name} act={revoke} />
    </li>
  );
}

function NewLink({ conversationId, agent }: { conversationId: string; agent: Agent | undefined }) {
  const [name, setName] = useState('');
  const [hours, setHours] = useState(24 * 7);
  const [ports, setPorts] = useState<ReadonlySet<SharedPort>>(new Set());
  const queries = useQueryClient();
  const create = useMutation({
    mutationFn: () =>
      createShare(conversationId, {
        name: name.trim(),
        expires_at: new Date(Date.now() + hours * HOUR_MS).toISOString(),
        ports: [...ports],
      }),
    onSuccess: () => {
      setName('');
      return queries.invalidateQueries({ queryKey: ['shares', conversationId] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={submit}>
      <div className="bar">
        <label className="inline">
          For{' '}
          <input
            value={name}
            maxLength={100}
            placeholder="whom, to tell links apart"
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <label className="inline">
          Ends after{' '}
          <select value={hours} onChange={(event) => setHours(Number(event.target.value))}>
            {LIVES.map(([each, words]) => (
              <option key={each} value={each}>
                {words}
              </option>
            ))}
          </select>
        </label>
      </div>
      <AppChoice agent={agent} chosen={ports} onChange={setPorts} />
      <button type="submit" className="primary" disabled={create.isPending}>
        Make a link
      </button>
      <Problem error={create.error} />
      {create.data === undefined ? null : (
        <CopyField label="Copy it now, it is not shown again" text={location.origin + create.data.link} />
      )}
    </form>
  );
}

interface ChoiceProps {
  agent: Agent | undefined;
  chosen: ReadonlySet<SharedPort>;
  onChange(ports: ReadonlySet<SharedPort>): void;
}

/** Apps that listen now. One that is not there yet can be shared when it is. */
function AppChoice({ agent, chosen, onChange }: ChoiceProps) {
  const apps = useQuery({
    queryKey: ['apps', agent?.base],
    queryFn: () => (agent === undefined ? Promise.reject(new Error('no sandbox')) : listApps(agent)),
    enabled: agent !== undefined,
    refetchInterval: 2000,
  });
  const list = apps.data?.apps ?? [];
  if (list.length === 0) return <p className="hint">No app runs in the sandbox now that could be shared as well.</p>;
  const toggle = (port: number, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(port);
    else next.delete(port);
    onChange(next);
  };
  return (
    <fieldset>
      <legend>They may also use</legend>
      {list.map(({ port, title, process }) => (
        <label key={port} className="check">
          <input type="checkbox" checked={chosen.has(port)} onChange={(event) => toggle(port, event.target.checked)} />
          {title ?? process ?? 'the app'} on port {port}
        </label>
      ))}
    </fieldset>
  );
}

function PublicSwitch({ conversation }: { conversation: Conversation }) {
  const queries = useQueryClient();
  // What was chosen shows at once, until the answer is there.
  const [chosen, setChosen] = useState<boolean>();
  const change = useMutation({
    mutationFn: (on: boolean) => setPublic(conversation.id, on),
    onSettled: async () => {
      await queries.invalidateQueries({ queryKey: ['conversation', conversation.id] });
      setChosen(undefined);
    },
  });
  const isPublic = chosen ?? conversation.public === true;
  const choose = (on: boolean) => {
    setChosen(on);
    change.mutate(on);
  };
  return (
    <>
      <label className="check">
        <input
          type="checkbox"
          checked={isPublic}
          disabled={change.isPending}
          onChange={(event) => choose(event.target.checked)}
        />
        Public: everybody who knows its address may read it
      </label>
      {isPublic ? <CopyField label="Address" text={location.origin + publicPath(conversation.id)} /> : null}
      <Problem error={change.error} />
    </>
  );
}

const time = (at: string) => new Date(at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
const grants = (ports: SharedPort[]) => (ports.length === 0 ? 'reading' : `reading, and app ${ports.join(', ')}`);
