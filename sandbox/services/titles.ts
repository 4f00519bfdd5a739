/** Titles of the pages that listening apps serve, asked for seldom and briefly. */

const TIMEOUT_MS = 500;
const KEEP_MS = 30_000;
const MAX_BYTES = 64 << 10;
const MAX_KEPT = 200;

export interface Titles {
  /** The title of the page at `/`, or null. Never throws. */
  of(app: { address: string; port: number; pid: number | null }): Promise<string | null>;
}

export function createTitles(now: () => number, request: typeof fetch = fetch): Titles {
  const kept = new Map<string, { at: number; title: Promise<string | null> }>();
  return {
    of(app) {
      const key = `${app.pid ?? ''} ${app.address} ${app.port}`;
      const known = kept.get(key);
      if (known !== undefined && now() - known.at < KEEP_MS) return known.title;
      if (kept.size >= MAX_KEPT) kept.clear();
      const title = ask(app, request).catch(() => null);
      kept.set(key, { at: now(), title });
      return title;
    },
  };
}

async function ask(app: { address: string; port: number }, request: typeof fetch): Promise<string | null> {
  const host = app.address === '0.0.0.0' || app.address === '::' ? '127.0.0.1' : app.address;
  const response = await request(`http://${host.includes(':') ? `[${host}]` : host}:${app.port}/`, {
    redirect: 'manual',
    headers: { accept: 'text/html' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const html = response.headers.get('content-type')?.includes('html') === true;
  if (!html || response.body === null) {
    await response.body?.cancel();
    return null;
  }
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > MAX_BYTES || /<\/title>/i.test(text)) break;
  }
  return titleOf(text);
}

/** The title of an HTML page; null when it has none. */
export function titleOf(html: string): string | null {
  const title = /<title[^>]*>([^<]*)<\/title>/i.exec(html)?.[1]?.replace(/\s+/g, ' ').trim().slice(0, 200);
  return title === undefined || title === '' ? null : title;
}
