import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useRef } from 'react';
import { Link, Route, Switch, useLocation } from 'wouter';
import { DevicePage } from './pages/DevicePage';
import { getIdentity } from './api/identity';
import { HomePage } from './pages/HomePage';
import { LoginPage } from './pages/LoginPage';
import { SettingsPage } from './pages/SettingsPage';
import { StartPage } from './pages/StartPage';
import { Boundary } from './parts/Boundary';
import { UserMenu } from './parts/UserMenu';

/** The terminal and the rest of a conversation are half the code; the home screen does not wait for them. */
const ConversationPage = lazy(() => import('./pages/ConversationPage'));

const AdminPage = lazy(() => import('./pages/AdminPage'));
const SharedPage = lazy(() => import('./pages/SharedPage'));

const STARTING = 'task-';

export function App() {
  const [location] = useLocation();
  const main = useFocusOnChange(location);
  // Whoever follows a link need not be a user here.
  const isShared = location.startsWith('/shared/');
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="top">
        <Link href="/" className="brand">
          <img src="/favicon.svg" alt="" width="22" height="22" /> Sandlot
        </Link>
        {isShared ? <span className="hint">Shared with you, to read</span> : <OwnNavigation />}
      </header>
      <main id="main" tabIndex={-1} ref={main}>
        <Boundary key={location}>
          <Switch>
            <Route path="/" component={HomePage} />
            <Route path="/admin">
              {() => (
                <Suspense fallback={<p className="page">Loading…</p>}>
                  <AdminPage />
                </Suspense>
              )}
            </Route>
            <Route path="/settings" component={SettingsPage} />
            <Route path="/oauth/device/verify" component={DevicePage} />
            <Route path="/login">{() => <LoginPage />}</Route>
            <Route path="/logged-out">{() => <LoginPage loggedOut />}</Route>
            <Route path="/shared/conversations/:id">
              {({ id }) => (
                <Suspense fallback={<p className="page">Loading…</p>}>
                  <SharedPage key={id} id={id} />
                </Suspense>
              )}
            </Route>
            <Route path="/conversations/:id">{({ id }) => <Conversation key={id} id={id} />}</Route>
            <Route>
              <p className="page">
                There is no such page. <Link href="/">Go to your conversations</Link>
              </p>
            </Route>
          </Switch>
        </Boundary>
      </main>
    </>
  );
}

function OwnNavigation() {
  const identity = useQuery({ queryKey: ['identity'], queryFn: getIdentity, staleTime: 60_000 });
  const mayAdminister = identity.data?.mode === 'oidc' && identity.data.user?.roles.includes('admin') === true;
  return (
    <>
      <nav aria-label="Main">
        <Link href="/">Conversations</Link>
        <Link href="/settings">Settings</Link>
        {mayAdminister ? <Link href="/admin">Users</Link> : null}
      </nav>
      <UserMenu />
    </>
  );
}

/** A conversation, or (`task-…`, as the API names it too) one that is being started. */
function Conversation({ id }: { id: string }) {
  if (id.startsWith(STARTING)) return <StartPage taskId={id.slice(STARTING.length)} />;
  return (
    <Suspense fallback={<p className="page">Loading…</p>}>
      <ConversationPage id={id} />
    </Suspense>
  );
}

/** Keyboard and screen reader go on in the new page, unless it has put the focus somewhere itself. */
function useFocusOnChange(location: string) {
  const main = useRef<HTMLElement>(null);
  const shown = useRef(location);
  useEffect(() => {
    if (shown.current === location) return;
    shown.current = location;
    if (main.current?.contains(document.activeElement) !== true) main.current?.focus();
  }, [location]);
  return main;
}
