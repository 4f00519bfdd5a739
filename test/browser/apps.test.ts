/** The App tab with what agents start: none yet, lists of files, several at once, on loopback only, one that dies and comes back. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openStack, picture, withoutChromium } from '../support/browser.js';
import { ask, converse, entry, finished, pathForm } from '../support/client.js';
import { freePorts } from '../support/stack.js';

/** usage: app.mjs PORT TITLE HOST; `/end` ends it. */
const PROGRAM = `import { createServer } from 'node:http';
const [port, title, host] = process.argv.slice(2);
createServer((request, response) => {
  if (request.url === '/end') process.exit();
  response.writeHead(200, { 'content-type': 'text/html', connection: 'close' });
  response.end('<title>' + title + '</title><h1>' + title + ', process ' + process.pid + '</h1>');
}).listen(Number(port), host);
`;

t.setTimeout(180_000);
t.test('the App tab', { skip: withoutChromium, timeout: 180_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-app-tab-'));
  const program = join(folder, 'app.mjs');
  writeFileSync(program, PROGRAM);
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const { stack, browser } = await openStack(t);
  const [shop, cellar, files] = await freePorts();
  const conversation = await converse(stack, 'echo ready');
  await finished(stack, conversation.id);
  const page = await (await browser.newContext({ viewport: { width: 1400, height: 900 } })).newPage();
  page.setDefaultTimeout(30_000);
  await page.goto(`${stack.api}/conversations/${conversation.id}`);
  const say = async (text: string) => {
    await page.getByLabel('Message to the agent').fill(text);
    await page.keyboard.press('Enter');
  };
  const start = (port: number, title: string, host: string) =>
    say(`node ${program} ${port} ${title} ${host} > /dev/null 2>&1 &`);
  const shown = (port: number) => page.frameLocator(`iframe[title="App on port ${port}"]`);
  const choice = page.getByRole('combobox', { name: 'App' });
  const waiting = page.getByText('No app is listening yet.');
  const names = async () => (await choice.locator('option').allInnerTexts()).sort();

  await t.test('none yet, and a list of files is none', async (t) => {
    await page.getByRole('tab', { name: 'App' }).click();
    await waiting.waitFor();
    await say(`python3 -m http.server ${files} --directory ${folder} > /dev/null 2>&1 &`);
    const list = await (await browser.newContext()).newPage();
    await list.goto(await entry(stack, conversation.sandbox_id, files, '/'));
    await list.getByRole('link', { name: 'app.mjs' }).waitFor();
    t.equal(await waiting.isVisible(), true, 'who asks for it by its port sees it; the tab goes on waiting');
    await picture(page, 'app-tab-waiting');
  });

  await t.test('the first one is shown by itself', async () => {
    await start(shop, 'Shop', '0.0.0.0');
    await shown(shop).getByRole('heading', { name: 'Shop' }).waitFor();
  });

  await t.test('several are offered by name, one on loopback only among them', async (t) => {
    await start(cellar, 'Cellar', '127.0.0.1');
    await choice.locator('option', { hasText: 'Cellar' }).waitFor({ state: 'attached' });
    t.same(await names(), [`Cellar · ${cellar}`, `Shop · ${shop}`]);
    await choice.selectOption(String(cellar));
    await shown(cellar).getByRole('heading', { name: 'Cellar' }).waitFor();
    await picture(page, 'app-tab-several');
    const tab = await (await browser.newContext()).newPage();
    await tab.goto(pathForm(await entry(stack, conversation.sandbox_id, cellar, '/')));
    await tab.getByRole('heading', { name: 'Cellar' }).waitFor();
  });

  await t.test('one that dies and comes back', async (t) => {
    const tab = await (await browser.newContext()).newPage();
    await tab.goto(await entry(stack, conversation.sandbox_id, cellar, '/'));
    const before = await tab.getByRole('heading', { name: 'Cellar' }).innerText();
    await tab.goto(`${new URL(tab.url()).origin}/end`);
    await tab.goto(`${new URL(tab.url()).origin}/`);
    await tab.getByRole('heading', { name: 'Waiting for the app' }).waitFor();
    await picture(tab, 'app-tab-gone');
    await shown(shop).getByRole('heading', { name: 'Shop' }).waitFor();
    t.same(await names(), [`Shop · ${shop}`], 'the tab shows what there is');
    await start(cellar, 'Cellar', '127.0.0.1');
    await tab.getByRole('heading', { name: 'Cellar' }).waitFor();
    t.not(
      await tab.getByRole('heading', { name: 'Cellar' }).innerText(),
      before,
      'the waiting page moved on by itself',
    );
    await shown(cellar).getByRole('heading', { name: 'Cellar' }).waitFor();
    t.pass('and the tab goes back to what was chosen');
  });

  await t.test('the last one dies', async (t) => {
    for (const port of [shop, cellar]) {
      const url = new URL(await entry(stack, conversation.sandbox_id, port, '/end'));
      const { headers } = await ask(url.href);
      const cookie = String(headers['set-cookie']).split(';', 1)[0] ?? '';
      await ask(`${url.origin}/end`, { headers: { cookie } });
    }
    await waiting.waitFor();
    await start(shop, 'Shop', '0.0.0.0');
    await shown(shop).getByRole('heading', { name: 'Shop' }).waitFor();
    t.pass('and comes back');
  });
});
