/**
 * The main job as a person does it: the UI in a real Chromium against the real programs. Screenshots of every step go to
 * dist/screenshots, for people to look at. CHROMIUM names the browser; without one the suite is skipped, saying so.
 * SANDLOT_TEST_VSCODE=1 installs VS Code from npm (once per machine and user) where it is not installed yet.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { childrenOf } from '../support/machine.js';
import { newDataFolder, removeFolder, startStack } from '../support/stack.js';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath}; set CHROMIUM`;
const pictures = join(packageRoot(), 'dist/screenshots');
const mayInstall = process.env.SANDLOT_TEST_VSCODE === '1';
const INSTALL_MS = 300_000;
const LIMIT_MS = 240_000 + (mayInstall ? INSTALL_MS : 0);

/** Quiet: a test browser has no business with its maker's servers. */
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** As browsers come: embedded pages of another site may store something, which VS Code needs and test profiles deny. */
const PREFERENCES = {
  profile: {
    block_third_party_cookies: false,
    cookie_controls_mode: 0,
    default_content_setting_values: { cookies: 1 },
  },
};

async function openBrowser(profile: string): Promise<BrowserContext> {
  mkdirSync(join(profile, 'Default'), { recursive: true });
  writeFileSync(join(profile, 'Default/Preferences'), JSON.stringify(PREFERENCES));
  return await chromium.launchPersistentContext(profile, {
    executablePath,
    args: ARGS,
    viewport: { width: 1400, height: 900 },
  });
}

/** A model provider that knows no key. */
async function startRefusingModel(): Promise<{ url: string; close(): void }> {
  const body = JSON.stringify({ error: { message: 'Incorrect API key provided.', code: 'invalid_api_key' } });
  const server = createServer((_request, response) => {
    response.writeHead(401, { 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/v1`, close: () => server.close() };
}

const SLOW = Array.from({ length: 6 }, (_, line) => `echo mark-$((${line}+100)); sleep 0.7`).join('\n');

const APP = `mkdir -p site && echo '<title>Shop</title><h1>Open for business</h1>' > site/index.html
cd site && node -e "require('http').createServer((q,s)=>{s.setHeader('content-type','text/html');require('fs').createReadStream('index.html').pipe(s)}).listen(process.env.WORKER_1)" &
sleep 1; echo the shop is open`;

t.setTimeout(LIMIT_MS);
t.test('a person runs a conversation in the browser', { skip, timeout: LIMIT_MS }, async (t) => {
  mkdirSync(pictures, { recursive: true });
  const data = await newDataFolder();
  const stack = await startStack({ data });
  const profile = await newDataFolder();
  const browser = await openBrowser(profile);
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  t.teardown(async () => {
    await browser.close();
    await stack.stop();
    await removeFolder(data);
    await removeFolder(profile);
  });
  const picture = (name: string) => page.screenshot({ path: join(pictures, `${name}.png`) });
  page.setDefaultTimeout(30_000);

  await t.test('start by keyboard and watch the sandbox come up', async () => {
    await page.goto(stack.api);
    await picture('1-home');
    await page.getByLabel('What should the agent do?').fill(APP);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/conversations\/(task-)?[0-9a-f]{32}/);
    await picture('2-starting');
    await page.waitForURL(/\/conversations\/[0-9a-f]{32}$/);
    await chat(page).locator('.row').first().getByText('mkdir -p site').waitFor();
  });

  await t.test('see the work, and every event', async (t) => {
    await chat(page).getByText('the shop is open').first().waitFor();
    await page.getByText('Done', { exact: true }).waitFor();
    await tab(page, 'Events');
    const kinds = await panel(page).locator('summary b').allInnerTexts();
    for (const kind of ['SystemPromptEvent', 'MessageEvent', 'ActionEvent', 'ObservationEvent'])
      t.ok(kinds.includes(kind), kind);
    await picture('3-chat-and-events');
  });

  await t.test('send a message', async () => {
    await send(page, 'echo answer-$((6 * 7))');
    await output(page, 'answer-42').waitFor();
  });

  await t.test('the app tab shows the app', async () => {
    await tab(page, 'App');
    await page
      .frameLocator('iframe[title^="App on port"]')
      .getByRole('heading', { name: 'Open for business' })
      .waitFor();
    await picture('4-app');
  });

  await t.test('the terminal is a shell in the workspace', async () => {
    await tab(page, 'Terminal');
    await panel(page).locator('.xterm-screen').click();
    await page.keyboard.type('echo shell-$((40+2)); ls\n');
    await panel(page).locator('.xterm-rows').getByText('shell-42').waitFor();
    await panel(page).locator('.xterm-rows').getByText('site').first().waitFor();
    await picture('5-terminal');
  });

  await t.test('the code tab offers VS Code, or shows it', async (t) => {
    await tab(page, 'Code');
    const install = panel(page).getByRole('button', { name: 'Install VS Code' });
    const editor = panel(page).locator('iframe[title="VS Code"]');
    await install.or(editor).first().waitFor();
    await picture('6-code-offer');
    if (await install.isVisible()) {
      if (!mayInstall) return t.pass('offered; SANDLOT_TEST_VSCODE=1 installs it');
      await install.click();
      await panel(page).getByRole('progressbar').waitFor();
      await picture('6-code-installing');
      await editor.waitFor({ timeout: INSTALL_MS });
    }
    const workbench = editor.contentFrame();
    await workbench.locator('.explorer-folders-view').getByText('site', { exact: true }).waitFor();
    await workbench.locator('.monaco-workbench').press('Control+Backquote');
    await workbench.locator('.terminal .xterm-screen').first().click();
    await page.keyboard.type('echo from-the-editor > editor.txt\n');
    await workbench.locator('.explorer-folders-view').getByText('editor.txt', { exact: true }).waitFor();
    await picture('6-code');
  });

  await t.test('pause and resume', async (t) => {
    await page.getByRole('button', { name: 'Pause sandbox' }).click();
    await page.getByText('Sandbox paused').waitFor();
    t.match(await chat(page).innerText(), /the shop is open/, 'history stays readable');
    await picture('7-paused');
    await page.getByRole('button', { name: 'Resume sandbox' }).click();
    await page.getByRole('button', { name: 'Pause sandbox' }).waitFor();
    await send(page, 'grep -c "Open for business" site/index.html && echo still-$((7 * 7))');
    await output(page, 'still-49').waitFor();
    await picture('8-resumed');
  });

  await t.test('a reload in the middle of a run keeps everything', async (t) => {
    await send(page, SLOW);
    await output(page, 'mark-101').waitFor();
    await page.reload();
    await output(page, 'mark-105').waitFor();
    await page.getByText('Done', { exact: true }).waitFor();
    for (let mark = 100; mark < 106; mark += 1) t.equal(await output(page, `mark-${mark}`).count(), 1, `mark-${mark}`);
    await picture('9-reloaded');
  });

  await t.test('the gateway dies in the middle of a run', { skip: process.platform !== 'linux' }, async (t) => {
    await send(page, SLOW.replaceAll('mark', 'sign'));
    await output(page, 'sign-101').waitFor();
    const [gateway] = childrenOf(stack.pid, 'gateway');
    if (gateway === undefined) throw new Error('no gateway runs');
    process.kill(gateway, 'SIGKILL');
    await page.getByText('The connection to the sandbox is lost').waitFor();
    await picture('10-lost');
    await output(page, 'sign-105').waitFor();
    for (let mark = 100; mark < 106; mark += 1) t.equal(await output(page, `sign-${mark}`).count(), 1, `sign-${mark}`);
    await page.getByText('The connection to the sandbox is lost').waitFor({ state: 'hidden' });
  });

  await t.test('stop the agent, and let it go on', async () => {
    await send(page, 'sleep 300; echo never-said');
    await page.getByRole('button', { name: 'Stop agent' }).click();
    await page.getByRole('button', { name: 'Continue' }).waitFor();
    await page.getByText('Stopped', { exact: true }).first().waitFor();
  });

  await t.test('allow one action and reject the next', async (t) => {
    await askBefore(page, true);
    await page.getByRole('link', { name: 'Conversations' }).click();
    await page.getByLabel('What should the agent do?').fill('echo one-$((1+1))\necho two-$((1+1))');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Allow' }).click();
    await output(page, 'one-2').waitFor();
    await page.getByRole('button', { name: 'Reject' }).click();
    await chat(page).getByText('The user rejected it.').waitFor();
    t.equal(await output(page, 'two-2').count(), 0);
    await askBefore(page, false);
  });

  const model = await startRefusingModel();
  t.teardown(() => model.close());
  await t.test('settings', async (t) => {
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByLabel('Model').fill('openai/some-model');
    await page.getByLabel('Base URL').fill(model.url);
    await page.getByLabel('API key').fill('sk-not-a-real-key');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved.').waitFor();
    await page.reload();
    t.equal(await page.getByLabel('Model').inputValue(), 'openai/some-model');
    t.equal(await page.getByLabel('API key').inputValue(), '', 'the key is not given back');
    await picture('11-settings');
  });

  await t.test('a wrong key of the model is said in words', async (t) => {
    await page.getByRole('link', { name: 'Conversations' }).click();
    await page.getByLabel('What should the agent do?').fill('Say hello');
    await page.getByRole('button', { name: 'Start' }).click();
    await page.waitForURL(/\/conversations\/[0-9a-f]{32}$/);
    const problem = chat(page).locator('.row.error');
    await problem.waitFor();
    t.match(await problem.innerText(), /API key/i);
    t.notMatch(await problem.innerText(), /sk-not-a-real-key|[{}]/, 'a sentence, without the key');
    await picture('12-wrong-key');
  });

  await t.test('delete', async () => {
    await page.getByRole('link', { name: 'Conversations' }).click();
    const none = page.getByText('None yet.');
    for (;;) {
      const first = page.locator('.list a').first();
      await first.or(none).first().waitFor();
      if (await none.isVisible()) break;
      const address = (await first.getAttribute('href')) ?? '';
      await page.locator(`.list a[href="${address}"]`).click();
      await page.getByRole('button', { name: 'Delete…' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
      await page.waitForURL(/\/$/);
      await page.locator(`.list a[href="${address}"]`).waitFor({ state: 'detached' });
    }
    await picture('13-deleted');
  });

  t.same(problems, [], 'no script of the page failed');
});

async function askBefore(page: Page, ask: boolean): Promise<void> {
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByLabel('Ask me before each action').setChecked(ask);
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved.').waitFor();
}

async function send(page: Page, text: string): Promise<void> {
  await page.getByLabel('Message to the agent').fill(text);
  await page.keyboard.press('Enter');
}
/** What a command printed, not the command itself. */
const output = (page: Page, text: string) => chat(page).locator('.row.observation pre').getByText(text);
const chat = (page: Page) => page.getByRole('log');
const panel = (page: Page) => page.locator('[role=tabpanel]:not([hidden])');
const tab = (page: Page, name: string) => page.getByRole('tab', { name }).click();
