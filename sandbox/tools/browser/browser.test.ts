/** The browser's tools with a real Chromium against a local web server. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../../process/clock.js';
import { createTools } from '../registry.js';
import { contentText, type Observation, type Tool, type ToolContext } from '../tool.js';
import { addressOf } from './actions.js';
import { findChromium } from './find.js';
import { safeName } from './session.js';

const dir = mkdtempSync(join(tmpdir(), 'browser-test-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }));
const env = { PATH: process.env['PATH'] ?? '', HOME: dir };

const context = (more: Partial<ToolContext> = {}): Omit<ToolContext, 'params'> => ({
  workingDir: dir,
  dataDir: join(dir, '.data'),
  clock: systemClock,
  environment: () => env,
  secretsFor: () => Promise.resolve({}),
  mapPath: (path) => path,
  waiting: () => ({ quietNeedsPort: false, onBusy: 'refuse' }),
  ...more,
});
const make = (params: Record<string, unknown> = {}, more: Partial<ToolContext> = {}) =>
  createTools({ tools: [{ name: 'browser_tool_set', params }], defaults: [], filter: null }, context(more));

t.test('no Chromium: no tools, and the reason', async (t) => {
  const made = make({}, { environment: () => ({ ...env, CHROMIUM: '/no/such/program' }) });
  t.equal(made.tools.size, 0);
  t.match(made.missing, [{ name: 'browser_tool_set', problem: /no Chromium/ }]);
});

t.test('addresses and names of files', async (t) => {
  t.equal(addressOf('example.org/x'), 'https://example.org/x');
  t.equal(addressOf('localhost:3000'), 'http://localhost:3000');
  t.equal(addressOf('HTTP://a'), 'HTTP://a');
  t.throws(() => addressOf('javascript:alert(1)'), /cannot be opened/);
  t.throws(() => addressOf('chrome://settings'), /cannot be opened/);
  t.equal(safeName('../../etc/pass wd.txt'), 'pass wd.txt');
  t.equal(safeName('..\\a$b;.tar.gz'), 'a_b_.tar.gz');
  t.equal(safeName('.bashrc'), 'bashrc');
  t.ok(safeName('x'.repeat(400)).length <= 121);
});

const HUGE = 50 * 1024 * 1024;
const pages: Record<string, string> = {
  '/': `<title>Home</title><h1>Hello</h1><p>Some <b>text</b>.</p><ul><li>one<li>two</ul>
    <a href="/form">The form</a> <a href="/second" target="_blank">Second</a> <a href="/file">Download</a>
    <button onclick="document.title = confirm('Really?') ? 'yes' : 'no'">Ask</button><button disabled>Off</button>
    <span style="display:none"><button>Hidden</button></span><script>var secret = 'not content'</script>`,
  '/form': `<title>Form</title><form action="/done"><label for=n>Name</label><input id=n name=n placeholder="your name">
    <select name=c><option>red<option>blue</select><input type=checkbox name=ok><input type=password name=p value=hunter2>
    <button>Send</button></form><iframe srcdoc="<button onclick=&quot;parent.document.title='inner'&quot;>Inside</button>"></iframe>`,
  '/second': '<title>Second</title><p>The second page',
  '/spin': '<title>Spin</title><button onclick="for(;;);">Spin</button>',
};
const listener: RequestListener = (request, response) => {
  const path = (request.url ?? '').split('?')[0] ?? '';
  if (path === '/never') return;
  if (path === '/file') {
    response.writeHead(200, {
      'content-type': 'text/plain',
      'content-disposition': 'attachment; filename="../re port.txt"',
    });
    return response.end('downloaded');
  }
  response.writeHead(200, { 'content-type': 'text/html' });
  if (path === '/done') return response.end(`<title>Done</title><p>${decodeURIComponent(request.url ?? '')}`);
  if (path === '/huge') {
    const block = `<p>${'word '.repeat(2000)}</p>`;
    for (let sent = 0; sent < HUGE; sent += block.length) response.write(block);
    return response.end('<button>Last</button>');
  }
  // Its picture never comes.
  if (path === '/half') return response.end('<title>Half</title><p>There.</p><img src="/never">');
  return response.end(pages[path] ?? '<title>404</title>');
};

const chromium = findChromium(env);
t.test('Chromium', { skip: chromium === undefined ? 'no Chromium here' : false, timeout: 200_000 }, async (t) => {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { tools } = make({ action_timeout_seconds: 3 });
  t.teardown(async () => {
    await Promise.all([...tools.values()].map(async (tool) => tool.close?.()));
    server.closeAllConnections();
    server.close();
  });
  const call = (name: string, args: object = {}, signal = new AbortController().signal): Promise<Observation> => {
    const tool = tools.get(`browser_${name}`) as Tool;
    return tool.run({ ...tool.schema.parse(args), kind: tool.actionKind }, { signal });
  };
  const said = (observation: Observation): string => contentText(observation.content);
  const firstText = (observation: Observation): string => contentText(observation.content.slice(0, 1));
  interface State {
    url: string;
    title: string;
    tabs: { tab_id: string; url: string }[];
    interactive_elements: { index: number; tag: string; text: string; [field: string]: unknown }[];
  }
  const state = async () => JSON.parse(firstText(await call('get_state'))) as State;
  const find = async (words: string) => {
    const { interactive_elements: all } = await state();
    const found = all.find((element) => JSON.stringify(element).includes(words));
    if (found === undefined) throw new Error(`no ${words} in ${JSON.stringify(all)}`);
    return found.index;
  };

  await t.test('state, content, screenshots', async (t) => {
    t.match(said(await call('click', { index: 0 })), /Look at the page first/);
    const opened = await call('navigate', { url: `${base}/` });
    t.match(opened, { kind: 'BrowserObservation', is_error: false, screenshot_data: null });
    const seen = await state();
    t.equal(seen.title, 'Home');
    t.same(seen.interactive_elements.map((element) => element.text), ['The form', 'Second', 'Download', 'Ask']); // prettier-ignore
    const read = said(await call('get_content', { extract_links: true }));
    t.match(read, /# Hello\nSome text\.\n- one\n- two/);
    t.match(read, new RegExp(`\\[The form\\]\\(${base}/form\\)`));
    t.notMatch(read, /not content|Hidden/);
    const shot = await call('get_state', { include_screenshot: true });
    const bytes = Buffer.from(String(shot['screenshot_data']), 'base64');
    t.same([...bytes.subarray(0, 3)], [0xff, 0xd8, 0xff]);
    t.ok(bytes.length < 500_000);
    t.match(tools.get('browser_get_state')?.modelContent?.(shot)[1], { type: 'image' });
  });

  await t.test('a form, a select, a frame; passwords are not shown', async (t) => {
    await call('click', { index: await find('The form') });
    const seen = await state();
    t.equal(seen.title, 'Form');
    t.notMatch(JSON.stringify(seen), /hunter2/);
    await call('type', { index: await find('your name'), text: 'Ada L' });
    t.match(said(await call('type', { index: await find('options'), text: 'blue' })), /Typed 'blue'/);
    t.match(said(await call('type', { index: await find('options'), text: 'green' })), /failed/);
    await call('click', { index: await find('checkbox') });
    await call('click', { index: await find('Inside') });
    t.equal((await state()).title, 'inner');
    await call('click', { index: await find('Send') });
    t.match(said(await call('get_content')), /n=Ada\+L&c=blue&ok=on/);
    t.match(said(await call('go_back')), /\/form/);
    t.match(said(await call('click', { index: 99 })), /no element with index 99/);
  });

  await t.test('a new tab, a dialog, a download', async (t) => {
    await call('navigate', { url: `${base}/` });
    const first = (await state()).tabs[0]?.tab_id ?? '';
    t.match(
      said(await call('click', { index: await find('Second') })),
      /Clicked element 1\nA new tab was opened \([0-9A-F]{4}\)/,
    );
    t.equal((await state()).title, 'Second');
    t.equal((JSON.parse(firstText(await call('list_tabs'))) as unknown[]).length, 2);
    t.match(said(await call('switch_tab', { tab_id: first })), /Switched to tab/);
    t.match(said(await call('click', { index: await find('Ask') })), /dialog \(confirm\): "Really\?". It was accepted/);
    t.equal((await state()).title, 'yes');
    t.match(said(await call('close_tab', { tab_id: first })), /Current tab: .*\/second/);
    t.match(said(await call('switch_tab', { tab_id: first })), /no tab/);
    t.match(said(await call('navigate', { url: `${base}/file` })), /is a download\.\nA file was downloaded/);
    const [name = ''] = readdirSync(join(dir, 'downloads'));
    t.match(name, /re port\.txt$/);
    t.equal(readFileSync(join(dir, 'downloads', name), 'utf8'), 'downloaded');
    t.notOk(existsSync(join(dir, 're port.txt')));
  });

  await t.test('pages that never come, come half, are huge, or spin', async (t) => {
    t.match(await call('navigate', { url: `${base}/never` }), { is_error: true });
    await call('navigate', { url: `${base}/half` });
    t.match(said(await call('get_content')), /There\./);
    const opened = await call('navigate', { url: `${base}/huge` });
    if (opened.is_error) t.match(said(opened), /Timeout/, 'a slow machine may not have it in three seconds');
    const read = said(await call('get_content', { start_from_char: 1000 }));
    t.match(read, /start_from_char=31000/);
    t.ok(read.length < 31_000);
    t.ok(said(await call('get_state')).length < 200_000);
    await call('navigate', { url: `${base}/spin` });
    const spin = await find('Spin');
    await call('click', { index: spin });
    const stop = new AbortController();
    const hanging = call('get_content', {}, stop.signal);
    setTimeout(() => stop.abort(new Error('interrupted')), 500);
    await t.rejects(hanging, /interrupted/);
    await call('navigate', { url: `${base}/second` });
    t.equal((await state()).title, 'Second', 'a fresh browser after an interrupt');
  });

  await t.test('cookies and storage', async (t) => {
    await call('set_storage', {
      storage_state: {
        cookies: [{ name: 'login', value: 'yes', url: base }],
        origins: [{ origin: base, localStorage: [{ name: 'key', value: 'kept' }] }],
      },
    });
    await call('navigate', { url: `${base}/second` });
    const stored = said(await call('get_storage'));
    t.match(stored, /"login"/);
    t.match(stored, /"kept"/);
    t.match(await call('set_storage', { storage_state: { cookies: 'no' } }), { is_error: true });
  });
});
