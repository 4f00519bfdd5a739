/** Style sheets and styles in path form: `url(/x)` and `@import "/x"`. What is not a URL there but looks like one stays harmless. */
import { apply, prefixPlace, type Edit, type Site } from './urls.js';

const URL_START = /(?:\burl\([\t\n\f\r ]{0,16}["']?|@import[\t\n\f\r ]{0,16}["'])(?=[/h])/gi;
/** `@import`, spaces, a quote. */
const LONGEST_START = 24;

/** How far behind a URL's beginning one must see to know whether and where the prefix belongs. */
export const lookAhead = ({ prefix, base }: Site): number => LONGEST_START + base.length + prefix.length + 2;

/** Edits for URLs that begin in text[start, end); `from` is where the text stands. */
export function editCss(text: string, start: number, end: number, from: number, site: Site): Edit[] {
  const edits: Edit[] = [];
  const room = lookAhead(site);
  URL_START.lastIndex = start;
  for (let match = URL_START.exec(text); match !== null && match.index < end; match = URL_START.exec(text)) {
    const at = match.index + match[0].length;
    const place = prefixPlace(text.slice(at, at + room), site);
    if (place !== undefined) edits.push({ at: from + at + place, end: from + at + place, text: site.prefix });
  }
  return edits;
}

export interface TextRewriter {
  push(text: string): string;
  end(): string;
}

/** Holds back only what a URL that has begun may need. */
export function createCssRewriter(site: Site): TextRewriter {
  let held = '';
  const take = (text: string, end: number) => {
    const edits = editCss(text, 0, end, 0, site);
    // An edit may lie a little behind `end`; everything up to it goes out.
    const cut = Math.max(end, edits.at(-1)?.at ?? 0);
    held = text.slice(cut);
    return apply(text.slice(0, cut), edits);
  };
  return {
    push(text) {
      const all = held + text;
      return take(all, Math.max(0, all.length - lookAhead(site)));
    },
    end: () => take(held, held.length),
  };
}
