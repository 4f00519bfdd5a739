/**
 * OpenHands' own web frontend, unmodified (the npm package @openhands/agent-canvas, in its cloud mode), in a real Chromium
 * against the real programs: login by a code, a conversation of the active agent profile, its files, a plan, a pause and the way
 * back.
 * SANDLOT_TEST_OPENHANDS_FRONTEND names the package's folder; without it the suite is skipped, saying so.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import Fastify from 'fastify';
import type { Page, Request } from 'playwright-core';
import t from 'tap';
import { freePort, openStack, picture, withoutChromium } from '../support/browser.js';
import { ask, conversationOf } from '../support/client.js';
import { until } from '../support/stack.js';

const frontend = process.env.SANDLOT_TEST_OPENHANDS_FRONTEND;
const skip =
  withoutChromium ||
  (frontend === undefined && 'SANDLOT_TEST_OPENHANDS_FRONTEND names no folder with @openhands/agent-canvas');

/** What its own static server does: files, index.html for every page, and the cloud's address in a script. */
async function serveFrontend(root: string, { port, cloud }: { port: number; cloud: string }) {
  const app = Fastify();
  const lock = `<head><script>window.__AGENT_CANVAS_LOCK_TO_CLOUD__=${JSON.stringify(cloud)};window.__AGENT_CANVAS_DO_NOT_TRACK__=true</script>`;
  const index = readFileSync(join(root, 'index.html'), 'utf8').replace('<head>', lock);
  await app.register(fastifyStatic, { root, wildcard: false, index: false });
  app.setNotFoundHandler((_request, reply) => reply.type('text/html; charset=utf-8').send(index));
  await app.listen({ host: '127.0.0.1', port });
  return app;
}

t.test("OpenHands' frontend with Sandlot as its cloud", { skip, timeout: 240_000 }, async (t) => {
  // Its origin must be known before the programs start.
  const port = await freePort();
  const canvas = `http://127.0.0.1:${port}`;
  const { stack, browser } = await openStack(t, { env: { SANDLOT_UI_ORIGINS: canvas } });
  const served = await serveFrontend(join(frontend ?? '', 'build'), { port, cloud: stack.api });
  t.teardown(() => served.close());
  // Its first screen wants a model with a key; the line runner needs none.
  const llm = { model: 'builtin/line-runner', api_key: 'not-needed' };
  await ask(`${stack.api}/api/v1/settings`, { method: 'POST', body: { agent_settings_diff: { llm } } });
  const profile = await activeProfile(stack.api, llm);
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 } });
  const page = await context.newPage();
  const shot = (name: string) => picture(page, `openhands-${name}`);
  const refused = listenForRefusals(page, stack.api);

  await t.test('it logs in by a code that the person allows', async (t) => {
    const authorized = page.waitForResponse((response) => response.url().endsWith('/oauth/device/authorize'));
    await page.goto(canvas);
    await page.getByRole('button', { name: 'Connect to OpenHands' }).click();
    const { verification_uri_complete: address } = (await (await authorized).json()) as {
      verification_uri_complete: string;
    };
    // It opens this page itself where it is https.
    const consent = await context.newPage();
    await consent.goto(address);
    await picture(consent, 'openhands-consent');
    await consent.getByRole('button', { name: 'Allow' }).click();
    await consent.getByText('The program is let in').waitFor();
    await consent.close();
    await composer(page).waitFor();
    await shot('home');
    t.pass('connected');
  });

  let id = '';
  await t.test('a conversation: the message, the work, the answer', async (t) => {
    await say(page, 'echo -n made-here > greeting.txt\necho the-sum-is-$((40+2))');
    await page.waitForURL(/\/conversations\/[0-9a-f]{32}/);
    id = /conversations\/([0-9a-f]{32})/.exec(page.url())?.[1] ?? '';
    await until('the end of the run', async () => (await conversationOf(stack, id))?.execution_status === 'finished');
    await answers(page, 2);
    await shot('conversation');
    t.match(await conversationOf(stack, id), {
      sandbox_status: 'RUNNING',
      launched_agent_profile: { agent_profile_id: profile },
    });
  });

  await t.test('its planner is a sub-conversation that only plans', async (t) => {
    await page.getByText('Code', { exact: true }).first().click();
    await shot('modes');
    await page.getByText('Plan', { exact: true }).first().click();
    const plan = await until('the planner', async () => {
      const { sub_conversation_ids: plans } = (await conversationOf(stack, id)) as { sub_conversation_ids?: string[] };
      return plans?.[0];
    });
    await shot('plan');
    t.match(await conversationOf(stack, plan), { parent_conversation_id: id, sandbox_status: 'RUNNING' });
    await page.getByText('Plan', { exact: true }).first().click();
    await page.getByText('Code', { exact: true }).first().click();
  });

  await t.test('the files that it lists are those that the agent wrote', async (t) => {
    const path = encodeURIComponent('/workspace/project');
    const { body } = await ask(`${stack.api}/api/v1/app-conversations/${id}/files?path=${path}`);
    t.same(body, ['greeting.txt']);
  });

  await t.test('paused elsewhere, it wakes the sandbox and goes on', async (t) => {
    const sandbox = (await conversationOf(stack, id))?.sandbox_id ?? '';
    await ask(`${stack.api}/api/v1/sandboxes/${sandbox}/pause`, { method: 'POST', body: {} });
    await until('the pause', async () => (await conversationOf(stack, id))?.sandbox_status === 'PAUSED');
    const socket = page.waitForEvent('websocket', (one) => one.url().includes('/sockets/events/'));
    await page.reload();
    await answers(page, 2);
    await until('the way back', async () => (await conversationOf(stack, id))?.sandbox_status === 'RUNNING');
    // What is typed before it has its socket it keeps to itself.
    await (await socket).waitForEvent('framereceived');
    await say(page, 'cat greeting.txt; echo " and-kept"');
    await answers(page, 3);
    await shot('resumed');
    t.pass('the second message was answered');
  });

  t.same(refused(), [], 'nothing that it asked of the API was refused');
});

/** A profile that new conversations begin with; answers its id. */
async function activeProfile(api: string, llm: object): Promise<string> {
  await ask(`${api}/api/v1/settings/profiles/lines`, { method: 'POST', body: { llm } });
  const at = `${api}/api/agent-profiles`;
  await ask(`${at}/everyday`, { method: 'POST', body: { llm_profile_ref: 'lines' } });
  const { profiles } = (await ask(at)).body as { profiles: { id: string }[] };
  const id = profiles[0]?.id ?? '';
  await ask(`${at}/${id}/activate`, { method: 'POST', body: {} });
  return id;
}

const composer = (page: Page) => page.locator('[contenteditable=true]').first();
/** The line runner says of each line how it went. */
const answers = (page: Page, lines: number) =>
  page
    .getByText(': done')
    .nth(lines - 1)
    .waitFor();

async function say(page: Page, text: string): Promise<void> {
  await composer(page).click();
  const [first = '', ...rest] = text.split('\n');
  await page.keyboard.type(first);
  for (const line of rest) {
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type(line);
  }
  await page.keyboard.press('Enter');
}

/** Parts of OpenHands that are not Sandlot's: a service for automations. */
const NOT_OURS = /\/api\/automation\//;

/** Calls of the page that the API refused. */
function listenForRefusals(page: Page, api: string): () => string[] {
  const refused: string[] = [];
  const name = (request: Request) => `${request.method()} ${new URL(request.url()).pathname}`;
  page.on('response', (response) => {
    const request = response.request();
    // While it waits for the person it is told so by 400 (RFC 8628).
    const isWaiting = request.url().endsWith('/oauth/device/token');
    if (!request.url().startsWith(api) || NOT_OURS.test(request.url()) || isWaiting) return;
    if (response.status() >= 400) refused.push(`${response.status()} ${name(request)}`);
  });
  return () => refused;
}
