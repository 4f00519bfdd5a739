/** What the browser's tools do, each to its words for the model. Errors are thrown, and become observations. */
import type { ElementHandle, JSHandle, Page } from 'playwright-core';
import { COLLECT, READ } from './scripts.js';
import type { Session } from './session.js';

export interface Seen {
  text: string;
  /** Base64 of a JPEG. */
  screenshot?: string;
}

/** Elements of the last look at a page, by index. */
export interface Sight {
  page: Page;
  lists: { count: number; handle: JSHandle }[];
}

export interface Limits {
  navigationMs: number;
  actionMs: number;
}

const MAX_ELEMENTS = 500;
const MAX_NODES = 50_000;
const MAX_FRAMES = 20;
const CONTENT = 30_000;
const SETTLE_MS = 3_000;
const POPUP_MS = 300;
/** An option that is not there is not waited for. */
const CHOICE_MS = 2_000;
const SCHEMES = /^(https?|file|about|data|blob|view-source):/i;

/** The address that a person meant; throws for schemes that do things instead of showing them. Pure. */
export function addressOf(given: string): string {
  const url = given.trim();
  if (SCHEMES.test(url)) return url;
  if (/^[a-z][a-z0-9+.-]*:(?!\d)/i.test(url))
    throw new Error(`Addresses of this kind cannot be opened: ${url.slice(0, 100)}`);
  const local = /^(localhost|127\.|\[::1\]|0\.0\.0\.0)/i.test(url);
  return `${local ? 'http' : 'https'}://${url}`;
}

/** A function of a page's world, called. */
const call = (script: string, argument: unknown): string => `(${script})(${JSON.stringify(argument)})`;
const valueOf = async (handle: JSHandle, name: string): Promise<unknown> =>
  (await handle.getProperty(name)).jsonValue();

/** Pages that load for ever are worked with as they are. */
const settle = (page: Page): Promise<unknown> =>
  page.waitForLoadState('load', { timeout: SETTLE_MS }).catch(() => undefined);

export async function navigate(
  session: Session,
  { url, newTab }: { url: string; newTab: boolean },
  { navigationMs }: Limits,
): Promise<string> {
  const address = addressOf(url);
  const page = newTab ? await session.open() : await session.page();
  try {
    await page.goto(address, { waitUntil: 'domcontentloaded', timeout: navigationMs });
  } catch (error) {
    if (/Download is starting/.test((error as Error).message)) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      return `${address} is a download.`;
    }
    throw error;
  }
  await settle(page);
  return `${newTab ? `Opened new tab (${session.idOf(page)}) with` : 'Navigated to:'} ${page.url()}`;
}

export async function goBack(session: Session, { navigationMs }: Limits): Promise<string> {
  const page = await session.page();
  const before = page.url();
  await page.goBack({ waitUntil: 'domcontentloaded', timeout: navigationMs });
  if (page.url() === before) return 'There is no earlier page in this tab.';
  await settle(page);
  return `Navigated back to ${page.url()}`;
}

/** Looks at the page anew: its elements get their indexes. */
export async function look(session: Session): Promise<{ sight: Sight; state: Record<string, unknown> }> {
  const page = await session.page();
  const lists: Sight['lists'] = [];
  const elements: Record<string, unknown>[] = [];
  let more = false;
  for (const frame of page.frames().slice(0, MAX_FRAMES)) {
    if (elements.length >= MAX_ELEMENTS) break;
    const limit = MAX_ELEMENTS - elements.length;
    const handle = await frame.evaluateHandle(call(COLLECT, { limit, nodes: MAX_NODES })).catch(() => undefined);
    if (handle === undefined) continue;
    const infos = (await valueOf(handle, 'infos')) as Record<string, unknown>[];
    lists.push({ count: infos.length, handle });
    for (const info of infos.slice(0, limit)) elements.push({ index: elements.length, ...info });
    more ||= (await valueOf(handle, 'more')) === true;
  }
  const place = (await page
    .evaluate('({ y: scrollY, height: document.documentElement?.scrollHeight ?? 0, view: innerHeight })')
    .catch(() => undefined)) as { y: number; height: number; view: number } | undefined;
  const state = {
    url: page.url(),
    title: await page.title().catch(() => ''),
    tabs: await tabs(session),
    interactive_elements: elements,
    ...(more ? { more_elements: true } : {}),
    ...(place === undefined
      ? {}
      : { scroll: { position: place.y, page_height: place.height, view_height: place.view } }),
  };
  return { sight: { page, lists }, state };
}

/** Throws when there is no such element, or the tab is another one by now. */
export async function elementAt(session: Session, sight: Sight | undefined, index: number): Promise<ElementHandle> {
  const page = await session.page();
  if (sight === undefined || sight.page !== page)
    throw new Error('Look at the page first (browser_get_state): the indexes of its elements come from there.');
  let at = index;
  for (const { count, handle } of sight.lists) {
    if (at < count) {
      const element = (await (await handle.getProperty('elements')).getProperty(String(at))).asElement();
      if (element !== null) return element;
    }
    at -= count;
  }
  throw new Error(`There is no element with index ${index}. Look at the page anew (browser_get_state).`);
}

export async function click(
  element: ElementHandle,
  { page, newTab, index }: { page: Page; newTab: boolean; index: number },
  { actionMs }: Limits,
): Promise<string> {
  const modifiers: 'ControlOrMeta'[] = newTab ? ['ControlOrMeta'] : [];
  const opened = page.waitForEvent('popup', { timeout: actionMs + POPUP_MS }).catch(() => undefined);
  try {
    await element.click({ timeout: actionMs, modifiers });
  } catch (error) {
    // Covered or moving: as a script of the page would do it.
    if (!/intercepts pointer events|not stable|outside of the viewport/.test((error as Error).message)) throw error;
    await element.dispatchEvent('click');
  }
  // A tab that opens is told of at once.
  await Promise.race([opened, new Promise((resolve) => setTimeout(resolve, POPUP_MS))]);
  await settle(page);
  return `Clicked element ${index}`;
}

export async function type(
  element: ElementHandle,
  { index, text }: { index: number; text: string },
  { actionMs }: Limits,
): Promise<string> {
  if ((await valueOf(element, 'localName')) === 'select')
    await element.selectOption({ label: text }, { timeout: Math.min(actionMs, CHOICE_MS) });
  else await element.fill(text, { timeout: actionMs });
  return `Typed '${text}' into element ${index}`;
}

export async function content(session: Session, { links, from }: { links: boolean; from: number }): Promise<string> {
  const page = await session.page();
  const read = (await page.evaluate(call(READ, { links, from, length: CONTENT }))) as {
    text: string;
    more: boolean;
    total: number;
  };
  if (from > 0 && read.text === '')
    throw new Error(`start_from_char (${from}) exceeds content length (${read.total}).`);
  const rest = read.more ? `\n\n[There is more: go on with start_from_char=${from + CONTENT}]` : '';
  return `URL: ${page.url()}\n\n${read.text.slice(0, CONTENT)}${rest}`;
}

export async function scroll(session: Session, direction: 'up' | 'down'): Promise<string> {
  const page = await session.page();
  await page.evaluate(`scrollBy(0, ${direction === 'up' ? '-' : ''}innerHeight * 0.8)`);
  return `Scrolled ${direction}`;
}

export const tabs = (session: Session): Promise<{ tab_id: string; url: string; title: string }[]> =>
  Promise.all(
    session.pages().map(async (page) => ({
      tab_id: session.idOf(page),
      url: page.url(),
      // A tab that hangs has no title to tell.
      title: await Promise.race([
        page.title().catch(() => ''),
        new Promise<string>((resolve) => setTimeout(resolve, 1000, '').unref()),
      ]),
    })),
  );

export function tabOf(session: Session, id: string): Page {
  const page = session.byId(id);
  if (page !== undefined) return page;
  const known = session.pages().map((each) => session.idOf(each));
  throw new Error(`There is no tab ${id}. Open tabs: ${known.join(', ')}`);
}
