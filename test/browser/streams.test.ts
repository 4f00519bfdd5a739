/**
 * The UI's event stream in a real Chromium, behind a real nginx of three kinds, to the real gateway and agent server: it finds a
 * way by itself, and connections that break lose and repeat nothing.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { chromium, type Browser, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import {
  keyOf,
  listenLocal,
  slotNamed,
  startTestGateway,
  addPod,
  type TestGateway,
} from '../../gateway/testing/harness.js';
import { packageRoot } from '../../process/root.js';
import { caller, lineRunner, says, startChild, statusOf, until, type Call } from '../../sandbox/testing/server.js';
import { hasNginx, NGINX_WAYS, startNginx, type NginxWay } from '../support/nginx.js';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const skip = !existsSync(executablePath)
  ? `no Chromium at ${executablePath}; set CHROMIUM`
  : hasNginx()
    ? false
    : 'no nginx on this machine';
const A = slotNamed('a');

/** A page of the UI's origin with the UI's own event stream on it. */
async function startUi(t: Test): Promise<string> {
  const bundle = await build({
    stdin: {
      contents: `import { openEventStream } from './web/src/api/eventStream';
        globalThis.seen = []; globalThis.states = [];
        globalThis.start = (agent) => openEventStream(agent, {
          onEvent: (event) => seen.push(event), onState: (state) => states.push(state) });`,
      resolveDir: packageRoot(),
      loader: 'ts',
    },
    bundle: true,
    write: false,
    format: 'iife',
  });
  const script = bundle.outputFiles[0]?.text ?? '';
  const server = createServer((request, response) => {
    const isScript = request.url === '/app.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : '<!doctype html><title>x</title><script src="/app.js"></script>');
  });
  const port = await listenLocal(server);
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://localhost:${port}`;
}

interface Seen {
  id: string;
  kind: string;
  key?: string;
}

const seenBy = (page: Page) =>
  page.evaluate(() => (globalThis as unknown as { seen: Seen[] }).seen.map(({ id, kind, key }) => ({ id, kind, key })));

const isStored = ({ kind, key }: { kind: string; key?: string | undefined }) =>
  kind !== 'StreamingDeltaEvent' && key !== 'full_state';

async function storedIds(call: Call, id: string): Promise<string[]> {
  const ids: string[] = [];
  for (let page = ''; ;) {
    const answer = await call('GET', `/api/conversations/${id}/events/search?limit=100${page}`);
    const { items, next_page_id } = answer.body as { items: Seen[]; next_page_id: string | null };
    ids.push(...items.map((event) => event.id));
    if (next_page_id === null) return ids;
    page = `&page_id=${next_page_id}`;
  }
}

/** Whether a stream has come to its end by the way that is open there: they are counted when they end. */
function hasUsed(way: NginxWay, { finished }: TestGateway): boolean {
  return finished.some(({ status, head }) => {
    if (way === 'plain') return status === 101;
    if (way === 'stripping') return status === 200 && head?.accept === 'text/event-stream';
    return status === 200 && head?.query.startsWith('transport=poll') === true;
  });
}

let browser: Browser | undefined;

for (const way of NGINX_WAYS)
  t.test(`behind nginx, ${way}`, { skip, timeout: 120_000 }, async (t) => {
    browser ??= await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
    const folder = mkdtempSync(join(tmpdir(), 'sandlot-streams-'));
    const ui = await startUi(t);
    const agent = await startChild(folder, { OH_SESSION_API_KEYS_0: keyOf(A) });
    const gateway = await startTestGateway({ ui });
    addPod(gateway, A, { agent: Number(new URL(agent.url).port) });
    const nginx = await startNginx(way, gateway.port);
    const page = await browser.newPage();
    t.teardown(async () => {
      await page.close();
      await nginx.stop();
      await gateway.close();
      agent.child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    });
    const call = caller(agent.url, keyOf(A));
    const { id } = (await call('POST', '/api/conversations', lineRunner())).body as { id: string };
    await page.goto(ui);
    await page.evaluate((agent) => (globalThis as unknown as { start(agent: object): void }).start(agent), {
      base: `http://${A}.sandbox.localhost:${nginx.port}`,
      sessionKey: keyOf(A),
      conversationId: id,
    });
    const lines = Array.from({ length: 30 }, (_, n) => `echo line ${n}`).join('\n');
    const run = async () => {
      const before = (await seenBy(page)).length;
      await call('POST', `/api/conversations/${id}/events`, says(lines));
      await until(
        async () => (await seenBy(page)).length,
        (count) => count > before + 5,
      );
      // In the middle of it every connection breaks.
      for (const { socket } of gateway.gateway.connections) socket.destroy();
      await until(
        () => statusOf(call, id),
        (status) => status === 'finished',
      );
    };
    await run();
    // A proxy that keeps small things back is found out when nothing comes.
    await until(
      () => Promise.resolve(hasUsed(way, gateway)),
      (used) => used,
    );
    await run();
    await run();
    const stored = await storedIds(call, id);
    await until(
      async () => (await seenBy(page)).filter(isStored).length,
      (count) => count >= stored.length,
    );
    const seen = (await seenBy(page)).filter(isStored).map((event) => event.id);
    t.equal(seen.length, stored.length);
    t.equal(
      seen.findIndex((event, n) => event !== stored[n]),
      -1,
      'in the order in which they are stored',
    );
  });

t.test('the end', async () => {
  await browser?.close();
});
