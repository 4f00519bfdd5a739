/**
 * The main job as a person does it: the UI in a real Chromium against the real programs. Screenshots of every step go to
 * dist/screenshots, for people to look at. CHROMIUM names the browser; without one the suite is skipped, saying so.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { newDataFolder, removeFolder, startStack } from '../support/stack.js';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath}; set CHROMIUM`;
const pictures = join(packageRoot(), 'dist/screenshots');

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

const APP = `mkdir -p site && echo '<title>Shop</title><h1>Open for business</h1>' > site/index.html
cd site && node -e "require('http').createServer((q,s)=>{s.setHeader('content-type','text/html');require('fs').createReadStream('index.html').pipe(s)}).listen(process.env.WORKER_1)" &
sleep 1; echo the shop is open`;

t.test('a person runs a conversation in the browser', { skip, timeout: 240_000 }, async (t) => {
  mkdirSync(pictures, { recursive: true });
  const data = await newDataFolder();
  const stack = await startStack({ data });
  const browser: Browser = await chromium.launch({ executablePath, args: ARGS });
  const page = await (await browser.newContext({ viewport: { width: 1400, height: 900 } })).newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  t.teardown(async () => {
    await browser.close();
    await stack.stop();
    await removeFolder(data);
  });
  const picture = (name: string) => page.screenshot({ path: join(pictures, `${name}.png`) });
  page.setDefaultTimeout(30_000);

  await t.test('start by keyboard and watch the sandbox come up', async (t) => {
    await page.goto(stack.api);
    await picture('1-home');
    await page.getByLabel('What should the agent do?').fill(APP);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/conversations\/(task-)?[0-9a-f]{32}/);
    await picture('2-starting');
    await page.waitForURL(/\/conversations\/[0-9a-f]{32}$/);
    t.match(await chat(page).innerText(), /mkdir -p site/, 'the task is the first message');
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
    await page.getByLabel('Message to the agent').fill('echo $((6 * 7))');
    await page.keyboard.press('Enter');
    await chat(page).getByText('42').first().waitFor();
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

  await t.test('the code tab offers VS Code, or shows it', async () => {
    await tab(page, 'Code');
    await panel(page).locator('button:has-text("Install VS Code"), iframe[title="VS Code"]').first().waitFor();
    await picture('6-code');
  });

  await t.test('pause and resume', async (t) => {
    await page.getByRole('button', { name: 'Pause sandbox' }).click();
    await page.getByText('Sandbox paused').waitFor();
    t.match(await chat(page).innerText(), /the shop is open/, 'history stays readable');
    await picture('7-paused');
    await page.getByRole('button', { name: 'Resume sandbox' }).click();
    await page.getByRole('button', { name: 'Pause sandbox' }).waitFor();
    await page.getByLabel('Message to the agent').fill('cat site/index.html');
    await page.keyboard.press('Enter');
    await chat(page).getByText('Open for business').last().waitFor();
    await picture('8-resumed');
  });

  await t.test('settings', async (t) => {
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByLabel('Model').fill('openai/some-model');
    await page.getByLabel('API key').fill('sk-not-a-real-key');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved.').waitFor();
    await page.reload();
    t.equal(await page.getByLabel('Model').inputValue(), 'openai/some-model');
    t.equal(await page.getByLabel('API key').inputValue(), '', 'the key is not given back');
    await picture('9-settings');
  });

  await t.test('delete', async () => {
    await page.getByRole('link', { name: 'Conversations' }).click();
    await page.locator('.list a').first().click();
    await page.getByRole('button', { name: 'Delete…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('None yet.').waitFor();
    await picture('10-deleted');
  });

  t.same(problems, [], 'no script of the page failed');
});

const chat = (page: Page) => page.getByRole('log');
const panel = (page: Page) => page.locator('[role=tabpanel]:not([hidden])');
const tab = (page: Page, name: string) => page.getByRole('tab', { name }).click();
