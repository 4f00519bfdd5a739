/**
 * Where a URL of an app in path form takes the prefix that the browser needs: the gateway cuts the prefix off requests, so
 * root-absolute URLs of the app (`/x`, `https://host/x`) mean places below it. Pure; a text changes by insertions only.
 */
export interface Site {
  /** `/slot/port`. */
  prefix: string;
  /** `https://host` of the request. */
  base: string;
}

/** `text[at, end)` gives way to `text`; at = end for an insertion. */
export interface Edit {
  at: number;
  end: number;
  text: string;
}

/** Index in `url` at which the prefix belongs; undefined for relative URLs, other hosts and such as have it (X-Forwarded-Prefix). */
export function prefixPlace(url: string, { prefix, base }: Site): number | undefined {
  const start = url.startsWith(`${base}/`) ? base.length : 0;
  // Browsers read a backslash as a slash: `//` and `/\` begin a host.
  if (url[start] !== '/' || (start === 0 && (url[1] === '/' || url[1] === '\\'))) return undefined;
  const isBelow = url.startsWith(prefix, start) && /^(?:[/?#"')]|$)/.test(url.slice(start + prefix.length));
  return isBelow ? undefined : start;
}

export function belowPrefix(url: string, site: Site): string {
  const place = prefixPlace(url, site);
  return place === undefined ? url : `${url.slice(0, place)}${site.prefix}${url.slice(place)}`;
}

const insertion = (at: number, text: string): Edit => ({ at, end: at, text });

/** For a URL that begins at `at` of the text that `value` stands at `from` of. */
function urlEdits(value: string, at: number, from: number, site: Site): Edit[] {
  const place = prefixPlace(value.slice(at), site);
  return place === undefined ? [] : [insertion(from + at + place, site.prefix)];
}

/** The value of an attribute that is one URL. `from` is where the value stands. */
export function editUrl(value: string, from: number, site: Site): Edit[] {
  return urlEdits(value, value.length - value.trimStart().length, from, site);
}

/** A descriptor ends at a comma outside parentheses. */
const DESCRIPTORS = /(?:[^,(]|\([^)]*(?:\)|$))*/y;
const CANDIDATE = /[\s,]*([^\s,]\S*)/y;

/** The grammar of `srcset` (HTML, 4.8.4.2.1): a URL may hold commas, but not end with one. */
export function editSourceSet(value: string, from: number, site: Site): Edit[] {
  const edits: Edit[] = [];
  for (CANDIDATE.lastIndex = 0; ; CANDIDATE.lastIndex = DESCRIPTORS.lastIndex) {
    const url = CANDIDATE.exec(value)?.[1];
    if (url === undefined) return edits;
    const end = CANDIDATE.lastIndex;
    edits.push(...urlEdits(value, end - url.length, from, site));
    DESCRIPTORS.lastIndex = end;
    if (!url.endsWith(',')) DESCRIPTORS.exec(value);
  }
}

const REFRESH = /^[\s0-9.]*[\s;,]+(?:url\s*=\s*)?["']?/i;

/** `5; url=/x`, as a header and in `meta`. */
export function editRefresh(value: string, from: number, site: Site): Edit[] {
  const start = REFRESH.exec(value)?.[0].length;
  return start === undefined ? [] : urlEdits(value, start, from, site);
}

/** `</x>; rel=preload, </y>; rel=next`. */
export function editLinks(value: string, from: number, site: Site): Edit[] {
  return Array.from(value.matchAll(/<\s*/g)).flatMap((match) =>
    urlEdits(value, match.index + match[0].length, from, site),
  );
}

/** `text` begins at `from`; edits come in order and do not overlap. */
export function apply(text: string, edits: readonly Edit[], from = 0): string {
  let out = '';
  let done = 0;
  for (const { at, end, text: piece } of edits) {
    out += text.slice(done, at - from) + piece;
    done = end - from;
  }
  return out + text.slice(done);
}
