/** What only a browser can prove: that it keeps and sends the cookies, embedded too, over http on localhost names. */
import { existsSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import { chromium } from 'playwright-core';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import { signPass } from '../contracts/tokens.js';
import { entryUrl, sandboxUrl, type GatewayAddress, type PortRef } from '../contracts/urls.js';
import { addPod, keyOf, listenLocal, SECRET, slotNamed, startTestGateway } from './testing/harness.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);
const SLOT = slotNamed('a');

async function serve(t: Test, handler: RequestListener) {
  const server = createServer(handler);
  const port = await listenLocal(server);
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port };
}

async function freePort(): Promise<number> {
  const server = createNetServer();
  const port = await listenLocal(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

t.test('Chromium', { skip: CHROMIUM === undefined ? 'no Chromium here' : false, timeout: 60_000 }, async (t) => {
  const seen: { url: string | undefined; key: unknown; cookie: string | undefined }[] = [];
  const pod = await serve(t, ({ url, headers }, response) => {
    seen.push({ url, key: headers['x-session-api-key'], cookie: headers.cookie });
    const attributes = 'Path=/; Secure; SameSite=None; Partitioned';
    response.writeHead(200, {
      'content-type': 'text/html',
      'x-frame-options': 'DENY',
      'set-cookie': `app=1; ${attributes}`,
    });
    response.end('<title>pod</title><h1>pod</h1>');
  });
  new WebSocketServer({ server: pod.server }).on('connection', (socket) => socket.send('hello'));
  const ui = await serve(
    t,
    (_request, response) =>
      void response.writeHead(200, { 'content-type': 'text/html' }).end('<iframe id="frame"></iframe>'),
  );
  const uiOrigin = `http://localhost:${ui.port}`;
  const port = await freePort();
  const domain = `sandbox.localhost:${port}`;
  const gateway = await startTestGateway({ port, domain, ui: uiOrigin });
  t.teardown(() => gateway.close());
  const ports = { agent: pod.port, 'worker-1': pod.port, 'worker-2': await freePort() };
  addPod(gateway, SLOT, ports);
  const address: GatewayAddress = { form: 'host', protocol: 'http', domain };
  const entry = (to: string, of: PortRef) => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const pass = signPass(SECRET, { use: 'entry', slot: SLOT, owner: 'alice', epoch: 1, exp });
    return entryUrl(address, { slot: SLOT, port: of, pass, to });
  };
  const browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox'] });
  t.teardown(() => browser.close());

  await t.test('a tab: entry, the next page, a WebSocket', async (t) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${sandboxUrl(address, SLOT, 'worker-1')}/closed`);
    t.match(await page.title(), 'Please open this from its conversation');
    await page.goto(entry('/first?x=1', 'worker-1'));
    t.equal(page.url(), `${sandboxUrl(address, SLOT, 'worker-1')}/first?x=1`, 'no pass is left in the address');
    await page.goto(`${sandboxUrl(address, SLOT, 'worker-1')}/second`);
    t.equal(await page.title(), 'pod');
    t.match(
      seen.find(({ url }) => url === '/second'),
      { cookie: 'app=1', key: undefined },
      'the app’s cookie, not the gateway’s',
    );
    const message = await page.evaluate(
      `new Promise((resolve) => { const s = new WebSocket(location.origin.replace('http', 'ws')); s.onmessage = (e) => resolve(e.data); s.onerror = () => resolve('error'); })`,
    );
    t.equal(message, 'hello');
    await page.goto(entry('/agent', 'agent'));
    t.match(
      seen.find(({ url }) => url === '/agent'),
      { key: keyOf(SLOT) },
      'the agent server gets its key from the gateway',
    );
  });

  await t.test('a frame of the UI, whatever the app says about framing', async (t) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(uiOrigin);
    const load = async (url: string) => {
      await page.evaluate(
        `new Promise((resolve) => { const f = document.getElementById('frame'); f.onload = resolve; f.src = ${JSON.stringify(url)}; })`,
      );
      return page.frames()[1]?.title();
    };
    t.equal(await load(entry('/framed', 'worker-1')), 'pod');
    t.equal(await load(`${sandboxUrl(address, SLOT, 'worker-1')}/again`), 'pod', 'by its partitioned cookie');
    const status = await page.evaluate(
      `fetch(${JSON.stringify(`${sandboxUrl(address, SLOT)}/api/x`)}, { method: 'POST', headers: { 'x-session-api-key': ${JSON.stringify(keyOf(SLOT))} } }).then((r) => r.status)`,
    );
    t.equal(status, 200, 'and calls with the key, after a preflight');
  });

  await t.test('a waiting page moves on by itself', async (t) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(entry('/', 'worker-2'));
    t.match(await page.textContent('p'), /No app is listening on port \d+ yet\./);
    addPod(gateway, SLOT, { ...ports, 'worker-2': pod.port });
    await page.locator('h1', { hasText: 'pod' }).waitFor();
    t.pass('there it is');
  });
});
