/**
 * What agents start in sandboxes, as a person opens it: real servers in a real sandbox, the gateway, a real Chromium.
 * SANDLOT_TEST_PYTHON_APPS is a Python environment with apps/requirements.txt; without one its apps are skipped, saying so.
 */
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { FORMS } from '../support/browser.js';
import { converse, entry, finished, pathForm } from '../support/client.js';
import { removeFolder, startStack, until, type Stack } from '../support/stack.js';

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath}; set CHROMIUM`;
const python = process.env['SANDLOT_TEST_PYTHON_APPS'];
const withoutPython = python === undefined ? 'SANDLOT_TEST_PYTHON_APPS is not set' : false;
const APPS = join(packageRoot(), 'test/gateway/apps');
type Form = (typeof FORMS)[number];
const PORTS = { files: 8080, vite: 5173, flask: 5000, streamlit: 8501, jupyter: 8888, gradio: 7860 };
/** Python's bigger ones load for a while on a busy machine. */
const START_MS = 120_000;

function commands(folder: string): string[] {
  const own = [
    `python3 -m http.server ${PORTS.files} --directory ${folder}/files`,
    `node ${packageRoot()}/node_modules/vite/bin/vite.js ${folder}/vite --host 0.0.0.0 --port ${PORTS.vite} --strictPort`,
  ];
  const bin = `${python}/bin`;
  const pythons = [
    `${bin}/flask --app ${APPS}/flask_app.py run --host 0.0.0.0 --port ${PORTS.flask}`,
    `${bin}/streamlit run ${APPS}/streamlit_app.py --server.port ${PORTS.streamlit} --server.headless true --browser.gatherUsageStats false`,
    `${bin}/jupyter lab --allow-root --ip 0.0.0.0 --port ${PORTS.jupyter} --no-browser --IdentityProvider.token=open-sesame`,
    `GRADIO_ANALYTICS_ENABLED=False ${bin}/python ${APPS}/gradio_app.py ${PORTS.gradio}`,
  ];
  return [...own, ...(python === undefined ? [] : pythons)].map((line) => `${line} >/dev/null 2>&1 &`);
}

t.setTimeout(420_000);
t.test('apps of a sandbox in a browser', { skip, timeout: 420_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-apps-'));
  cpSync(join(APPS, 'vite'), join(folder, 'vite'), { recursive: true });
  cpSync(APPS, join(folder, 'files'), { recursive: true });
  const stack = await startStack();
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  t.teardown(async () => {
    await browser.close();
    await stack.stop();
    await removeFolder(stack.data);
    rmSync(folder, { recursive: true, force: true });
  });
  const conversation = await converse(stack, commands(folder).join('\n'));
  await finished(stack, conversation.id);
  const opened = (port: number, path = '/', form: Form = 'host') =>
    open({ stack, browser, sandbox: conversation.sandbox_id, port, path, form });

  await t.test('Python’s http.server, in host and in path form', async (t) => {
    const page = await opened(PORTS.files, '/flask_app.py');
    t.match(await page.content(), 'a stream of events');
    const inPath = await browser.newPage();
    await inPath.goto(pathForm(await entry(stack, conversation.sandbox_id, PORTS.files, '/vite/')));
    await inPath.waitForURL(/\/vite\/$/);
    t.match(await inPath.title(), 'Vite');
    t.match(new URL(inPath.url()).pathname, `/${PORTS.files}/vite/`);
  });

  await t.test('Vite: an edit shows without a reload', async (t) => {
    const page = await opened(PORTS.vite);
    await page.locator('h1', { hasText: 'before the edit' }).waitFor();
    await page.evaluate('window.here = true');
    // The edit may come before the page's socket is open: then the next one shows.
    await until('the edit', async () => {
      writeFileSync(join(folder, 'vite/text.js'), `export const text = 'after the edit'; // ${Date.now()}\n`);
      await new Promise((resolve) => setTimeout(resolve, 300));
      return (await page.locator('h1').textContent()) === 'after the edit';
    });
    t.equal(await page.evaluate('window.here'), true, 'it is the same page');
  });

  for (const form of FORMS) {
    await t.test(`Flask in ${form} form: a form, redirects and a session`, { skip: withoutPython }, async (t) => {
      const page = await opened(PORTS.flask, '/', form);
      await page.waitForURL(/\/login$/);
      await page.getByLabel('Name').fill('Ada');
      await page.getByRole('button').click();
      await page.getByRole('heading', { name: 'Hello Ada, visit 1' }).waitFor();
      await page.reload();
      await page.getByRole('heading', { name: 'Hello Ada, visit 2' }).waitFor();
      const events = await page.evaluate(
        `new Promise((resolve) => { const seen = []; const s = new EventSource('/events'); s.onmessage = (e) => { seen.push(e.data); if (seen.length === 5) { s.close(); resolve(seen); } }; })`,
      );
      t.same(events, ['event 0', 'event 1', 'event 2', 'event 3', 'event 4']);
      const digest = await page.evaluate(
        `(async () => { const body = new Uint8Array(20e6).fill(7); const of = (b) => crypto.subtle.digest('SHA-256', b).then((d) => [...new Uint8Array(d)].map((x) => x.toString(16).padStart(2, '0')).join('')); const there = await (await fetch('/upload', { method: 'POST', body })).text(); return there === await of(body); })()`,
      );
      t.equal(digest, true, '20 MB arrive as they were');
    });

    await t.test(`Streamlit in ${form} form: its subprotocol`, { skip: withoutPython }, async (t) => {
      const page = await opened(PORTS.streamlit, '/', form);
      await page.getByLabel('Name').fill('Grace');
      await page.getByLabel('Name').press('Enter');
      await page.getByText('Hello Grace from Streamlit').waitFor();
      t.pass('the script ran again for the answer');
    });

    await t.test(`Jupyter in ${form} form: its token, its cookie, a kernel`, { skip: withoutPython }, async (t) => {
      const page = await opened(PORTS.jupyter, '/lab?token=open-sesame', form);
      await page.locator('.jp-Launcher').waitFor({ timeout: START_MS });
      const said = await page.evaluate(RUN_IN_KERNEL);
      t.equal(said, '42\n', 'what the kernel printed');
    });

    await t.test(`Gradio in ${form} form: its queue of events`, { skip: withoutPython }, async (t) => {
      const page = await opened(PORTS.gradio, '/', form);
      await page.getByLabel('Text').fill('drawer');
      await page.getByRole('button', { name: 'Submit' }).click();
      await until('the answer', async () => (await page.getByLabel('Backwards').inputValue()) === 'reward');
      t.pass('reward');
    });
  }
});

/** In the page: starts a kernel and runs one line in it over its WebSocket. */
const RUN_IN_KERNEL = `(async () => {
  const token = 'open-sesame';
  const headers = { authorization: 'token ' + token, 'content-type': 'application/json' };
  const kernel = await (await fetch('/api/kernels', { method: 'POST', headers, body: '{"name":"python3"}' })).json();
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/api/kernels/' + kernel.id + '/channels?token=' + token);
  const header = { msg_id: 'one', msg_type: 'execute_request', username: '', session: 's', version: '5.3' };
  const content = { code: 'print(6 * 7)', silent: false, store_history: false, allow_stdin: false, stop_on_error: true };
  socket.onopen = () => socket.send(JSON.stringify({ channel: 'shell', header, parent_header: {}, metadata: {}, content, buffers: [] }));
  return await new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      const message = typeof data === 'string' ? JSON.parse(data) : {};
      if (message.msg_type === 'stream') resolve(message.content.text);
    };
  });
})()`;

interface Opening {
  stack: Stack;
  browser: Browser;
  sandbox: string;
  port: number;
  path: string;
  form: Form;
}

/** A new tab of a new person, who waits on the gateway's page until the app is there. */
async function open({ stack, browser, sandbox, port, path, form }: Opening): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(START_MS);
  const url = await entry(stack, sandbox, port, path);
  await page.goto(form === 'path' ? pathForm(url) : url);
  await page.locator('main[role=status]').waitFor({ state: 'detached' });
  return page;
}
