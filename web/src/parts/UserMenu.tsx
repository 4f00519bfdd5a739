import { useMutation, useQuery } from '@tanstack/react-query';
import { getIdentity, logOut } from '../api/identity';
import { Problem } from './Problem';
import { stored } from './stored';

/** Who is logged in, and the way out. Nothing where nobody logs in. */
export function UserMenu() {
  const identity = useQuery({ queryKey: ['identity'], queryFn: getIdentity, staleTime: 60_000 });
  const leave = useMutation({
    mutationFn: logOut,
    onSuccess: ({ logout_url }) => {
      stored((storage) => storage.clear());
      location.assign(logout_url ?? '/logged-out');
    },
  });
  const user = identity.data?.user ?? null;
  if (identity.data?.mode !== 'oidc' || user === null) return null;
  return (
    <div className="user">
      <span>{user.name ?? user.email ?? user.id}</span>
      <button type="button" disabled={leave.isPending} onClick={() => leave.mutate()}>
        Log out
      </button>
      <Problem error={leave.error} />
    </div>
  );
}
