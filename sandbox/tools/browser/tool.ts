/** The browser's tools: names and fields of the OpenHands agent server 1.58, over Playwright. */
import { z } from 'zod';
import { image, text, type Action, type Observation, type RunOptions, type Tool, type ToolContext } from '../tool.js';
import * as act from './actions.js';
import { findChromium } from './find.js';
import { createSession, type Session } from './session.js';

const index = z.number().int().min(0).describe('The index of the element, from browser_get_state.');
const tab = z.string().describe('The four characters of the tab, from browser_list_tabs.');
const LOOKS = ['get_state', 'get_content', 'list_tabs', 'get_storage'];

interface Entry {
  kind: string;
  description: string;
  schema: z.ZodObject;
}
const ENTRIES: Record<string, Entry> = {
  navigate: {
    kind: 'BrowserNavigate',
    description:
      'Opens an address in the browser. Look at the page with browser_get_state or browser_get_content then.',
    schema: z.strictObject({
      url: z.string().describe('The address.'),
      new_tab: z.boolean().default(false).describe('Open it in a new tab.'),
    }),
  },
  click: {
    kind: 'BrowserClick',
    description: 'Clicks an element of the page, by its index in the latest browser_get_state.',
    schema: z.strictObject({
      index,
      new_tab: z.boolean().default(false).describe('Open what it links to in a new tab.'),
    }),
  },
  get_state: {
    kind: 'BrowserGetState',
    description:
      'Shows where the browser is: address, title, tabs, and the elements of the page that can be clicked or typed into, with their indexes.',
    schema: z.strictObject({
      include_screenshot: z.boolean().default(false).describe('Add a picture of what is visible.'),
    }),
  },
  get_content: {
    kind: 'BrowserGetContent',
    description: 'Reads the text of the page as Markdown, 30000 characters at a time.',
    schema: z.strictObject({
      extract_links: z.boolean().default(false).describe('Keep the addresses of links.'),
      start_from_char: z.number().int().min(0).default(0).describe('Where to start: for the rest of a long page.'),
    }),
  },
  type: {
    kind: 'BrowserType',
    description:
      'Puts text into a field of the page, in place of what is there; in a select element, chooses the option of that name.',
    schema: z.strictObject({ index, text: z.string().describe('The text.') }),
  },
  scroll: {
    kind: 'BrowserScroll',
    description: 'Scrolls the page by most of what is visible.',
    schema: z.strictObject({ direction: z.enum(['up', 'down']).default('down') }),
  },
  go_back: {
    kind: 'BrowserGoBack',
    description: 'Goes back to the page before, in this tab.',
    schema: z.strictObject({}),
  },
  list_tabs: { kind: 'BrowserListTabs', description: 'Lists the open tabs.', schema: z.strictObject({}) },
  switch_tab: {
    kind: 'BrowserSwitchTab',
    description: 'Goes to another tab.',
    schema: z.strictObject({ tab_id: tab }),
  },
  close_tab: { kind: 'BrowserCloseTab', description: 'Closes a tab.', schema: z.strictObject({ tab_id: tab }) },
  get_storage: {
    kind: 'BrowserGetStorage',
    description: 'Shows the cookies and the local storage of the browser, for instance to keep a login.',
    schema: z.strictObject({}),
  },
  set_storage: {
    kind: 'BrowserSetStorage',
    description: 'Puts cookies and local storage into the browser, as browser_get_storage shows them.',
    schema: z.strictObject({
      storage_state: z.record(z.string(), z.unknown()).describe('An object with cookies and origins.'),
    }),
  },
};

const storage = z.object({
  cookies: z.array(z.looseObject({ name: z.string(), value: z.string() })).default([]),
  origins: z
    .array(
      z.object({
        origin: z.string(),
        localStorage: z.array(z.object({ name: z.string(), value: z.string() })).default([]),
      }),
    )
    .default([]),
});

/** Longest time of one call, whatever the page does. */
const CALL_MS = 60_000;
const DEFAULT: act.Limits = { navigationMs: 30_000, actionMs: 10_000 };
/** Calls that came to no end, one after the other, before the browser is started anew. */
const MAX_HANGS = 2;
const QUALITY = 60;

interface State {
  session: Session;
  limits: act.Limits;
  sight: act.Sight | undefined;
  hangs: number;
  turn: Promise<unknown>;
}

/** No tools where there is no Chromium (`unusable` in the registry says so). */
export function createBrowserTools(context: ToolContext): Tool[] {
  const executable = findChromium(context.environment());
  if (executable === undefined) return [];
  const seconds = Number(context.params['action_timeout_seconds']);
  const navigationMs =
    Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, CALL_MS) : DEFAULT.navigationMs;
  const session = createSession({
    executable,
    workingDir: context.workingDir,
    environment: () => context.environment(),
  });
  const state: State = {
    session,
    limits: { ...DEFAULT, navigationMs },
    sight: undefined,
    hangs: 0,
    turn: Promise.resolve(),
  };
  return Object.entries(ENTRIES).map(([name, entry]) => browserTool(name, entry, state));
}

function browserTool(name: string, { kind, description, schema }: Entry, state: State): Tool {
  return {
    name: `browser_${name}`,
    kind: `${kind}Tool`,
    actionKind: `${kind}Action`,
    observationKind: 'BrowserObservation',
    description,
    annotations: {
      title: `browser_${name}`,
      readOnlyHint: LOOKS.includes(name),
      destructiveHint: false,
      idempotentHint: LOOKS.includes(name),
      openWorldHint: true,
    },
    schema,
    run(action, options) {
      // One thing at a time: calls of one answer may come together.
      const done = state.turn.then(() => run(name, action, state, options));
      state.turn = done.catch(() => undefined);
      return done;
    },
    modelContent: (observation) => {
      const shot = observation['screenshot_data'];
      return typeof shot === 'string'
        ? [...observation.content, image(`data:image/jpeg;base64,${shot}`)]
        : observation.content;
    },
    close: () => state.session.close(),
  };
}

async function run(name: string, action: Action, state: State, { signal }: RunOptions): Promise<Observation> {
  try {
    const seen = await bounded(() => perform(name, action, state), signal);
    state.hangs = 0;
    return observation([seen.text, ...state.session.news()], { screenshot_data: seen.screenshot ?? null });
  } catch (error) {
    if (signal.aborted) {
      await state.session.reset();
      throw error;
    }
    const said = `Browser operation failed: ${firstLines((error as Error).message)}`;
    return observation([said + (await afterHang(error, state)), ...state.session.news()], { is_error: true });
  }
}

const observation = (said: string[], more: Record<string, unknown>): Observation => ({
  content: said.map(text),
  is_error: false,
  screenshot_data: null,
  full_output_save_dir: null,
  ...more,
  kind: 'BrowserObservation',
});

class HangError extends Error {}

async function bounded<T>(start: () => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const work = start();
  let stop = (): void => undefined;
  const end = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(new HangError('the page does not answer')), CALL_MS);
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    stop();
    work.catch(() => undefined);
  }
}

async function afterHang(error: unknown, state: State): Promise<string> {
  if (!(error instanceof HangError) || ++state.hangs < MAX_HANGS) return '';
  state.hangs = 0;
  await state.session.reset();
  return '. The browser was started anew; open the page again.';
}

/** Playwright adds a call log that says nothing to a model. */
const firstLines = (message: string): string => message.split('\nCall log:')[0]?.slice(0, 1000).trim() ?? '';

async function perform(name: string, action: Action, state: State): Promise<act.Seen> {
  const { session, limits } = state;
  const number = Number(action['index']);
  switch (name) {
    case 'navigate':
      return {
        text: await act.navigate(session, { url: String(action['url']), newTab: action['new_tab'] === true }, limits),
      };
    case 'go_back':
      return { text: await act.goBack(session, limits) };
    case 'get_state':
      return getState(state, action['include_screenshot'] === true);
    case 'get_content': {
      const from = Number(action['start_from_char'] ?? 0);
      return { text: await act.content(session, { links: action['extract_links'] === true, from }) };
    }
    case 'click': {
      const element = await act.elementAt(session, state.sight, number);
      const page = await session.page();
      return { text: await act.click(element, { page, newTab: action['new_tab'] === true, index: number }, limits) };
    }
    case 'type': {
      const element = await act.elementAt(session, state.sight, number);
      return { text: await act.type(element, { index: number, text: String(action['text']) }, limits) };
    }
    case 'scroll':
      return { text: await act.scroll(session, action['direction'] === 'up' ? 'up' : 'down') };
    case 'list_tabs':
      await session.page();
      return { text: JSON.stringify(await act.tabs(session), null, 2) };
    case 'switch_tab': {
      const page = act.tabOf(session, String(action['tab_id']));
      await session.focus(page);
      return { text: `Switched to tab ${session.idOf(page)}: ${page.url()}` };
    }
    case 'close_tab': {
      const page = act.tabOf(session, String(action['tab_id']));
      await page.close();
      return { text: `Closed tab ${session.idOf(page)}. Current tab: ${(await session.page()).url()}` };
    }
    default:
      return storageOf(name, action, session);
  }
}

async function getState(state: State, screenshot: boolean): Promise<act.Seen> {
  const { sight, state: seen } = await act.look(state.session);
  state.sight = sight;
  const said = JSON.stringify(seen, null, 2);
  if (!screenshot) return { text: said };
  const shot = await sight.page.screenshot({
    type: 'jpeg',
    quality: QUALITY,
    scale: 'css',
    timeout: state.limits.actionMs,
  });
  return { text: said, screenshot: shot.toString('base64') };
}

async function storageOf(name: string, action: Action, session: Session): Promise<act.Seen> {
  const browser = (await session.page()).context();
  if (name === 'get_storage') return { text: JSON.stringify(await browser.storageState(), null, 2) };
  const given = storage.parse(action['storage_state']);
  await browser.addCookies(given.cookies as Parameters<typeof browser.addCookies>[0]);
  for (const { origin, localStorage } of given.origins) {
    const script = `location.origin === ${JSON.stringify(origin)} && ${JSON.stringify(localStorage)}.forEach(({ name, value }) => localStorage.getItem(name) ?? localStorage.setItem(name, value))`;
    await browser.addInitScript({ content: script });
  }
  return { text: 'Storage set successfully' };
}
