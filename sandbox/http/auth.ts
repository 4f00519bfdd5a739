/** Who may call: session keys in a header, a key of its own for init, a cookie for workspace files; and the dormant state. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Context } from '../context.js';
import { HttpError } from './errors.js';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Compares without telling by its duration where two secrets differ. */
export const sameSecret = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));

export function keyIsGood(keys: readonly string[], given: string | undefined): boolean {
  if (keys.length === 0) return true;
  if (given === undefined) return false;
  return keys.map((key) => sameSecret(key, given)).includes(true);
}

export const headerOf = (headers: IncomingHttpHeaders, name: string): string | undefined => {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
};

/** Everything but probes and init waits for `POST /api/init`. */
export function requireReady(context: Context): void {
  if (context.init.state !== 'ready')
    throw new HttpError(503, `server is in deferred-init state '${context.init.state}'; call POST /api/init first`);
}

export function requireKey(context: Context, headers: IncomingHttpHeaders): void {
  if (!keyIsGood(context.config.sessionApiKeys, headerOf(headers, 'x-session-api-key'))) throw new HttpError(401);
}

/** The OpenAI-compatible routes take the session key as a bearer token too. */
export function requireBearer(context: Context, headers: IncomingHttpHeaders): void {
  const token = /^Bearer (.*)$/i.exec(headerOf(headers, 'authorization') ?? '')?.[1];
  if (!keyIsGood(context.config.sessionApiKeys, token ?? headerOf(headers, 'x-session-api-key')))
    throw new HttpError(401);
}

export function requireInitKey(context: Context, headers: IncomingHttpHeaders): void {
  if (context.initKey !== null && !keyIsGood([context.initKey], headerOf(headers, 'x-init-api-key')))
    throw new HttpError(401);
}

export const WORKSPACE_COOKIE = 'oh_workspace_session_key';

/** Workspace files open with the header or with the cookie that `POST /api/auth/workspace-session` set. */
export function requireKeyOrCookie(context: Context, headers: IncomingHttpHeaders): void {
  const keys = context.config.sessionApiKeys;
  const cookie = (headers.cookie ?? '')
    .split(';')
    .map((part) => part.trim())
    .find((part) => part.startsWith(`${WORKSPACE_COOKIE}=`))
    ?.slice(WORKSPACE_COOKIE.length + 1);
  if (keyIsGood(keys, headerOf(headers, 'x-session-api-key'))) return;
  if (cookie === undefined || !keyIsGood(keys, decoded(cookie))) throw new HttpError(401);
}

/** What a cookie says; undefined for a malformed one. */
function decoded(cookie: string): string | undefined {
  try {
    return decodeURIComponent(cookie);
  } catch {
    return undefined;
  }
}
