/** The gateway's own cookie, and what becomes of the cookies of pods. Pure. */
import { isToken } from './http/message.js';

/** How the gateway's cookie is spelled on one address. */
export interface CookieForm {
  name: string;
  attributes: string;
}

const NAME = 'sandlot-pass';
/** `__Host-` keeps neighbours of the domain from setting it; browsers take it over https only. */
const HOST_NAME = `__Host-${NAME}`;

/**
 * In host form a cookie of that very host. Elsewhere many sandboxes share a host, so each has a cookie of its own name.
 * Over http only `localhost` names are trustworthy enough for browsers to keep a Secure cookie, which embedding
 * (SameSite=None, Partitioned) requires; other http hosts get a Lax one, good for a tab of its own.
 */
export function cookieForm(address: { protocol: string; host: string; slot: string; isShared: boolean }): CookieForm {
  const secure = address.protocol === 'https' || /(?:^|\.)localhost(?::[0-9]+)?$/.test(address.host);
  const rights = secure ? 'Secure; SameSite=None; Partitioned' : 'SameSite=Lax';
  const base = address.protocol === 'https' ? HOST_NAME : NAME;
  return { name: address.isShared ? `${base}-${address.slot}` : base, attributes: `Path=/; HttpOnly; ${rights}` };
}

export function setCookie(form: CookieForm, value: string, maxAgeSeconds: number): string {
  return `${form.name}=${value}; Max-Age=${maxAgeSeconds}; ${form.attributes}`;
}

const isOurs = (name: string) => /^(?:__Host-)?sandlot-pass(?:-|$)/i.test(name);

/** Values of one cookie; a name can come twice when a neighbour set one for the whole domain. */
export function cookieValues(cookie: string | undefined, name: string): string[] {
  if (cookie === undefined || !cookie.includes(name)) return [];
  return cookie
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part.startsWith(`${name}=`))
    .map((part) => part.slice(name.length + 1));
}

/** Cookie of one share link: beside the owner's, and beside those of other links. */
export const guestForm = (form: CookieForm, share: string): CookieForm => ({
  ...form,
  name: `${form.name}-guest-${share}`,
});

/** Values of the cookies of all share links of this address. */
export function guestValues(cookie: string | undefined, name: string): string[] {
  const start = `${name}-guest-`;
  if (cookie === undefined || !cookie.includes(start)) return [];
  return cookie
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part.startsWith(start) && part.includes('='))
    .map((part) => part.slice(part.indexOf('=') + 1));
}

/** As isOurs, of a name with its value. */
const OUR_PAIR = /^(?:__Host-)?sandlot-pass(?:-|\s*(?:=|$))/i;

/** The Cookie field for the pod: without the gateway's own; undefined when nothing is left. */
export function cookiesForPod(cookie: string): string | undefined {
  if (!/sandlot-pass/i.test(cookie)) return cookie;
  const kept = cookie
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '' && !OUR_PAIR.test(part));
  return kept.length === 0 ? undefined : kept.join('; ');
}

/**
 * A Set-Cookie of a pod as the browser may have it: for this host only (no Domain), below the prefix, and never under the
 * gateway's name; undefined to drop it.
 */
export function cookieFromPod(value: string, prefix: string): string | undefined {
  const [pair = '', ...attributes] = value.split(';');
  const equals = pair.indexOf('=');
  const name = (equals < 0 ? '' : pair.slice(0, equals)).trim();
  if (!isToken(name) || isOurs(name)) return undefined;
  const kept = attributes.filter((attribute) => !/^\s*domain\s*(?:=|$)/i.test(attribute));
  if (prefix === '') return [pair, ...kept].join(';');
  // A __Host- cookie must have Path=/, which here would mean every sandbox of the host.
  if (/^__host-/i.test(name)) return undefined;
  return [
    pair,
    ...kept.filter((attribute) => !/^\s*path\s*(?:=|$)/i.test(attribute)),
    ` Path=${pathBelow(kept, prefix)}`,
  ].join(';');
}

function pathBelow(attributes: string[], prefix: string): string {
  // Trimmed before it is matched: blanks on both sides of a lazy match would be tried in every combination.
  const path = attributes
    .map((attribute) => /^path\s*=\s*(\/.*)$/i.exec(attribute.trim())?.[1])
    .findLast((found) => found !== undefined);
  return path === undefined || path === '/' ? `${prefix}/` : `${prefix}${path}`;
}
