/** Login with a real OIDC provider: in, out from either side, over, renewed, refused; on two servers that share a database. */
import t from 'tap';
import type { IdentitySettings } from '../../apiserver/identity/settings.js';
import { admit, personOf, userIdOf } from '../../apiserver/identity/claims.js';
import { systemClock } from '../../process/clock.js';
import { openTestDatabase, startRig, SECRET, type Rig } from '../support/api-rig.js';
import { endSuite, startCluster } from '../support/cluster.js';
import { startOidc, TestBrowser } from '../support/oidc.js';
import { freePorts, until } from '../support/stack.js';

const cluster = await startCluster();
const db = await openTestDatabase();
const [port, otherPort] = await freePorts();
const base = `http://127.0.0.1:${port}`;
const provider = await startOidc(base, { accessSeconds: 40 });
for (const name of ['alice', 'bob', 'carol'])
  provider.people.set(name, {
    email: `${name}@example.com`,
    name,
    groups: name === 'alice' ? ['staff', 'ops'] : ['staff'],
  });
provider.people.set('mallory', { email: 'mallory@elsewhere.example', groups: ['guests'] });

let ahead = 0;
const clock = { ...systemClock, now: () => systemClock.now() + ahead };
const HOUR = 3_600_000;
const identity: IdentitySettings = {
  mode: 'oidc',
  publicUrl: base,
  oidc: {
    issuer: provider.issuer,
    clientId: provider.clientId,
    clientSecret: provider.clientSecret,
    scopes: 'openid profile email',
    groupsClaims: ['groups'],
    allowedGroups: ['staff'],
    allowedEmails: [],
    adminGroups: ['ops'],
  },
  session: { idleMs: HOUR, maxMs: 8 * HOUR },
};

async function startServer(at: number, secrets: [string, ...string[]] = [SECRET]): Promise<Rig> {
  const rig = await startRig(cluster, db, { config: { secrets, dataKeys: secrets, identity }, clock });
  await rig.server.app.listen({ host: '127.0.0.1', port: at });
  return rig;
}
const first = await startServer(port);
const SETTINGS = '/api/v1/config/models/search';
const SAME_SITE = { origin: base, 'sec-fetch-site': 'same-origin' };

const statusAt = async (browser: TestBrowser, path = SETTINGS, at = base) => (await browser.fetch(at + path)).status;
async function loggedIn(who: string): Promise<TestBrowser> {
  const browser = new TestBrowser();
  await browser.logIn(`${base}/oauth/login?return_to=%2Fsettings`, who);
  return browser;
}
const post = (browser: TestBrowser, path: string, headers: Record<string, string> = SAME_SITE) =>
  browser.fetch(base + path, { method: 'POST', headers });

t.test('in: by way of the provider, back to where one was', async (t) => {
  const browser = new TestBrowser();
  t.equal(await statusAt(browser), 401);
  const ended = await browser.logIn(`${base}/oauth/login?return_to=%2Fsettings%3Fa%3D1`, 'alice');
  t.equal(ended.url, `${base}/settings?a=1`);
  t.equal(await statusAt(browser), 200);
  const who = (await (await browser.fetch(`${base}/api/identity`)).json()) as object;
  t.match(who, {
    mode: 'oidc',
    user: { id: userIdOf(provider.issuer, 'alice'), email: 'alice@example.com', roles: ['admin'] },
  });
  t.equal((await post(browser, '/api/authenticate')).status, 200);
  const jar = browser.cookies.get(new URL(base).host) ?? new Map<string, string>();
  t.same([...jar.keys()], ['sandlot_session'], 'the cookies of the way in are gone');
  t.notMatch(jar.get('sandlot_session'), /alice/);
});

t.test('the way to the provider: PKCE, state, nonce; and back to paths of this server only', async (t) => {
  const browser = new TestBrowser();
  for (const wanted of ['https://evil.example/', '//evil.example', '/\\evil.example', '/a b']) {
    const response = await browser.fetch(`${base}/oauth/login?return_to=${encodeURIComponent(wanted)}`);
    const url = new URL(response.headers.get('location') ?? '');
    t.match(Object.fromEntries(url.searchParams), {
      response_type: 'code',
      code_challenge_method: 'S256',
      code_challenge: /^[\w-]{43}$/,
      state: /^[\w-]{43}$/,
      nonce: /^[\w-]{43}$/,
    });
    const ended = await browser.logIn(url.href, 'alice');
    t.equal(ended.url, `${base}/`, wanted);
  }
});

t.test('a login that another browser began cannot be finished here', async (t) => {
  const attacker = new TestBrowser();
  const stop = (url: string) => url.includes('/oauth/callback');
  const { url } = await attacker.logIn(`${base}/oauth/login`, 'bob', stop);
  const victim = new TestBrowser();
  const ended = await victim.follow(url);
  t.match(ended.url, '/login?problem=expired');
  t.equal(await statusAt(victim), 401);
  const changed = await attacker.follow(url.replace(/code=[^&]+/, 'code=guessed'));
  t.match(changed.url, '/login?problem=refused');
});

t.test('who is not in the allowed groups stays out', async (t) => {
  const browser = new TestBrowser();
  const ended = await browser.logIn(`${base}/oauth/login`, 'mallory');
  t.match(ended.url, '/login?problem=not_listed');
  t.equal(await statusAt(browser), 401);
  t.equal(await db.prisma.user.count({ where: { email: 'mallory@elsewhere.example' } }), 0);
});

t.test('who comes without an e-mail claim, as from Entra ID, has a name and an address all the same', async (t) => {
  provider.people.set('erin-id', { preferred_username: 'Erin@Contoso.example', groups: ['staff'] });
  provider.people.set('fred-id', {
    name: 'Fred',
    upn: 'fred@contoso.example',
    preferred_username: 'fred.other@contoso.example',
    groups: ['staff'],
  });
  provider.people.set('gina-id', {
    email: 'gina@contoso.example',
    email_verified: false,
    preferred_username: 'ceo@contoso.example',
    groups: ['staff'],
  });
  const shown = async (who: string) => {
    const browser = await loggedIn(who);
    const { user } = (await (await browser.fetch(`${base}/api/identity`)).json()) as { user: unknown };
    return user;
  };
  t.match(await shown('erin-id'), { email: 'erin@contoso.example', name: 'Erin@Contoso.example' });
  t.match(await shown('fred-id'), { email: 'fred@contoso.example', name: 'Fred' });
  t.match(await shown('gina-id'), { email: null, name: 'ceo@contoso.example' }, 'not an address that is denied');
  const rules = { allowedGroups: [], allowedEmails: ['@contoso.example'], adminGroups: [] };
  const chosen = personOf({ sub: 'x', preferred_username: 'ceo@contoso.example' }, []);
  t.equal(admit(chosen, rules), undefined, 'a login name opens nothing');
  t.same(admit(personOf({ sub: 'x', email: 'Ceo@contoso.example' }, []), rules), []);
});

t.test('other sites’ requests with this browser’s cookie', async (t) => {
  const browser = await loggedIn('bob');
  const table: [Record<string, string>, number][] = [
    [SAME_SITE, 200],
    [{ origin: base }, 200],
    [{ origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, 403],
    [{ origin: `http://s1.sandbox.localhost:3001`, 'sec-fetch-site': 'same-site' }, 403],
    [{ origin: 'null' }, 403],
    [{}, 403],
  ];
  for (const [headers, status] of table) {
    const response = await browser.fetch(`${base}/api/v1/settings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{}',
    });
    t.equal(response.status, status, JSON.stringify(headers));
  }
  t.equal((await post(browser, '/api/logout', { origin: 'https://evil.example' })).status, 403);
  t.equal(await statusAt(browser), 200, 'nobody else logs a browser out');
});

t.test('a second server knows the session; a new secret logs nobody out', async (t) => {
  const browser = await loggedIn('bob');
  const second = await startServer(otherPort, ['the secret that came after, as long as it has to be', SECRET]);
  t.teardown(() => second.stop());
  const other = `http://127.0.0.1:${otherPort}`;
  const jar = browser.cookies.get(new URL(base).host) ?? new Map<string, string>();
  browser.cookies.set(new URL(other).host, jar);
  const before = jar.get('sandlot_session');
  t.equal(await statusAt(browser, SETTINGS, other), 200);
  t.not(jar.get('sandlot_session'), before, 'the cookie is sealed anew');
  t.equal(await statusAt(browser, SETTINGS, other), 200);
  browser.cookies.get(new URL(other).host)?.set('sandlot_session', 'eyJhbGciOiJub25lIn0..');
  t.equal(await statusAt(browser, SETTINGS, other), 401);
});

t.test('out, here and at the provider', async (t) => {
  const browser = await loggedIn('bob');
  const kept = new Map(browser.cookies.get(new URL(base).host));
  const { logout_url } = (await (await post(browser, '/api/logout')).json()) as { logout_url: string };
  t.match(logout_url, `${provider.issuer}/protocol/openid-connect/logout?`);
  t.match(new URL(logout_url).searchParams.get('post_logout_redirect_uri'), `${base}/logged-out`);
  t.match(new URL(logout_url).searchParams.get('id_token_hint'), /^ey/);
  t.equal(await statusAt(browser), 401);
  browser.cookies.set(new URL(base).host, kept);
  t.equal(await statusAt(browser), 401, 'a kept cookie is worth nothing');
  t.equal((await post(browser, '/api/authenticate')).status, 401);
});

/** Logs out at the provider, by its own page. */
async function endAtProvider(browser: TestBrowser): Promise<void> {
  const page = await browser.fetch(`${provider.issuer}/protocol/openid-connect/logout`);
  const xsrf = /name="xsrf" value="([^"]+)"/.exec(await page.text())?.[1] ?? '';
  await browser.fetch(`${provider.issuer}/protocol/openid-connect/logout/confirm`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ xsrf, logout: 'yes' }).toString(),
  });
}

t.test('the provider ends a session: back-channel', async (t) => {
  const browser = await loggedIn('carol');
  const elsewhere = await loggedIn('carol');
  await endAtProvider(browser);
  await until('the end of the session', async () => (await statusAt(browser)) === 401);
  t.equal(await statusAt(elsewhere), 200, 'that of another browser goes on');
  for (const token of ['', 'x', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYXJvbCJ9.']) {
    const response = await fetch(`${base}/oauth/backchannel-logout`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ logout_token: token }).toString(),
    });
    t.ok([400, 422].includes(response.status), `token ${token}`);
  }
  t.equal(await statusAt(elsewhere), 200);

  // As of a provider whose ID tokens name no session, while its logout tokens do.
  await db.prisma.session.updateMany({ data: { providerSession: null } });
  const other = await loggedIn('bob');
  await endAtProvider(await loggedIn('carol'));
  await until('the end of the session that names none', async () => (await statusAt(elsewhere)) === 401);
  t.equal(await statusAt(other), 200, 'that of another person goes on');
});

t.test('renewed while it is used: groups and the user’s end come along', async (t) => {
  const browser = await loggedIn('alice');
  const roles = async () =>
    ((await (await browser.fetch(`${base}/api/identity`)).json()) as { user: { roles: string[] } | null }).user?.roles;
  t.same(await roles(), ['admin']);
  provider.people.set('alice', { email: 'alice@example.com', name: 'alice', groups: ['staff'] });
  ahead += 60_000;
  t.same((await Promise.all([roles(), roles(), roles()]).then(([, , last]) => last?.length ?? 9)) <= 1, true);
  t.same(await roles(), [], 'no admin any more');

  provider.away = true;
  ahead += 120_000;
  t.equal(await statusAt(browser), 200, 'a provider that is away logs nobody out');
  provider.away = false;
  provider.people.delete('alice');
  ahead += 120_000;
  t.equal(await statusAt(browser), 401, 'a user whom it knows no more is out');
});

t.test('over: unused for too long, or too old', async (t) => {
  const browser = await loggedIn('bob');
  await db.prisma.session.updateMany({ data: { refreshAt: null } });
  ahead += HOUR / 2;
  t.equal(await statusAt(browser), 200);
  ahead += HOUR / 2 + 120_000;
  t.equal(await statusAt(browser), 200, 'used in between');
  ahead += HOUR + 120_000;
  t.equal(await statusAt(browser), 401);
  const long = await loggedIn('bob');
  await db.prisma.session.updateMany({ data: { refreshAt: null } });
  for (let half = 0; half < 17; half += 1) {
    ahead += HOUR / 2;
    const status = await statusAt(long);
    if (half < 15) t.equal(status, 200, `after ${half / 2} h`);
    else if (half === 16) t.equal(status, 401, 'after the longest time, however much it is used');
  }
});

t.test('a provider that is away at login is said so, and asked again later', async (t) => {
  provider.away = true;
  ahead += 2 * HOUR;
  const browser = new TestBrowser();
  const ended = await browser.follow(`${base}/oauth/login`);
  t.match(ended.url, '/login?problem=unreachable');
  provider.away = false;
  ahead += 6_000;
  t.equal((await browser.logIn(`${base}/oauth/login`, 'bob')).url, `${base}/`);
});

t.test('API keys of a user', async (t) => {
  const browser = await loggedIn('bob');
  const made = await browser.fetch(`${base}/api/keys`, { method: 'POST', headers: SAME_SITE });
  const { key } = (await made.json()) as { key: string };
  const asKey = (headers: Record<string, string>) => fetch(base + SETTINGS, { headers });
  t.equal((await asKey({ authorization: `Bearer ${key}` })).status, 200);
  t.equal((await asKey({ 'x-api-key': 'sk-of-another-server' })).status, 401);
  t.equal(
    (await browser.fetch(base + SETTINGS, { headers: { authorization: 'Bearer x' } })).status,
    401,
    'a bad key is not made good by a cookie',
  );
  await db.prisma.user.updateMany({ where: { email: 'bob@example.com' }, data: { disabledAt: new Date() } });
  t.equal((await asKey({ authorization: `Bearer ${key}` })).status, 403);
  t.equal(await statusAt(browser), 401);
  t.match((await new TestBrowser().logIn(`${base}/oauth/login`, 'bob')).url, '/login?problem=disabled');
});

t.test('the end', async () => {
  await first.stop();
  await provider.stop();
  await db.close();
  await endSuite(cluster);
});
