/** What listening apps serve at `/`: asked for seldom and briefly. What they answer is hostile, so it is bounded. */

const TIMEOUT_MS = 500;
/** A page's title may change; one that is none yet may become one at any moment. */
const KEEP_MS = 30_000;
const KEEP_NOTHING_MS = 2_000;
const MAX_BYTES = 64 << 10;
const MAX_KEPT = 200;

export interface FrontPage {
  /** Null when it is no web page, or has no title. */
  title: string | null;
  /** A list of files, as static servers make where there is no page yet: no app. */
  isListing: boolean;
}

export interface Titles {
  /** The page at `/`. Never throws. */
  of(app: { address: string; port: number; pid: number | null }): Promise<FrontPage>;
}

const NOTHING: FrontPage = { title: null, isListing: false };

export function createTitles(now: () => number, request: typeof fetch = fetch): Titles {
  const kept = new Map<string, { until: number; page: Promise<FrontPage> }>();
  return {
    of(app) {
      const key = `${app.pid ?? ''} ${app.address} ${app.port}`;
      const known = kept.get(key);
      if (known !== undefined && now() < known.until) return known.page;
      if (kept.size >= MAX_KEPT) kept.clear();
      const page = ask(app, request).catch(() => NOTHING);
      const entry = { until: now() + KEEP_MS, page };
      kept.set(key, entry);
      void page.then(({ title, isListing }) => {
        if (title === null || isListing) entry.until = now() + KEEP_NOTHING_MS;
      });
      return page;
    },
  };
}

async function ask(app: { address: string; port: number }, request: typeof fetch): Promise<FrontPage> {
  const host = app.address === '0.0.0.0' || app.address === '::' ? '127.0.0.1' : app.address;
  const response = await request(`http://${host.includes(':') ? `[${host}]` : host}:${app.port}/`, {
    redirect: 'manual',
    headers: { accept: 'text/html' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const html = response.headers.get('content-type')?.includes('html') === true;
  if (!html || response.body === null) {
    await response.body?.cancel();
    return NOTHING;
  }
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > MAX_BYTES || /<\/title>/i.test(text)) break;
  }
  return frontPageOf(text);
}

const LISTING = /^(?:(?:Index of|Directory listing for|listing directory) \/|Files within )/i;

/** Pure. What a browser would call the page, and whether it is only a list of files. */
export function frontPageOf(html: string): FrontPage {
  const title = titleOf(html);
  return { title, isListing: title !== null && LISTING.test(title) };
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", apos: "'" };

/** The title of an HTML page; null when it has none. */
export function titleOf(html: string): string | null {
  const text = /<title(?:\s[^>]*)?>([^<]*)<\/title>/i.exec(html.slice(0, MAX_BYTES))?.[1];
  const title = text
    ?.replace(/&(amp|lt|gt|quot|#39|apos);/g, (_entity, name: string) => ENTITIES[name] ?? '')
    // Characters that control text or turn its direction have no place in a list of apps.
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
    .slice(0, 200);
  return title === undefined || title === '' ? null : title;
}
