/**
 * VS Code as a person uses it, through the gateway in host form and in path form: a real code-server behind the real agent
 * server, a real Chromium. Skipped where VS Code is not installed, unless SANDLOT_TEST_VSCODE=1 lets the suite install it.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import t from 'tap';
import { addPod, keyOf, slotNamed } from '../../gateway/testing/harness.js';
import { caller, startChild, until } from '../../sandbox/testing/server.js';
import { entryOf, installedFolder } from '../../sandbox/vscode/binary.js';
import { FORMS, freePort, openChromium, picture, startFront, withoutChromium, type Front } from '../support/browser.js';

const A = slotNamed('a');
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'sandlot');
const mayInstall = process.env.SANDLOT_TEST_VSCODE === '1';
const isInstalled = existsSync(entryOf(installedFolder(CACHE)));
const skip = withoutChromium || (isInstalled || mayInstall ? false : 'VS Code is not installed; SANDLOT_TEST_VSCODE=1');
const INSTALL_MS = 300_000;
const WORKSPACE = '/workspace/project/demo';

/** Puts an agent server with its editor behind the gateway in place of the last one. */
async function startPod(front: Front, home: string, path: string[] = []) {
  const vscode = await freePort();
  const agent = await startChild(home, {
    OH_SESSION_API_KEYS_0: keyOf(A),
    OH_ENABLE_VSCODE: 'true',
    OH_VSCODE_PORT: String(vscode),
    SANDLOT_CACHE_DIR: CACHE,
    PATH: [...path, dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter),
  });
  addPod(front.gateway, A, { agent: Number(new URL(agent.url).port), vscode });
  return {
    call: caller(agent.url, keyOf(A)),
    async stop() {
      agent.child.kill('SIGTERM');
      await new Promise((resolve) => agent.child.once('exit', resolve));
    },
  };
}

/** The same editor as the next image would have it, under another commit; hard links, so it takes no room. */
function newVersion(folder: string, commit: string): string {
  const copy = join(folder, 'next');
  const bin = join(folder, 'bin');
  execFileSync('cp', ['-al', installedFolder(CACHE), copy]);
  const vscode = join(copy, 'node_modules/code-server/lib/vscode');
  const product = JSON.parse(readFileSync(join(vscode, 'product.json'), 'utf8')) as { commit: string };
  const places = ['out', 'product.json'].map((name) => join(vscode, name));
  const files = execFileSync('grep', ['-rl', product.commit, ...places], { encoding: 'utf8' });
  for (const file of files.trim().split('\n')) {
    writeFileSync(`${file}.new`, readFileSync(file, 'latin1').replaceAll(product.commit, commit), 'latin1');
    renameSync(`${file}.new`, file);
  }
  mkdirSync(bin);
  writeFileSync(join(bin, 'code-server'), `#!/bin/sh\nexec "${process.execPath}" "${entryOf(copy)}" "$@"\n`);
  chmodSync(join(bin, 'code-server'), 0o755);
  return bin;
}

/** Immutable parts of the editor that were sent since `from` requests; what is named anew each time (`?salt=…`) is none. */
const sent = ({ gateway }: Front, from: number): string[] =>
  gateway.finished
    .slice(from)
    .filter(({ status, head }) => status === 200 && head?.query === '')
    .map(({ head }) => head?.path ?? '')
    .filter((path) => /\/stable-[0-9a-f]{40}\/static\//.test(path));
const commitsOf = (paths: string[]) => new Set(paths.map((path) => /stable-([0-9a-f]{40})/.exec(path)?.[1]));

async function opened(page: Page): Promise<void> {
  await page.locator('.explorer-folders-view').getByText('hello.txt', { exact: true }).waitFor();
  await page.locator('.statusbar-item').first().waitFor();
}

async function openTab(browser: Browser, url: string): Promise<Page> {
  const page = await (await browser.newContext({ viewport: { width: 1400, height: 900 } })).newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(url);
  return page;
}

t.setTimeout(180_000 + INSTALL_MS);
t.test('VS Code', { skip, timeout: 180_000 + INSTALL_MS }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-editor-'));
  const project = join(folder, 'workspace/project/demo');
  mkdirSync(project, { recursive: true });
  writeFileSync(join(project, 'hello.txt'), 'hello\n');
  const front = await startFront();
  let pod = await startPod(front, folder);
  const browser = await openChromium();
  t.teardown(async () => {
    await browser.close();
    await front.gateway.close();
    await pod.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  if (!isInstalled) await pod.call('POST', '/api/vscode/install');
  for (const end = Date.now() + INSTALL_MS; !existsSync(entryOf(installedFolder(CACHE))) && Date.now() < end;)
    await new Promise((resolve) => setTimeout(resolve, 500));

  const tabs: Partial<Record<(typeof FORMS)[number], Page>> = {};
  for (const form of FORMS)
    await t.test(`${form} form`, async (t) => {
      const before = front.gateway.finished.length;
      const path = `/-/open?folder=${encodeURIComponent(WORKSPACE)}`;
      const page = (tabs[form] = await openTab(browser, front.entry(form, { slot: A, port: 'vscode', path })));
      await opened(page);
      t.ok(page.url().startsWith(`${front.url(form, A, 'vscode')}/?folder=`), page.url());

      await page.locator('.monaco-workbench').press('Control+Backquote');
      await page.locator('.terminal .xterm-screen').first().click();
      await page.keyboard.type(`echo ${form}-$((40+2)) > from-${form}.txt; pwd > where-${form}.txt\n`);
      const written = join(project, `from-${form}.txt`);
      await until(async () => existsSync(join(project, `where-${form}.txt`)) && readFileSync(written, 'utf8'), Boolean);
      t.equal(readFileSync(written, 'utf8'), `${form}-42\n`, 'the terminal ran a command in the folder');

      await page.locator('.explorer-folders-view').getByText('hello.txt', { exact: true }).dblclick();
      await page.locator('.editor-instance .view-lines').first().click();
      await page.keyboard.press('Control+Home');
      await page.keyboard.type(`typed in ${form} form `);
      await page.keyboard.press('Control+S');
      const onDisk = await until(
        () => Promise.resolve(readFileSync(join(project, 'hello.txt'), 'utf8')),
        (text) => text.startsWith(`typed in ${form} form `),
      );
      t.match(onDisk, /hello\n$/, 'what was typed is saved, and nothing else changed');
      await picture(page, `editor-${form}`);

      await page.keyboard.press('Control+Shift+X');
      await page.locator('.extensions-viewlet .monaco-editor').first().click();
      await page.keyboard.type('@builtin typescript');
      await page.locator('.extensions-viewlet .extension-list-item').first().waitFor();
      await picture(page, `editor-extensions-${form}`);

      const first = sent(front, before).length;
      t.ok(first > 5, `${first} immutable parts`);
      await page.goto(`${front.url(form, A, 'vscode')}/?folder=${encodeURIComponent(project)}`);
      await opened(page);
      const all = sent(front, before);
      t.same(all, [...new Set(all)], 'a second load has them from the cache');
    });

  await t.test('the address that the agent server gives, with its token', async (t) => {
    const base = encodeURIComponent(front.url('host', A, 'vscode'));
    const answer = await pod.call('GET', `/api/vscode/url?base_url=${base}&workspace_dir=${WORKSPACE}`);
    const page = await openTab(browser, (answer.body as { url: string }).url);
    await opened(page);
    t.notMatch(page.url(), keyOf(A), 'the token does not stay in the address');
    await page.context().close();
    const stranger = await openTab(browser, `${front.url('host', A, 'vscode')}/?tkn=wrong`);
    t.match(await stranger.title(), 'Please open this from its conversation');
    await stranger.context().close();
  });

  await t.test('a new version is not served stale', async (t) => {
    await pod.stop();
    const commit = '5'.repeat(40);
    pod = await startPod(front, folder, [newVersion(folder, commit)]);
    for (const form of FORMS) {
      const before = front.gateway.finished.length;
      const page = tabs[form];
      if (page === undefined) throw new Error('no tab');
      await page.goto(`${front.url(form, A, 'vscode')}/?folder=${encodeURIComponent(project)}`);
      await opened(page);
      t.same([...commitsOf(sent(front, before))], [commit], `${form} form`);
    }
  });
});
