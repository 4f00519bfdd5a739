import { Link, Route, Switch } from 'wouter';
import { ConversationPage } from './pages/ConversationPage';
import { HomePage } from './pages/HomePage';
import { SettingsPage } from './pages/SettingsPage';
import { StartPage } from './pages/StartPage';

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
          <Route path="/conversations/:id">{({ id }) => <ConversationPage key={id} id={id} />}</Route>
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
