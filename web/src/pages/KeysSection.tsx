import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { createKey, listKeys, revokeKey, SCOPES, type ApiKey, type Scope } from '../api/identity';
import { Problem } from '../parts/Problem';
import { RevokeButton } from '../parts/RevokeButton';

const MEANING: Record<Scope, string> = {
  full: 'Everything that you may do',
  runtime: 'The Runtime API only',
  read: 'Reading only, without session keys',
};
const DAY_MS = 86_400_000;
const LIVES = [30, 90, 365];

/** API keys of the user: make, see when they were used, revoke. A new key is shown once. */
export function KeysSection() {
  const keys = useQuery({ queryKey: ['keys'], queryFn: listKeys });
  return (
    <section>
      <h2>API keys</h2>
      <p className="hint">For programs: they send a key as “Authorization: Bearer …” or “X-API-Key: …”.</p>
      <Problem error={keys.error} />
      {keys.data?.length === 0 ? <p>None yet.</p> : null}
      <ul className="keys">
        {keys.data?.map((key) => (
          <KeyRow key={key.id} row={key} />
        ))}
      </ul>
      <NewKey />
    </section>
  );
}

function KeyRow({ row }: { row: ApiKey }) {
  const queries = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => revokeKey(row.id),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['keys'] }),
  });
  const day = (time: string) => new Date(time).toLocaleDateString();
  const name = row.name === null || row.name === '' ? row.hint : row.name;
  return (
    <li>
      <span>
        <b>{name}</b> <code>{row.hint}</code> <span className="hint">{row.scopes.join(', ')}</span>
        <br />
        <span className="hint">
          {row.last_used_at === null ? 'Never used' : `Used ${day(row.last_used_at)}`}
          {row.expires_at === null ? ', does not expire' : `, ends ${day(row.expires_at)}`}
        </span>
      </span>
      <RevokeButton name={name} act={revoke} />
    </li>
  );
}

function NewKey() {
  const [name, setName] = useState('');
  const [scope, setScope] = useState<Scope>('full');
  const [days, setDays] = useState(90);
  const queries = useQueryClient();
  const create = useMutation({
    mutationFn: createKey,
    onSuccess: () => {
      setName('');
      return queries.invalidateQueries({ queryKey: ['keys'] });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const expires_at = days === 0 ? null : new Date(Date.now() + days * DAY_MS).toISOString();
    create.mutate({ name: name.trim(), scopes: [scope], expires_at });
  };
  return (
    <form className="bar" onSubmit={submit}>
      <label className="inline">
        Name <input value={name} maxLength={100} required onChange={(event) => setName(event.target.value)} />
      </label>
      <label className="inline">
        May do{' '}
        <select value={scope} onChange={(event) => setScope(event.target.value as Scope)}>
          {SCOPES.map((each) => (
            <option key={each} value={each}>
              {MEANING[each]}
            </option>
          ))}
        </select>
      </label>
      <label className="inline">
        Ends{' '}
        <select value={days} onChange={(event) => setDays(Number(event.target.value))}>
          {LIVES.map((each) => (
            <option key={each} value={each}>
              after {each} days
            </option>
          ))}
          <option value={0}>never</option>
        </select>
      </label>
      <button type="submit" disabled={create.isPending}>
        Make a key
      </button>
      {create.data === undefined ? null : (
        <p role="status">
          Copy it now, it is not shown again: <code>{create.data.key}</code>
        </p>
      )}
      <Problem error={create.error} />
    </form>
  );
}
