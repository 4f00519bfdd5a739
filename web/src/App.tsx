import { lazy, Suspense } from 'react';
import { Link, Route, Switch } from 'wouter';
import { HomePage } from './pages/HomePage';
import { SettingsPage } from './pages/SettingsPage';
import { StartPage } from './pages/StartPage';

/** The terminal and the rest of a conversation are half the code; the home screen does not wait for them. */
const ConversationPage = lazy(() => import('./pages/ConversationPage'));

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
          <Route path="/conversations/task-:task">{({ task }) => <StartPage key={task} taskId={task} />}</Route>
          <Route path="/conversations/:id">
            {({ id }) => (
              <Suspense fallback={<p className="page">Loading…</p>}>
                <ConversationPage key={id} id={id} />
              </Suspense>
            )}
          </Route>
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
