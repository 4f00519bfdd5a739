/**
 * A sandbox's page against its neighbours and the UI, in a real Chromium whose user has both of them open: the real programs,
 * in host form and in path form. Every attempt must fail for the attacker, but what docs/install.md says of path form.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { packageRoot } from '../../process/root.js';
import { openStack, picture, withoutChromium } from '../support/browser.js';
import { ask, converse, entry, finished, pathForm, type Conversation } from '../support/client.js';
import { freePorts, until, type Stack } from '../support/stack.js';

const PROGRAM = join(packageRoot(), 'test/browser/hostile/app.mjs');

interface Neighbour {
  conversation: Conversation;
  name: string;
  port: number;
  /** What its app was asked since the last time. */
  asked(): string[];
}

async function startNeighbour(stack: Stack, name: string, { folder, port }: { folder: string; port: number }) {
  const log = join(folder, name);
  writeFileSync(log, '');
  const started = await converse(stack, `node ${PROGRAM} ${port} ${name} ${log} >/dev/null 2>&1 &`);
  const conversation = await finished(stack, started.id);
  let seen = 0;
  const asked = () => {
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(seen);
    seen += lines.length;
    return lines;
  };
  return { conversation, name, port, asked } satisfies Neighbour;
}

/** Opens an app as its owner and gives its address without slash. */
async function visit(page: Page, url: string, name: string): Promise<string> {
  await page.goto(url);
  await page.getByRole('heading', { name: `app of ${name}` }).waitFor();
  return page.url().replace(/\/[^/]*$/, '');
}

/** In the attacker's page: `ok <what came>` or `no <why>`. */
const attempt = (page: Page, script: string) =>
  page.evaluate(
    `(async () => { try { return 'ok ' + await (async () => { ${script} })(); } catch (error) { return 'no ' + error.name; } })()`,
  ) as Promise<string>;

/** Ways to make a browser send something elsewhere; none of them may reach an app that is another sandbox's. */
const sendings = (url: string) => [
  `return (await fetch('${url}/f-read', { credentials: 'include' })).text()`,
  `return (await fetch('${url}/f-opaque', { mode: 'no-cors', credentials: 'include' })).type`,
  `return (await fetch('${url}/f-post', { method: 'POST', mode: 'no-cors', credentials: 'include', body: 'x' })).type`,
  `return (await fetch('${url}/f-json', { method: 'PUT', credentials: 'include', headers: { 'content-type': 'application/json' }, body: '{}' })).text()`,
  `return navigator.sendBeacon('${url}/f-beacon', 'x')`,
  `return new Promise((resolve, reject) => { const s = document.createElement('script'); s.src = '${url}/f-script.js'; s.onload = () => resolve('loaded'); s.onerror = reject; document.head.append(s); })`,
  `return new Promise((resolve, reject) => { const s = new WebSocket('${url.replace('http', 'ws')}/f-socket'); s.onopen = resolve; s.onerror = () => reject(new Error('socket')); })`,
  `return new Promise((resolve, reject) => { const s = new EventSource('${url}/f-events', { withCredentials: true }); s.onopen = resolve; s.onerror = () => reject(new Error('stream')); })`,
  `const form = document.createElement('form'); form.method = 'post'; form.target = 'f-form'; form.action = '${url}/f-form';
   const frame = document.createElement('iframe'); frame.name = 'f-form'; document.body.append(frame, form);
   await new Promise((resolve) => { frame.onload = resolve; form.submit(); setTimeout(resolve, 2000); }); return 'sent';`,
];

/** Frames `url` in the attacker's page; what the person would see there. */
async function framed(page: Page, url: string): Promise<string> {
  const name = `frame-${Math.random()}`;
  await attempt(
    page,
    `const f = document.createElement('iframe'); f.name = '${name}'; document.body.append(f);
     await new Promise((resolve) => { f.onload = resolve; f.src = '${url}'; setTimeout(resolve, 3000); }); return '';`,
  );
  const frame = page.frames().find((one) => one.name() === name);
  return (await frame?.content().catch(() => '')) ?? '';
}

/** Against the UI and its API; the same from both forms. */
async function againstTheUi(t: Test, page: Page, stack: Stack): Promise<void> {
  const conversations = async () =>
    (await ask<{ items: unknown[] }>(`${stack.api}/api/v1/app-conversations/search?limit=100`)).body.items.length;
  const before = await conversations();
  const api = `${stack.api}/api/v1`;
  const body = JSON.stringify({ initial_message: { role: 'user', content: [{ type: 'text', text: 'echo x' }] } });
  const scripts = [
    `return (await fetch('${api}/settings', { credentials: 'include' })).text()`,
    `return (await fetch('${api}/app-conversations', { method: 'POST', credentials: 'include', headers: { 'content-type': 'application/json' }, body: ${JSON.stringify(body)} })).text()`,
    `const w = window.open('${stack.api}/settings'); await new Promise((r) => setTimeout(r, 1000)); try { return w.document.title } finally { w.close() }`,
  ];
  for (const script of scripts) t.match(await attempt(page, script), /^no /, script.slice(0, 90));
  await attempt(
    page,
    `return (await fetch('${api}/app-conversations', { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'content-type': 'text/plain' }, body: ${JSON.stringify(body)} })).type`,
  );
  await attempt(
    page,
    `const f = document.createElement('form'); f.method = 'post'; f.enctype = 'text/plain'; f.target = 'f-ui'; f.action = '${api}/app-conversations';
     const i = document.createElement('input'); i.name = ${JSON.stringify(body.slice(0, -1) + ',"x":"')}; i.value = '"}'; f.append(i);
     const frame = document.createElement('iframe'); frame.name = 'f-ui'; document.body.append(frame, f);
     await new Promise((resolve) => { frame.onload = resolve; f.submit(); setTimeout(resolve, 2000); }); return '';`,
  );
  t.equal(await conversations(), before, 'nothing was started in the user’s name');
  t.notMatch(await framed(page, stack.api), /<div id="root">/, 'the UI is not framed');
}

/** Cookies that the attacker's answers and scripts set. */
async function cookies(t: Test, { page, base, stack }: { page: Page; base: string; stack: Stack }): Promise<void> {
  const context = page.context();
  const passes = async () =>
    (await context.cookies()).filter(({ name }) => name.includes('sandlot-pass')).map(({ value }) => value);
  const before = await passes();
  await page.goto(`${base}/cookies`);
  const host = new URL(base).hostname;
  const all = await context.cookies();
  const set = all.filter(({ name }) => ['plain', 'parent', 'top', 'other', '__Host-own'].includes(name));
  t.ok(set.some(({ name }) => name === 'plain'), 'its own cookies work'); // prettier-ignore
  t.same(set.filter(({ domain }) => domain !== host), [], 'answers set cookies for their own host only'); // prettier-ignore
  t.same(await passes(), before, 'the gateway’s own cookies are as they were');
  await page.evaluate(
    `for (const domain of ['localhost', '.localhost', '${new URL(stack.api).hostname}']) document.cookie = 'tossed=1; Path=/; Domain=' + domain;`,
  );
  t.same(
    (await context.cookies(stack.api)).map(({ name }) => name),
    [],
    'no cookie is set for the UI',
  );
}

async function redirects(t: Test, page: Page, link: (path: string) => Promise<string>): Promise<void> {
  for (const to of [
    '//evil.test/',
    '/\\evil.test/',
    'https://evil.test/',
    '/\t/evil.test',
    '/.//evil.test',
    '@evil.test',
  ]) {
    const url = new URL(await link('/'));
    url.searchParams.set('to', to);
    await page.goto(url.href);
    t.equal(new URL(page.url()).host, url.host, JSON.stringify(to));
  }
}

t.setTimeout(240_000);
t.test('hostile neighbours', { skip: withoutChromium, timeout: 240_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-hostile-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const { stack, browser } = await openStack(t);
  const [evilPort, goodPort] = await freePorts();
  const evil = await startNeighbour(stack, 'evil', { folder, port: evilPort });
  const good = await startNeighbour(stack, 'good', { folder, port: goodPort });
  const link = ({ conversation, port }: Neighbour, path = '/') => entry(stack, conversation.sandbox_id, port, path);

  /** A person with the UI and both apps open, in both forms. */
  const person = async () => {
    const context: BrowserContext = await browser.newContext();
    const page = await context.newPage();
    await page.goto(stack.api);
    await page.getByLabel('What should the agent do?').waitFor();
    const open = async (one: Neighbour) => ({
      host: await visit(await context.newPage(), await link(one), one.name),
      path: await visit(await context.newPage(), pathForm(await link(one)), one.name),
    });
    return { ui: page, good: await open(good), evil: await open(evil) };
  };

  await t.test('host form', async (t) => {
    const { ui, good: victim, evil: own } = await person();
    const page = await ui.context().newPage();
    await visit(page, `${own.host}/`, 'evil');
    for (const url of [victim.host, victim.path]) {
      good.asked();
      for (const script of sendings(url)) await attempt(page, script);
      t.same(good.asked(), [], 'nothing arrives at a neighbour’s app');
      t.notMatch(await framed(page, `${url}/`), /app of good/, 'a neighbour’s app is not framed');
    }
    await t.test('the neighbour’s editor, opened with its token', async (t) => {
      const editor = new URL(victim.host);
      editor.hostname = editor.hostname.replace(/^\d+-/, 'vscode-');
      const key = good.conversation.session_api_key ?? '';
      const tab = await ui.context().newPage();
      await tab.goto(`${editor.origin}/-/open?tkn=${key}`);
      const answer = await tab.goto(`${editor.origin}/-/open`);
      t.equal(answer?.status(), answer?.ok() === true ? 200 : 503, 'by its cookie: it, or the offer to install it');
      t.match(await answer?.headerValue('content-security-policy'), `frame-ancestors 'self' ${stack.api}`);
      const seen = await framed(page, `${editor.origin}/`);
      t.notMatch(seen, /VS Code|workbench/, 'it is not framed');
    });
    await t.test('against the UI', (t) => againstTheUi(t, page, stack));
    await t.test('cookies', async (t) => {
      await cookies(t, { page, base: own.host, stack });
      await page.evaluate(
        `for (const name of ['sandlot-pass', '__Host-sandlot-pass', 'sandlot-pass-' + 'x']) document.cookie = name + '=forged; Path=/; Domain=sandbox.localhost';`,
      );
      good.asked();
      await visit(page, `${victim.host}/after`, 'good');
      t.notMatch(good.asked().join(), /forged/, 'what it tosses at a neighbour locks nobody out');
    });
    await t.test('redirects', (t) => redirects(t, page, (path) => link(evil, path)));
  });

  await t.test('path form', async (t) => {
    const { ui, good: victim, evil: own } = await person();
    const page = await ui.context().newPage();
    await visit(page, `${own.path}/`, 'evil');
    good.asked();
    for (const script of sendings(victim.host)) await attempt(page, script);
    t.same(good.asked(), [], 'nothing arrives at a neighbour’s app in host form');
    t.notMatch(await framed(page, `${victim.host}/`), /app of good/);
    t.match(
      await attempt(page, `return (await fetch('${victim.path}/')).text()`),
      /app of good/,
      'one origin: what docs/install.md says that path form cannot protect',
    );
    await t.test('service workers', async (t) => {
      const port = evil.port;
      const register = (script: string, scope: string) =>
        attempt(page, `return (await navigator.serviceWorker.register('${script}', { scope: '${scope}' })).scope`);
      t.match(await register(`${own.path}/sw.js`, `${own.path}/`), /^ok /, 'below its own prefix');
      t.match(await register(`${own.path}/sw.js`, '/'), /^no /, 'not for the whole host');
      t.match(await register(`${own.path}/sw.js`, `${victim.path}/`), /^no /, 'not for a neighbour');
      t.match(await register(`/api/sandbox-port/${port}/sw.js`, `/api/sandbox-port/${port}/`), /^no /, 'not where neighbours are too'); // prettier-ignore
    });
    await t.test('against the UI', (t) => againstTheUi(t, page, stack));
    await t.test('cookies', async (t) => {
      await cookies(t, { page, base: own.path, stack });
      const set = (await page.context().cookies()).find(({ name }) => name === 'plain');
      t.equal(set?.path, `${new URL(own.path).pathname}/`, 'below its prefix');
    });
    await t.test('redirects', (t) => redirects(t, page, async (path) => pathForm(await link(evil, path))));
  });

  await t.test('embedded in the UI', async (t) => {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(30_000);
    await page.goto(`${stack.api}/conversations/${evil.conversation.id}`);
    await page.getByRole('tab', { name: 'App' }).click();
    await page.frameLocator('iframe[title^="App on port"]').getByRole('heading', { name: 'app of evil' }).waitFor();
    const frame = page.frames().find((one) => one.url().includes(`//${evil.port}-`));
    if (frame === undefined) throw new Error('no frame of the app');
    const inFrame = (script: string) => attempt(frame as unknown as Page, script);
    const before = page.url();
    t.match(await inFrame('return parent.document.title'), /^no SecurityError/);
    t.match(await inFrame(`top.location.href = 'http://evil.test/'; return ''`), /^no SecurityError/);
    await inFrame(
      `const w = window.open('${new URL(frame.url()).origin}/popup'); await new Promise((r) => setTimeout(r, 1500));
       w.eval("try { opener.top.location.href = 'http://evil.test/' } catch {}; try { opener.parent.postMessage({ type: 'navigate', url: 'http://evil.test/' }, '*') } catch {}"); return ''`,
    );
    await inFrame(
      `for (const data of ['x', { type: 'reload' }, { type: 'auth', session_api_key: 'x' }, null]) parent.postMessage(data, '*'); return ''`,
    );
    await until('the popup', async () => (await ask(stack.api)).status === 200);
    await new Promise((resolve) => setTimeout(resolve, 500));
    t.equal(page.url(), before, 'the UI stays where it is');
    await page.getByRole('tab', { name: 'App' }).waitFor();
    await picture(page, 'hostile-embedded');
  });
});
