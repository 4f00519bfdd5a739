/** Path form in a real Chromium: a page that names its parts in every way that the gateway rewrites, and what is fetched then. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import t from 'tap';
import { addPod, keyOf, listenLocal, slotNamed, startTestGateway, waitFor } from '../../gateway/testing/harness.js';

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath}; set CHROMIUM`;
const A = slotNamed('a');

const PAGE = `<!doctype html><html><head><title>parts</title>
<script type="importmap">{"imports":{"lib":"/map/lib.js","/abs.js":"/map/abs.js"}}</script>
<link rel="stylesheet" href="/sheet.css" integrity="sha384-AAAA">
<link rel="preload" as="image" imagesrcset="/preload.png 1x">
<style>@import "/imported.css"; #a { background: url(/style.png) }</style>
<script type="module">import { a } from 'lib'; import { b } from '/abs.js'; window.modules = a + b;</script>
</head><body><p id="a" title="a > b">a</p><p style="background:url('/attribute.png')">b</p><p id="c">c</p>
<img src="/img.png"><img srcset="/set.png 1x, /set2.png 2x"><picture><source srcset="/source.png"><img></picture>
<video poster="/poster.png"></video><object data="/object.html"></object>
<svg width="9" height="9"><image xlink:href="/xlink.png" width="9" height="9"/></svg>
<iframe src="/refresh.html"></iframe><iframe src="/header.html"></iframe>
<iframe src="/based/"></iframe><form action="/posted"><button formaction="/other">go</button></form></body></html>`;
const OTHERS: Record<string, [string, string]> = {
  '/sheet.css': ['text/css', '#c { color: rgb(1, 2, 3); background: url("/sheet.png") }'],
  '/imported.css': ['text/css', '#a { color: rgb(4, 5, 6) }'],
  '/map/lib.js': ['text/javascript', 'export const a = 40;'],
  '/map/abs.js': ['text/javascript', 'export const b = 2;'],
  '/refresh.html': ['text/html', '<meta http-equiv="refresh" content="0; url=/refreshed.html">'],
  '/based/': ['text/html', '<base href="/base/"><img src="below.png">'],
};
const WANTED = [
  '/sheet.css',
  '/imported.css',
  '/preload.png',
  '/style.png',
  '/attribute.png',
  '/sheet.png',
  '/map/lib.js',
  '/map/abs.js',
  '/img.png',
  '/set.png',
  '/source.png',
  '/poster.png',
  '/object.html',
  '/xlink.png',
  '/refreshed.html',
  '/headed.html',
  '/link.css',
  '/base/below.png',
];

t.test('a page in path form', { skip, timeout: 90_000 }, async (t) => {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    seen.push(url);
    if (url === '/app')
      return void response
        .writeHead(200, { 'content-type': 'text/html', link: '</link.css>; rel=preload; as=style' })
        .end(PAGE);
    if (url === '/header.html')
      return void response.writeHead(200, { 'content-type': 'text/html', refresh: '0; url=/headed.html' }).end('x');
    const [type, text] = OTHERS[url] ?? [
      url.endsWith('html') ? 'text/html' : url.endsWith('css') ? 'text/css' : 'image/png',
      '',
    ];
    response.writeHead(200, { 'content-type': type }).end(text);
  });
  const pod = await listenLocal(server);
  const gateway = await startTestGateway();
  addPod(
    gateway,
    A,
    { agent: pod, 'worker-1': pod },
    { spec: { ports: [{ name: 'worker-1', port: pod, visibility: 'Public' }] } },
  );
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  t.teardown(async () => {
    await browser.close();
    await gateway.close();
    server.closeAllConnections();
    server.close();
  });
  const strays: string[] = [];
  const page = await browser.newPage();
  const prefix = `/${A}/${pod}`;
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (!pathname.startsWith(`${prefix}/`) && pathname !== '/favicon.ico') strays.push(pathname);
  });
  await page.setExtraHTTPHeaders({ 'x-session-api-key': keyOf(A) });
  await page.goto(`http://localhost:${gateway.port}${prefix}/app`);
  await waitFor(() => WANTED.every((url) => seen.includes(url))).catch(() => undefined);
  t.same(
    WANTED.filter((url) => !seen.includes(url)),
    [],
    'all parts are fetched',
  );
  t.same(strays, [], 'nothing is asked for above the prefix');
  t.equal(await page.evaluate('window.modules'), 42, 'modules by their map');
  t.equal(
    await page.evaluate('getComputedStyle(document.getElementById("c")).color'),
    'rgb(1, 2, 3)',
    'a style sheet whose digest is of the text before',
  );
  t.equal(await page.evaluate('getComputedStyle(document.getElementById("a")).color'), 'rgb(4, 5, 6)');
  t.equal(await page.evaluate('new URL(document.querySelector("button").formAction).pathname'), `${prefix}/other`);
  t.equal(await page.evaluate('new URL(document.forms[0].action).pathname'), `${prefix}/posted`);
});
