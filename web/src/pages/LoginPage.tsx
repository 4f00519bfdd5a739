import { loginUrl } from '../api/identity';
import { useTitle } from '../parts/useTitle';

const PROBLEMS: Record<string, string> = {
  expired:
    'That login took too long, began in another browser, or this one keeps no cookies of this site. Please try again.',
  cancelled: 'The login was cancelled.',
  not_listed: 'Your account may not use Sandlot. Ask an administrator to let you in.',
  disabled: 'Your account is disabled. Ask an administrator.',
  unreachable: 'The login provider does not answer. Please try again in a moment.',
  refused: 'The login provider refused. Please try again.',
  not_kept:
    'You logged in, but this browser did not keep the session. Allow cookies for this site (private windows, extensions and settings can block them), open it in a window of its own, and log in again. If that does not help, tell an administrator.',
};

/** Where a login that failed, and a logout, end. */
export function LoginPage({ loggedOut = false }: { loggedOut?: boolean }) {
  useTitle('Log in');
  const problem = new URLSearchParams(location.search).get('problem');
  return (
    <div className="page">
      <h1>{loggedOut ? 'You are logged out' : 'Log in'}</h1>
      {problem === null ? null : (
        <p className="problem" role="alert">
          {(Object.hasOwn(PROBLEMS, problem) ? PROBLEMS[problem] : undefined) ?? 'The login failed.'}
        </p>
      )}
      <p>
        <a href={loginUrl('/')}>{loggedOut ? 'Log in again' : 'Go to the login'}</a>
      </p>
    </div>
  );
}
