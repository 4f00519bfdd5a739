/**
 * The target of a request as a URL of a made-up host; undefined for what is no path of ours: `http://[`, `*`, and `//host`,
 * which browsers take for another host. Targets come from anyone; read against a base, some of these throw.
 */
export function targetUrl(target: string | undefined): URL | undefined {
  const path = target ?? '/';
  const text = `http://local${path}`;
  if (!path.startsWith('/') || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return url.pathname.startsWith('//') ? undefined : url;
}
