import { lazy, Suspense } from 'react';
import { Link, Route, Switch } from 'wouter';
import { HomePage } from './pages/HomePage';
import { SettingsPage } from './pages/SettingsPage';
import { StartPage } from './pages/StartPage';

/** The terminal and the rest of a conversation are half the code; the home screen does not wait for them. */
const ConversationPage = lazy(() => import('./pages/ConversationPage'));

const STARTING = 'task-';

export function App() {
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="top">
        <Link href="/" className="brand">
          <img src="/favicon.svg" alt="" width="22" height="22" /> Sandlot
        </Link>
        <nav aria-label="Main">
          <Link href="/">Conversations</Link>
          <Link href="/settings">Settings</Link>
        </nav>
      </header>
      <main id="main" tabIndex={-1}>
        <Switch>
          <Route path="/" component={HomePage} />
          <Route path="/settings" component={SettingsPage} />
          <Route path="/conversations/:id">{({ id }) => <Conversation key={id} id={id} />}</Route>
          <Route>
            <p className="page">
              There is no such page. <Link href="/">Go to your conversations</Link>
            </p>
          </Route>
        </Switch>
      </main>
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
