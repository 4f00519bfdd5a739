/**
 * Pages in path form: their root-absolute URLs mean the app's root, which the browser must see below the prefix. Attributes of
 * tags are rewritten as the page streams by; what scripts put together themselves cannot be (that is what host form is for).
 */
import type { ResponseHead } from './http/response.js';

/** Turns the bytes of a page into chunks of a chunked body, or plain bytes for HTTP/1.0. */
export interface PageRewriter {
  push(bytes: Buffer): string;
  /** What was held back, and the end of the body. */
  end(): string;
}

/** A tag that is still open when this much has come is passed on as it is. */
const MAX_HELD = 64 * 1024;
const TAG = /<[a-z][^<>]*>/gi;
const ROOT_URL = /(\s(?:href|src|action|formaction|poster|data)\s*=\s*["']?)\/(?![/\\])/gi;

export function rewriteTags(html: string, prefix: string): string {
  return html.replace(TAG, (tag) => tag.replace(ROOT_URL, (_match, start: string) => `${start}${prefix}/`));
}

export function createPageRewriter(prefix: string, chunked: boolean): PageRewriter {
  let held = '';
  const send = (text: string) => {
    if (!chunked || text === '') return text;
    return `${text.length.toString(16)}\r\n${text}\r\n`;
  };
  return {
    push(bytes) {
      // Bytes as characters: every encoding that keeps ASCII survives, and lengths are lengths.
      const text = held + bytes.toString('latin1');
      const open = text.lastIndexOf('<');
      const isCut = open >= 0 && !text.includes('>', open) && text.length - open < MAX_HELD;
      held = isCut ? text.slice(open) : '';
      return send(rewriteTags(isCut ? text.slice(0, open) : text, prefix));
    },
    end: () => send(rewriteTags(held, prefix)) + (chunked ? '0\r\n\r\n' : ''),
  };
}

/** Pages only, and only such as can be read: pods are asked not to compress them, but may. */
export function isRewritable(head: ResponseHead): boolean {
  let isPage = false;
  for (const { name, value } of head.fields) {
    if (name === 'content-type') isPage = /^text\/html\b/i.test(value);
    if (name === 'content-encoding' && value.toLowerCase() !== 'identity') return false;
  }
  return isPage && head.status !== 206;
}

/** The head of a page whose length is not known beforehand, and whose digests are those of another text. */
export function headOfRewritten(head: ResponseHead, chunked: boolean): ResponseHead {
  const stale = /^(?:etag|content-md5|digest|content-digest|repr-digest|accept-ranges)$/;
  return { ...head, length: undefined, chunked, fields: head.fields.filter(({ name }) => !stale.test(name)) };
}
