/** Login, the end of a session while somebody types, API keys and logout, in a real Chromium with a real OIDC provider. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Route } from 'playwright-core';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { startOidc } from '../support/oidc.js';
import { freePorts, newDataFolder, removeFolder, startStack } from '../support/stack.js';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath}; set CHROMIUM`;
const LIMIT_MS = 180_000;

t.setTimeout(LIMIT_MS);
t.test('a person logs in, is logged out while typing, and loses nothing', { skip, timeout: LIMIT_MS }, async (t) => {
  const pictures = join(packageRoot(), 'dist/screenshots');
  mkdirSync(pictures, { recursive: true });
  const ports = await freePorts();
  const base = `http://localhost:${ports[0]}`;
  const provider = await startOidc(base);
  provider.people.set('alice', { email: 'alice@example.com', name: 'Alice Liddell' });
  provider.people.set('root', { email: 'root@example.com', name: 'Root', groups: ['admins'] });
  const data = await newDataFolder();
  const stack = await startStack({
    data,
    ports,
    env: {
      SANDLOT_IDENTITY: 'oidc',
      SANDLOT_PUBLIC_URL: base,
      SANDLOT_OIDC_ISSUER: provider.issuer,
      SANDLOT_OIDC_CLIENT_ID: provider.clientId,
      SANDLOT_OIDC_CLIENT_SECRET: provider.clientSecret,
      SANDLOT_OIDC_ADMIN_GROUPS: 'admins',
    },
  });
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-quic'] });
  t.teardown(async () => {
    await browser.close();
    await stack.stop();
    await provider.stop();
    await removeFolder(data);
  });
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const task = page.getByLabel('What should the agent do?');
  const logIn = async () => {
    await page.getByPlaceholder('Enter any login').fill('alice');
    await page.getByPlaceholder('and password').fill('any');
    await page.keyboard.press('Enter');
  };

  await page.goto(`${base}/settings`);
  await logIn();
  await page.waitForURL(`${base}/settings`);
  await page.getByText('Alice Liddell').waitFor();

  await page.getByLabel('Name').fill('ci');
  await page.getByRole('button', { name: 'Make a key' }).click();
  const shown = await page.getByText('Copy it now').innerText();
  const key = /sk-oh-\w{32}/.exec(shown)?.[0] ?? '';
  const asKey = () => fetch(`${base}/api/keys/current`, { headers: { authorization: `Bearer ${key}` } });
  t.equal((await asKey()).status, 200);
  await page.screenshot({ path: join(pictures, '20-keys.png') });
  await page.getByRole('button', { name: 'Revoke ci' }).click();
  await page.getByText('None yet.').waitFor();
  t.equal((await asKey()).status, 401);

  await page.getByRole('link', { name: 'Conversations' }).click();
  await task.fill('echo a long thought');
  await context.clearCookies();
  await page.getByRole('button', { name: 'Start' }).click();
  await logIn();
  await page.waitForURL(`${base}/`);
  t.equal(await task.inputValue(), 'echo a long thought');

  // A browser that keeps the provider's cookies, but not ours, would go to and fro for ever.
  const forgetSession = async (route: Route) => {
    await context.clearCookies({ name: /sandlot_session/ });
    // The page may be gone by then.
    await route.continue().catch(() => undefined);
  };
  await page.route('**/api/**', forgetSession);
  await page.goto(`${base}/settings`);
  await page.getByText('this browser did not keep the session').waitFor();
  t.equal(new URL(page.url()).pathname, '/login');
  await page.unroute('**/api/**', forgetSession);
  await page.getByRole('link', { name: 'Go to the login' }).click();
  await page.getByText('Alice Liddell').waitFor();

  t.equal(await page.getByRole('link', { name: 'Users' }).count(), 0, 'nothing to administer');
  const admins = await browser.newContext();
  const admin = await admins.newPage();
  admin.setDefaultTimeout(30_000);
  await admin.goto(`${base}/settings`);
  await admin.getByPlaceholder('Enter any login').fill('root');
  await admin.getByPlaceholder('and password').fill('any');
  await admin.keyboard.press('Enter');
  await admin.getByRole('link', { name: 'Users' }).click();
  await admin.getByLabel('Find').fill('alice');
  await admin.getByText('Root', { exact: true }).nth(1).waitFor({ state: 'detached' });
  await admin.getByRole('button', { name: 'Details of Alice Liddell' }).click();
  await admin.getByRole('heading', { name: 'API keys' }).waitFor();
  await admin.getByRole('button', { name: 'Disable Alice Liddell' }).click();
  await admin.getByText('Disabled', { exact: true }).waitFor();
  await admin.screenshot({ path: join(pictures, '22-users.png') });
  t.equal(await page.evaluate(async () => (await fetch('/api/v1/settings')).status), 401, 'out at once');
  await admin.getByRole('button', { name: 'Enable Alice Liddell' }).click();
  await admin.getByRole('button', { name: 'Disable Alice Liddell' }).waitFor();
  await admins.close();
  await page.goto(`${base}/`);
  await page.getByText('Alice Liddell').waitFor();

  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('button', { name: 'Yes, sign me out' }).click();
  await page.getByRole('heading', { name: 'You are logged out' }).waitFor();
  await page.screenshot({ path: join(pictures, '21-logged-out.png') });
  t.equal(await page.evaluate(async () => (await fetch('/api/v1/settings')).status), 401);
});
