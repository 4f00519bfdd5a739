import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import {
  deleteUserSandbox,
  pauseUserSandbox,
  revokeUserKey,
  searchUsers,
  setDisabled,
  userKeys,
  userSandboxes,
  type AdminUser,
} from '../api/admin';
import { Badge } from '../parts/Badge';
import { Problem } from '../parts/Problem';
import { useTitle } from '../parts/useTitle';

/** Users of this installation, for its administrators. */
export default function AdminPage() {
  useTitle('Users');
  const [query, setQuery] = useState('');
  const users = useInfiniteQuery({
    queryKey: ['admin', 'users', query],
    queryFn: ({ pageParam }) => searchUsers(query, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_page_id ?? undefined,
    placeholderData: (before) => before,
  });
  const list = users.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <div className="page">
      <h1>Users</h1>
      <label className="inline">
        Find{' '}
        <input
          type="search"
          value={query}
          placeholder="part of a name or e-mail"
          onChange={(event) => setQuery(event.target.value)}
        />
      </label>
      <Problem error={users.error} />
      {users.isSuccess && list.length === 0 ? <p>No user is found.</p> : null}
      <ul className="keys">
        {list.map((user) => (
          <UserRow key={user.id} user={user} />
        ))}
      </ul>
      {users.hasNextPage ? (
        <button type="button" disabled={users.isFetching} onClick={() => void users.fetchNextPage()}>
          More
        </button>
      ) : null}
    </div>
  );
}

const useAct = () => {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (action: () => Promise<unknown>) => action(),
    onSettled: () => queries.invalidateQueries({ queryKey: ['admin'] }),
  });
};

function UserRow({ user }: { user: AdminUser }) {
  const [isOpen, setOpen] = useState(false);
  const act = useAct();
  const name = user.name ?? user.email ?? user.id;
  const isDisabled = user.disabled_at !== null;
  const seen = user.last_login_at === null ? 'never logged in' : `logged in ${time(user.last_login_at)}`;
  return (
    <li className="admin-user">
      <div className="admin-line">
        <span>
          <b>{name}</b> <span className="hint">{user.email === name ? '' : user.email}</span>{' '}
          {user.roles.includes('admin') ? <span className="badge quiet">Administrator</span> : null}{' '}
          {isDisabled ? <span className="badge bad">Disabled</span> : null}
          <br />
          <span className="hint">
            {user.sandboxes.running} of {user.sandboxes.total} sandboxes run, {user.api_keys} API keys, {seen}
          </span>
        </span>
        <span className="actions">
          <button
            type="button"
            aria-expanded={isOpen}
            aria-label={`Details of ${name}`}
            onClick={() => setOpen(!isOpen)}
          >
            Details
          </button>
          <button
            type="button"
            aria-label={`${isDisabled ? 'Enable' : 'Disable'} ${name}`}
            disabled={act.isPending}
            onClick={() => act.mutate(() => setDisabled(user.id, !isDisabled))}
          >
            {isDisabled ? 'Enable' : 'Disable'}
          </button>
        </span>
      </div>
      <Problem error={act.error} />
      {isOpen ? <Details user={user} /> : null}
    </li>
  );
}

function Details({ user: { id } }: { user: AdminUser }) {
  const sandboxes = useQuery({ queryKey: ['admin', 'sandboxes', id], queryFn: () => userSandboxes(id) });
  const keys = useQuery({ queryKey: ['admin', 'keys', id], queryFn: () => userKeys(id) });
  const act = useAct();
  return (
    <div className="admin-details">
      <Problem error={sandboxes.error ?? keys.error ?? act.error} />
      <h2>Sandboxes</h2>
      {sandboxes.data?.length === 0 ? <p className="hint">None.</p> : null}
      {sandboxes.data?.map((sandbox) => (
        <div key={sandbox.id} className="admin-line">
          <span>
            <code>{sandbox.id}</code> <Badge sandbox={sandbox.status} run={null} />
          </span>
          <span className="actions">
            {sandbox.status === 'RUNNING' || sandbox.status === 'STARTING' ? (
              <button type="button" onClick={() => act.mutate(() => pauseUserSandbox(id, sandbox.id))}>
                Pause
              </button>
            ) : null}
            <button
              type="button"
              className="danger"
              onClick={() => {
                if (confirm('Delete this sandbox and its files? This cannot be undone.'))
                  act.mutate(() => deleteUserSandbox(id, sandbox.id));
              }}
            >
              Delete
            </button>
          </span>
        </div>
      ))}
      <h2>API keys</h2>
      {keys.data?.length === 0 ? <p className="hint">None.</p> : null}
      {keys.data?.map((key) => (
        <div key={key.id} className="admin-line">
          <span>
            {key.name ?? key.hint} <code>{key.hint}</code>{' '}
            <span className="hint">
              {key.scopes.join(', ')}, {key.last_used_at === null ? 'never used' : `used ${time(key.last_used_at)}`}
            </span>
          </span>
          <button type="button" onClick={() => act.mutate(() => revokeUserKey(id, key.id))}>
            Revoke
          </button>
        </div>
      ))}
    </div>
  );
}

const time = (at: string) => new Date(at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
