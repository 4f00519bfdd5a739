/**
 * What request and response heads have in common. Strict on purpose (RFC 9112 without its leniencies): a head that two
 * parsers could read differently is refused, because the pod behind us is such a second parser.
 */

/** A message that breaks the protocol; `status` is what its sender should be told (requests) or 502 (responses). */
export class BadMessage extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = 'BadMessage';
  }
}

export interface Field {
  /** Lower case. */
  name: string;
  value: string;
  /** `Name: value` as it came, so that the spelling survives the way through. */
  line: string;
}

export const MAX_FIELDS = 128;
/** Longest head of a request. Browsers behind single sign-on send cookies of some 8 KB; twice that fits well. */
export const MAX_REQUEST_HEAD = 32 * 1024;
export const MAX_RESPONSE_HEAD = 64 * 1024;

/** Bare CR, bare LF, folded lines and control characters: all that lines can be forged with. */
const FORGERY = /[^\r]\n|\r[^\n]|\n[\t ]|[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Text of a head that ends with CRLF of its last line, or BadMessage. */
export function headText(bytes: Buffer, start: number, end: number, status: number): string {
  const text = bytes.toString('latin1', start, end);
  if (FORGERY.test(text)) throw new BadMessage(status, 'forbidden character or line break in the head');
  return text;
}

/** Validated, lower-cased field names. Heads repeat a few dozen names; the bound keeps hostile ones from filling memory. */
const names = new Map<string, string>();
const MAX_NAMES = 1024;

function fieldName(raw: string, status: number): string {
  const known = names.get(raw);
  if (known !== undefined) return known;
  if (raw.length > 256 || !TOKEN.test(raw)) throw new BadMessage(status, 'field name is not a token');
  const name = ownCopy(raw.toLowerCase());
  if (names.size < MAX_NAMES) names.set(ownCopy(raw), name);
  return name;
}

/** For what outlives its message: a slice of a string would keep the whole string in memory. */
export const ownCopy = (text: string): string => Buffer.from(text, 'latin1').toString('latin1');

/** The fields from `start` on; `text` has passed headText. */
export function parseFields(text: string, start: number, status: number): Field[] {
  const fields: Field[] = [];
  let at = start;
  while (at < text.length) {
    const end = text.indexOf('\r\n', at);
    const colon = text.indexOf(':', at);
    if (colon < 0 || colon > end) throw new BadMessage(status, 'field without a colon');
    const name = fieldName(text.slice(at, colon), status);
    fields.push({ name, value: trimmed(text, colon + 1, end), line: text.slice(at, end) });
    if (fields.length > MAX_FIELDS) throw new BadMessage(status === 400 ? 431 : status, 'too many fields');
    at = end + 2;
  }
  return fields;
}

function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}
const isBlank = (code: number) => code === 32 || code === 9;

/** Content-Length as a number; anything but plain digits is refused (`+5`, `5, 5`, `0x5`). */
export function contentLength(value: string, status: number): number {
  if (!/^[0-9]{1,15}$/.test(value)) throw new BadMessage(status, 'Content-Length is not a number');
  return Number(value);
}

/** Members of a comma-separated list, lower case. */
export function tokens(value: string): string[] {
  return value
    .toLowerCase()
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '');
}

export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** Fields of one connection, not of the message (RFC 9110, 7.6.1), and what proxies use among themselves. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-authentication-info',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

export function isHopByHop(name: string, nominated: readonly string[]): boolean {
  return HOP_BY_HOP.has(name) || (nominated.length > 0 && nominated.includes(name));
}
