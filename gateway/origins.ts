/** Which web origins may do what: CORS answers, and the check that keeps foreign pages from using a browser's cookie. Pure. */
import { parseHost } from '../contracts/urls.js';
import { fieldOf, type RequestHead } from './http/request.js';
import { isToken } from './http/message.js';

export interface Origins {
  /** Of the UI, like `https://app.example.org`. */
  ui: ReadonlySet<string>;
  protocol: string;
  domain: string;
}

/** The UI, the address itself, or another port of the same pod (which holds the same rights inside). */
export function isTrusted(origin: string, head: RequestHead, slot: string, origins: Origins): boolean {
  if (origins.ui.has(origin) || origin === `${origins.protocol}://${head.host}`) return true;
  const start = `${origins.protocol}://`;
  if (!origin.startsWith(start)) return false;
  const host = origin.slice(start.length);
  return (
    slot !== '' && portOfHost(host) === portOfHost(origins.domain) && parseHost(host, origins.domain)?.slot === slot
  );
}

const portOfHost = (host: string) => /:([0-9]+)$/.exec(host)?.[1] ?? '';

/**
 * Whether a request that shows only a cookie was made by a page that may use it. Pages elsewhere can make a browser send
 * requests with cookies; they may make it navigate here (GET), nothing more.
 */
export function mayUseCookie(head: RequestHead, slot: string, origins: Origins): boolean {
  if (head.origin !== undefined) return isTrusted(head.origin, head, slot, origins);
  if (head.websocket) return false;
  if (head.method !== 'GET' && head.method !== 'HEAD') return head.fetchSite === 'same-origin';
  if (head.fetchSite === undefined || head.fetchSite === 'same-origin' || head.fetchSite === 'none') return true;
  return head.fetchMode === 'navigate';
}

export function isPreflight(head: RequestHead): boolean {
  return (
    head.method === 'OPTIONS' &&
    head.origin !== undefined &&
    fieldOf(head, 'access-control-request-method') !== undefined
  );
}

/** Header lines that let a trusted origin read the answer. */
export function corsLines(origin: string): string {
  return `Access-Control-Allow-Origin: ${origin}\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n`;
}

/** Answer to a preflight of a trusted origin: what it asks for is allowed, since the request itself is still authorised. */
export function preflightLines(head: RequestHead): string {
  const asked = (fieldOf(head, 'access-control-request-headers') ?? '').split(',').map((name) => name.trim());
  const names = asked.filter(isToken).join(', ');
  const method = fieldOf(head, 'access-control-request-method') ?? '';
  return [
    corsLines(head.origin ?? ''),
    isToken(method) ? `Access-Control-Allow-Methods: ${method}\r\n` : '',
    names === '' ? '' : `Access-Control-Allow-Headers: ${names}\r\n`,
    fieldOf(head, 'access-control-request-private-network') === 'true'
      ? 'Access-Control-Allow-Private-Network: true\r\n'
      : '',
    'Access-Control-Max-Age: 600\r\n',
  ].join('');
}
