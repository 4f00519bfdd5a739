/** A conversation shared by link, in a real Chromium: its owner in one profile, whoever has the link in another. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { ask } from '../support/client.js';
import { newDataFolder, removeFolder, startStack, until } from '../support/stack.js';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath}; set CHROMIUM`;
const LIMIT_MS = 240_000;

/** An app whose page says how long what it reads goes on. */
const APP = `cat > app.js <<'END'
const page = "<title>Team board</title><h1>wait</h1><script>(async () => { const say = (text) => { document.querySelector('h1').textContent = text; }; try { const reader = (await fetch('/stream')).body.getReader(); for (;;) { const { done } = await reader.read(); if (done) break; say('connected'); } say('ended'); } catch { say('ended'); } })()</script>";
require('http').createServer((request, response) => {
  if (request.url !== '/stream') return response.setHeader('content-type', 'text/html').end(page);
  const timer = setInterval(() => response.write('tick'), 200);
  response.on('close', () => clearInterval(timer));
}).listen(process.env.WORKER_1);
END
node app.js > app.log 2>&1 &
sleep 1; echo the board is open`;

t.setTimeout(LIMIT_MS);
t.test(
  'a link opens a conversation and an app to read, until it is revoked',
  { skip, timeout: LIMIT_MS },
  async (t) => {
    const pictures = join(packageRoot(), 'dist/screenshots');
    mkdirSync(pictures, { recursive: true });
    const data = await newDataFolder();
    const stack = await startStack({ data });
    const browser = await chromium.launch({
      executablePath,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic'],
    });
    t.teardown(async () => {
      await browser.close();
      await stack.stop();
      await removeFolder(data);
    });
    const problems: string[] = [];
    const newProfile = async (): Promise<[BrowserContext, Page]> => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
      const page = await context.newPage();
      page.setDefaultTimeout(30_000);
      page.on('pageerror', (error) => problems.push(error.message));
      return [context, page];
    };
    const picture = (page: Page, name: string) => page.screenshot({ path: join(pictures, `${name}.png`) });
    const [, owner] = await newProfile();
    const [guests, guest] = await newProfile();

    await owner.goto(stack.api);
    await owner.getByLabel('What should the agent do?').fill(APP);
    await owner.getByRole('button', { name: 'Start' }).click();
    await owner.waitForURL(/\/conversations\/[0-9a-f]{32}$/);
    await owner.getByText('the board is open').first().waitFor();
    const id = owner.url().slice(-32);

    await owner.getByRole('button', { name: 'Share…' }).click();
    const dialog = owner.getByRole('dialog');
    await dialog.getByLabel('For', { exact: false }).first().fill('the team');
    await dialog.getByLabel(/Team board on port/).check();
    await dialog.getByRole('button', { name: 'Make a link' }).click();
    const link = await dialog.getByLabel('Copy it now').inputValue();
    t.match(link, new RegExp(`^${stack.api}/shared/conversations/${id}#[A-Za-z0-9_-]{32}$`));
    await dialog.getByText('reading, and app worker-1').waitFor();
    await picture(owner, '30-share-dialog');

    const sent: string[] = [];
    guest.on('request', (request) => sent.push(request.url()));
    await guest.goto(link);
    await guest.getByRole('log').getByText('the board is open').first().waitFor();
    await guest.getByText('Shared until').waitFor();
    await picture(guest, '31-shared');
    t.equal(await guest.getByRole('textbox').count(), 0, 'nothing to write in');
    t.equal(await guest.getByRole('link', { name: 'Settings' }).count(), 0);
    t.notOk(
      sent.some((url) => url.includes(link.split('#')[1] ?? '')),
      'the secret is in no address that is asked',
    );

    await t.test('what its owner does appears', async () => {
      await dialog.getByRole('button', { name: 'Close' }).click();
      await owner.getByLabel('Message to the agent').fill('echo seen-$((6 * 7))');
      await owner.keyboard.press('Enter');
      await guest.getByRole('log').getByText('seen-42').first().waitFor();
    });

    const opened = guests.waitForEvent('page');
    await guest.getByRole('button', { name: 'Open app worker-1' }).click();
    const app = await opened;
    await app.getByRole('heading', { name: 'connected' }).waitFor();

    await t.test('a visitor cannot go further', async (t) => {
      const at = new URL(app.url());
      const agent = at.origin.replace('work-1-', '');
      const cookie = (await guests.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
      t.match(cookie, /guest/, 'what the gateway gave');
      const get = await ask(`${agent}/api/conversations/${id}`, { headers: { cookie, origin: agent } });
      t.equal(get.status, 401, 'the agent server stays closed');
      const body = { role: 'user', content: [{ type: 'text', text: 'hello' }] };
      const address = `${agent}/api/conversations/${id}/events`;
      const post = await ask(address, { method: 'POST', body, headers: { cookie, origin: agent } });
      t.equal(post.status, 401);
      t.notMatch(await guest.content(), /session_api_key/);
    });

    await t.test('a visitor without the secret sees nothing', async () => {
      const [context, stranger] = await newProfile();
      await stranger.goto(link.split('#')[0] ?? '');
      await stranger.getByRole('heading', { name: 'Not shared' }).waitFor();
      await picture(stranger, '32-not-shared');
      await context.close();
    });

    await t.test('revoked: the page and the open stream of the app end', async (t) => {
      await owner.getByRole('button', { name: 'Share…' }).click();
      await dialog.getByRole('button', { name: 'Revoke the team' }).click();
      await dialog.getByRole('button', { name: 'Revoke the team' }).waitFor({ state: 'detached' });
      await app.getByRole('heading', { name: 'ended' }).waitFor();
      await guest.getByRole('heading', { name: 'Not shared' }).waitFor();
      const again = await app.reload();
      t.equal(again?.status(), 401);
    });

    await t.test('a link ends by its time', async () => {
      const expires_at = new Date(Date.now() + 6000).toISOString();
      const answer = await fetch(`${stack.api}/api/v1/app-conversations/${id}/shares`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ expires_at, ports: [] }),
      });
      const made = (await answer.json()) as { link: string };
      const [context, short] = await newProfile();
      await short.goto(stack.api + made.link);
      await short.getByRole('log').getByText('the board is open').first().waitFor();
      await short.getByRole('heading', { name: 'Not shared' }).waitFor();
      await context.close();
    });

    await t.test('public, without a link', async (t) => {
      await dialog.getByLabel(/^Public/).check();
      const address = await dialog.getByLabel('Address', { exact: true }).inputValue();
      const [context, anybody] = await newProfile();
      await anybody.goto(address);
      await anybody.getByRole('log').getByText('seen-42').first().waitFor();
      await dialog.getByLabel(/^Public/).uncheck();
      await anybody.getByRole('heading', { name: 'Not shared' }).waitFor();
      await context.close();
      const shown = await until('the flag is off', async () => {
        const body = (await (await fetch(`${stack.api}/api/v1/app-conversations?ids=${id}`)).json()) as {
          public: boolean;
        }[];
        return body[0]?.public === false;
      });
      t.ok(shown);
    });
    t.same(problems, [], 'no script of a page failed');
  },
);
