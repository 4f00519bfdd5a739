/**
 * Development servers through the gateway in a real Chromium, in host form and in path form: Vite with hot reload and an app with
 * a login, a session cookie and redirects; Next.js with hot reload where SANDLOT_TEST_NEXT names a folder that has it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { addPod, listenLocal, slotNamed } from '../../gateway/testing/harness.js';
import { packageRoot } from '../../process/root.js';
import { until } from '../../sandbox/testing/server.js';
import { FORMS, freePort, openChromium, picture, startFront, withoutChromium, type Front } from '../support/browser.js';

const A = slotNamed('a');
const next = process.env['SANDLOT_TEST_NEXT'];

/** A program of the pod's that ends with the test. */
function start(t: Test, command: string[], cwd: string): ChildProcess {
  const [file = '', ...args] = command;
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'development' };
  const child = spawn(file, args, { cwd, env, stdio: 'ignore', detached: true });
  t.teardown(async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    await ended;
  });
  return child;
}

/** Edits `file` until the page, the same page, shows it. The first edit may come before the page listens. */
async function hotReload(t: Test, page: Page, edit: { file: string; text: (value: string) => string }): Promise<void> {
  await page.locator('h1', { hasText: 'before the edit' }).waitFor();
  await page.evaluate('window.here = true');
  let count = 0;
  await until(
    async () => {
      writeFileSync(edit.file, edit.text(`after edit ${(count += 1)}`));
      await new Promise((resolve) => setTimeout(resolve, 500));
      return await page.locator('h1').textContent();
    },
    (text) => text?.startsWith('after edit') === true,
  );
  t.equal(await page.evaluate('window.here'), true, 'without a reload of the page');
}

async function openApp(t: Test, front: Front, url: string): Promise<{ page: Page; strays: string[] }> {
  const browser = await openChromium();
  t.teardown(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const strays: string[] = [];
  const before = front.gateway.finished.length;
  page.on('requestfailed', (request) => void strays.push(request.url()));
  await page.goto(url);
  await page.locator('main[role=status]').waitFor({ state: 'detached' });
  t.teardown(() => void strays.push(...front.gateway.finished.slice(before).filter(({ status }) => status === 404).map(({ head }) => head?.target ?? ''))); // prettier-ignore
  return { page, strays };
}

/** A login as frameworks have it: a form, a cookie for the whole host, redirects to root-absolute places. */
function loginApp() {
  const users = new Map<string, string>();
  return createServer((request, response) => {
    const session = /session=(\w+)/.exec(request.headers.cookie ?? '')?.[1];
    const user = session === undefined ? undefined : users.get(session);
    const go = (location: string, more: Record<string, string> = {}) =>
      response.writeHead(302, { location, ...more }).end();
    const show = (html: string) => response.writeHead(200, { 'content-type': 'text/html' }).end(html);
    if (request.url === '/login' && request.method === 'POST') {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        const id = `s${users.size}`;
        users.set(id, new URLSearchParams(body).get('name') ?? '');
        go('/', { 'set-cookie': `session=${id}; Path=/; HttpOnly; SameSite=Lax` });
      });
      return;
    }
    if (request.url === '/login') return void show('<form method=post action=/login><label>Name <input name=name></label><button>In</button></form>'); // prettier-ignore
    if (request.url === '/logout') return void go('/login', { 'set-cookie': 'session=; Path=/; Max-Age=0' });
    if (user === undefined) return void go('/login');
    if (request.url === '/api/me') return void response.end(JSON.stringify({ user }));
    show(`<h1>Hello ${user}</h1><p id=me></p><a href=/logout>Out</a>
      <script>fetch('/api/me').then((r) => r.json()).then(({ user }) => (me.textContent = 'also ' + user))</script>`);
  });
}

t.setTimeout(300_000);
t.test('frameworks', { skip: withoutChromium, timeout: 300_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-frameworks-'));
  const front = await startFront();
  t.teardown(async () => {
    await front.gateway.close();
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  addPod(front.gateway, A, { agent: await freePort() });

  for (const form of FORMS) {
    await t.test(`Vite, ${form} form`, async (t) => {
      const port = await freePort();
      const root = join(folder, `vite-${form}`);
      cpSync(join(packageRoot(), 'test/gateway/apps/vite'), root, { recursive: true });
      const vite = join(packageRoot(), 'node_modules/vite/bin/vite.js');
      start(t, [process.execPath, vite, root, '--host', '127.0.0.1', '--port', `${port}`, '--strictPort'], root);
      const { page } = await openApp(t, front, front.entry(form, { slot: A, port }));
      const text = (value: string) => `export const text = '${value}';\n`;
      await hotReload(t, page, { file: join(root, 'text.js'), text });
    });

    await t.test(`a login, ${form} form`, async (t) => {
      const server = loginApp();
      const port = await listenLocal(server);
      t.teardown(() => {
        server.closeAllConnections();
        server.close();
      });
      const { page } = await openApp(t, front, front.entry(form, { slot: A, port }));
      await page.getByLabel('Name').fill('Ada');
      await page.getByRole('button', { name: 'In' }).click();
      await page.getByRole('heading', { name: 'Hello Ada' }).waitFor();
      await page.getByText('also Ada').waitFor();
      t.equal(page.url(), `${front.url(form, A, port)}/`);
      await page.reload();
      await page.getByRole('heading', { name: 'Hello Ada' }).waitFor();
      await page.getByRole('link', { name: 'Out' }).click();
      await page.getByRole('button', { name: 'In' }).waitFor();
      t.equal(page.url(), `${front.url(form, A, port)}/login`);
    });

    await t.test(`Next.js, ${form} form`, { skip: next === undefined && 'SANDLOT_TEST_NEXT is not set' }, async (t) => {
      const port = await freePort();
      const root = join(folder, `next-${form}`);
      mkdirSync(join(root, 'app'), { recursive: true });
      symlinkSync(join(next ?? '', 'node_modules'), join(root, 'node_modules'));
      writeFileSync(join(root, 'package.json'), '{"private":true}\n');
      const text = (value: string) =>
        `'use client';\nimport { useState } from 'react';\nexport default function Page() { const [n, set] = useState(0); return <main><h1>${value}</h1><button onClick={() => set(n + 1)}>clicked {n}</button></main>; }\n`;
      const file = join(root, 'app/page.jsx');
      writeFileSync(file, text('before the edit'));
      writeFileSync(
        join(root, 'app/layout.jsx'),
        'export default function Layout({ children }) { return <html lang="en"><body>{children}</body></html>; }\n',
      );
      writeFileSync(
        join(root, 'next.config.mjs'),
        `export default { allowedDevOrigins: ['*.localhost', '*.*.localhost'] };\n`,
      );
      const bin = join(next ?? '', 'node_modules/next/dist/bin/next');
      start(t, [process.execPath, bin, 'dev', '--port', `${port}`, '--hostname', '127.0.0.1'], root);
      t.ok(existsSync(bin));
      const { page } = await openApp(t, front, front.entry(form, { slot: A, port }));
      const clicked = page.getByRole('button', { name: /clicked/ });
      // Before React has taken the page over a click is nothing.
      const count = await until(
        async () => {
          await clicked.click();
          return await clicked.textContent();
        },
        (text) => text !== 'clicked 0',
      );
      await hotReload(t, page, { file, text });
      t.equal(await clicked.textContent(), count, 'and its state is kept');
      await picture(page, `next-${form}`);
    });
  }
});
