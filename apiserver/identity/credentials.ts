/** API keys as they travel, and what of them is stored. */
import { createHash, randomInt } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** The form of OpenHands' keys, which its clients know. */
export const KEY_PREFIX = 'sk-oh-';
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const LENGTH = 32;
const FORM = new RegExp(`^${KEY_PREFIX}[A-Za-z0-9]{${LENGTH}}$`);

/** A new key: 190 random bits. */
export const newKey = (): string =>
  KEY_PREFIX + Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('');

// RFC 8628, section 6.1: no vowels, so that no word comes out.
const CODE_LETTERS = 'BCDFGHJKLMNPQRSTVWXZ';

/** What a person reads in one window and compares in another: `WDJB-MJHT`. */
export const newUserCode = (): string => {
  const letters = Array.from({ length: 8 }, () => CODE_LETTERS[randomInt(CODE_LETTERS.length)]).join('');
  return `${letters.slice(0, 4)}-${letters.slice(4)}`;
};

/** What the database knows of a key. Keys are random and long, so a plain digest cannot be guessed back. */
export const digestOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** How a person tells keys apart in a list. */
export const hintOf = (key: string): string => `${KEY_PREFIX}…${key.slice(-4)}`;

/**
 * The API key of a request, in the order in which OpenHands looks: Authorization, X-API-Key, X-Session-API-Key,
 * X-Access-Token. The last two also carry other things, and so may the first in front of a proxy: what has not the form of a
 * key is none. `malformed`: a header that is for keys alone holds something else.
 */
export function keyOfHeaders(headers: IncomingHttpHeaders): { key?: string; malformed: boolean } {
  const bearer = /^bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  const alone = [bearer, one(headers['x-api-key'])];
  const key = [...alone, one(headers['x-session-api-key']), one(headers['x-access-token'])].find(
    (value) => value !== undefined && FORM.test(value),
  );
  return {
    ...(key === undefined ? {} : { key }),
    malformed: alone.some((value) => value !== undefined && value !== ''),
  };
}

const one = (value: string | string[] | undefined) => (typeof value === 'string' ? value : undefined);
