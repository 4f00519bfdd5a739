/** One browser with its tabs: started when it is needed, ended when nobody used it for long. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import type { BrowserContext, Dialog, Download, Page } from 'playwright-core';

export interface SessionOptions {
  executable: string;
  /** Downloads are put into `downloads/` below it. */
  workingDir: string;
  environment(): Record<string, string>;
  idleMs?: number;
}

export interface Session {
  /** The tab that is worked on; starts the browser if need be. */
  page(): Promise<Page>;
  pages(): Page[];
  /** Four characters that name a tab while it is there. */
  idOf(page: Page): string;
  byId(id: string): Page | undefined;
  focus(page: Page): Promise<void>;
  open(): Promise<Page>;
  /** What happened in the browser by itself since the last call: dialogs, downloads, new tabs. */
  news(): string[];
  /** Ends the browser; its cookies stay for the next start. */
  reset(): Promise<void>;
  /** Ends the browser for good. */
  close(): Promise<void>;
}

const VIEWPORT = { width: 1280, height: 800 };
const LAUNCH_MS = 30_000;
const CLOSE_MS = 5_000;
const IDLE_MS = 30 * 60_000;
const MAX_TABS = 20;
const MAX_NEWS = 20;
const MAX_DOWNLOADS = 100;
/** /dev/shm of a pod has 64 MB; the other two keep Chromium from asking for a keyring and a first visit. */
const FLAGS = ['--disable-dev-shm-usage', '--password-store=basic', '--no-first-run'];

export function createSession(options: SessionOptions): Session {
  let started: Promise<BrowserContext> | undefined;
  let context: BrowserContext | undefined;
  let profile: Promise<string> | undefined;
  let current: Page | undefined;
  let idle: NodeJS.Timeout | undefined;
  let downloads = 0;
  let closed = false;
  const ids = new WeakMap<Page, string>();
  const news: string[] = [];

  const tell = (what: string) => {
    if (news.length < MAX_NEWS) news.push(what.slice(0, 500));
  };
  const idOf = (page: Page): string => {
    const id = ids.get(page) ?? randomBytes(2).toString('hex').toUpperCase();
    ids.set(page, id);
    return id;
  };
  const pages = (): Page[] => context?.pages().filter((page) => !page.isClosed()) ?? [];

  const save = async (download: Download) => {
    const folder = join(options.workingDir, 'downloads');
    const path = join(folder, `${Date.now().toString(36)}-${safeName(download.suggestedFilename())}`);
    try {
      if (++downloads > MAX_DOWNLOADS) throw new Error('this browser has downloaded enough');
      await mkdir(folder, { recursive: true });
      await download.saveAs(path);
      tell(`A file was downloaded to ${path}`);
    } catch (error) {
      tell(`A download failed: ${(error as Error).message}`);
    }
  };
  const answer = async (dialog: Dialog) => {
    const accept = dialog.type() !== 'prompt';
    tell(
      `The page showed a dialog (${dialog.type()}): "${dialog.message().slice(0, 300)}". It was ${accept ? 'accepted' : 'dismissed'}.`,
    );
    await (accept ? dialog.accept() : dialog.dismiss()).catch(() => undefined);
  };
  const adopt = (page: Page, fresh: boolean) => {
    if (pages().length > MAX_TABS) {
      tell(`A new tab was closed at once: ${MAX_TABS} are open.`);
      void page.close().catch(() => undefined);
      return;
    }
    page.on('dialog', (dialog) => void answer(dialog));
    page.on('download', (download) => void save(download));
    page.on('crash', () => tell('A tab crashed.'));
    if (!fresh) return;
    current = page;
    tell(`A new tab was opened (${idOf(page)}); it is the current one.`);
  };

  const start = async (): Promise<BrowserContext> => {
    if (closed) throw new Error('the browser is closed');
    profile ??= mkdtemp(join(tmpdir(), 'sandlot-browser-'));
    const made = await launch(options, await profile);
    context = made;
    for (const page of made.pages()) adopt(page, false);
    made.on('page', (page) => adopt(page, true));
    made.on('close', () => {
      if (context !== made) return;
      context = undefined;
      started = undefined;
      current = undefined;
    });
    return made;
  };
  const use = async (): Promise<BrowserContext> => {
    started ??= start();
    try {
      const made = await started;
      clearTimeout(idle);
      idle = setTimeout(() => void reset(), options.idleMs ?? IDLE_MS).unref();
      return made;
    } catch (error) {
      started = undefined;
      throw error;
    }
  };
  const reset = async () => {
    clearTimeout(idle);
    const made = await started?.catch(() => undefined);
    context = undefined;
    started = undefined;
    current = undefined;
    if (made === undefined) return;
    // A browser that hangs is killed by Playwright; its answer is not waited for.
    await Promise.race([
      made.close().catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref()),
    ]);
  };

  return {
    async page() {
      const made = await use();
      if (current === undefined || current.isClosed()) current = pages().at(-1) ?? (await quietly(made));
      return current;
    },
    pages,
    idOf,
    byId: (id) => pages().find((page) => idOf(page) === id.toUpperCase()),
    async focus(page) {
      current = page;
      await page.bringToFront();
    },
    async open() {
      current = await quietly(await use());
      return current;
    },
    news: () => news.splice(0),
    reset,
    async close() {
      closed = true;
      await reset();
      if (profile !== undefined) await rm(await profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };

  /** A tab that the agent asked for is no news. */
  async function quietly(made: BrowserContext): Promise<Page> {
    const page = await made.newPage();
    const at = news.findLastIndex((each) => each.includes(`(${idOf(page)})`));
    if (at >= 0) news.splice(at, 1);
    return page;
  }
}

/** With Chromium's own sandbox where the machine allows one (never as root, rarely in a pod: the pod is the sandbox then). */
async function launch(options: SessionOptions, profile: string): Promise<BrowserContext> {
  const { chromium } = await import('playwright-core');
  const env = options.environment();
  const attempt = (chromiumSandbox: boolean) =>
    chromium.launchPersistentContext(profile, {
      executablePath: options.executable,
      headless: true,
      chromiumSandbox,
      viewport: VIEWPORT,
      acceptDownloads: true,
      downloadsPath: join(profile, 'arriving'),
      timeout: LAUNCH_MS,
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
      args: FLAGS,
      // Nothing is written where HOME may be read-only or the user's.
      env: { ...env, HOME: profile, XDG_CONFIG_HOME: profile, XDG_CACHE_HOME: profile },
    });
  if (process.getuid?.() === 0) return attempt(false);
  return attempt(true).catch(() => attempt(false));
}

/** The last part of a name that a server chose, without what file systems and shells trip over. Pure. */
export function safeName(name: string): string {
  const clean = basename(name.replaceAll('\\', '/'))
    .replace(/[^\p{L}\p{N}._ -]/gu, '_')
    .replace(/^[.-]+/, '');
  const extension = extname(clean).slice(0, 20);
  return `${clean.slice(0, clean.length - extname(clean).length).slice(0, 100) || 'file'}${extension}`;
}
