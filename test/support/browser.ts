/** A real Chromium before a gateway that it reaches by name, in host form and in path form. */
import { existsSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { signPass } from '../../contracts/tokens.js';
import { entryUrl, sandboxUrl, type PortRef, type UrlForm } from '../../contracts/urls.js';
import { listenLocal, SECRET, startTestGateway, type TestGateway } from '../../gateway/testing/harness.js';
import { packageRoot } from '../../process/root.js';
import { removeFolder, startStack, type StackOptions } from './stack.js';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const withoutChromium = existsSync(executablePath) ? false : `no Chromium at ${executablePath}; set CHROMIUM`;
export const FORMS = ['host', 'path'] as const satisfies UrlForm[];

/** Quiet: a test browser has no business with its maker's servers. */
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'];

export const openChromium = (): Promise<Browser> => chromium.launch({ executablePath, args: ARGS });

/** The real programs and a browser, both gone after the test. */
export async function openStack(t: { teardown(end: () => Promise<void>): void }, options: StackOptions = {}) {
  const stack = await startStack(options);
  const browser = await openChromium();
  t.teardown(async () => {
    await browser.close();
    await stack.stop();
    await removeFolder(stack.data);
  });
  return { stack, browser };
}

/** For people to look at. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = join(packageRoot(), 'dist/screenshots');
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenLocal(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Front {
  gateway: TestGateway;
  url(form: UrlForm, slot: string, port?: PortRef): string;
  /** What the owner's browser is sent to. */
  entry(form: UrlForm, to: { slot: string; port?: PortRef; path?: string }): string;
}

/** Names below `localhost` are this machine for browsers, and as trustworthy as https. */
export async function startFront(ui = 'http://localhost:3000'): Promise<Front> {
  const port = await freePort();
  const domain = `sandbox.localhost:${port}`;
  const gateway = await startTestGateway({ port, domain, ui });
  const address = (form: UrlForm) => ({ form, protocol: 'http', domain });
  return {
    gateway,
    url: (form, slot, port) => sandboxUrl(address(form), slot, port),
    entry(form, { slot, port = 'agent', path = '/' }) {
      const exp = Math.floor(Date.now() / 1000) + 60;
      const pass = signPass(SECRET, { use: 'entry', slot, owner: 'alice', epoch: 1, exp });
      return entryUrl(address(form), { slot, port, pass, to: path });
    },
  };
}
