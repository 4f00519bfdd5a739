/** Answers in path form that change on their way: pages and style sheets, and how their heads change with them. */
import type { ResponseHead } from '../http/response.js';
import { createCssRewriter, type TextRewriter } from './css.js';
import { createHtmlRewriter } from './html.js';
import type { Site } from './urls.js';

/** Turns the bytes of a page into chunks of a chunked body, or plain bytes for HTTP/1.0. */
export interface PageRewriter {
  push(bytes: Buffer): string;
  /** What was held back, and the end of the body. */
  end(): string;
}

const REWRITERS = new Map<string, (site: Site) => TextRewriter>([
  ['text/html', createHtmlRewriter],
  ['text/css', createCssRewriter],
]);

/** Undefined for what stays as it is: other kinds, parts, and what cannot be read: pods are asked not to compress, but may. */
export function createPageRewriter(head: ResponseHead, site: Site, chunked: boolean): PageRewriter | undefined {
  const create = head.status === 206 || isEncoded(head) ? undefined : REWRITERS.get(kindOf(head));
  return create && wrap(create(site), chunked);
}

/** Bytes as characters: every encoding that keeps ASCII survives, and lengths are lengths. */
function wrap(rewriter: TextRewriter, chunked: boolean): PageRewriter {
  const send = (text: string) => (!chunked || text === '' ? text : `${text.length.toString(16)}\r\n${text}\r\n`);
  return {
    push: (bytes) => send(rewriter.push(bytes.toString('latin1'))),
    end: () => send(rewriter.end()) + (chunked ? '0\r\n\r\n' : ''),
  };
}

const fieldOf = (head: ResponseHead, wanted: string) => head.fields.find(({ name }) => name === wanted)?.value ?? '';
const isEncoded = (head: ResponseHead) => !/^(?:identity)?$/i.test(fieldOf(head, 'content-encoding'));
const kindOf = (head: ResponseHead) => (fieldOf(head, 'content-type').split(';', 1)[0] ?? '').trim().toLowerCase();

const STALE = /^(?:etag|content-md5|digest|content-digest|repr-digest|accept-ranges)$/;

/** The head of a page whose length is not known beforehand, and whose digests are those of another text. */
export function headOfRewritten(head: ResponseHead, chunked: boolean): ResponseHead {
  return { ...head, length: undefined, chunked, fields: head.fields.filter(({ name }) => !STALE.test(name)) };
}
