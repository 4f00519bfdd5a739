/**
 * Gateway passes: how a browser without headers is let into a sandbox. The API server signs an entry pass into a URL
 * (one minute), or a share pass into a link that others may use; the gateway exchanges either for a cookie pass on that host.
 * All are `payload.signature`, base64url.
 */
import { createHash, createHmac } from 'node:crypto';
import { z } from 'zod';
import { sameSecret } from './keys.js';

const passSchema = z.object({
  /** What it may be used for: the URL that is exchanged, or the cookie that it becomes. */
  use: z.enum(['entry', 'cookie']),
  slot: z.string(),
  /** Whom it was given to; must still own the sandbox when it is used. */
  owner: z.string(),
  /** Mark of the login that it was given in; ends with it (`spec.endedSessions`). */
  session: z.string().max(64).optional(),
  /** When that was, or the key or login became a pass; ms since 1970. */
  iat: z.number().int().optional(),
  /** Key epoch of the sandbox: a pass dies with the session key. */
  epoch: z.number().int(),
  /** Expiry, seconds since 1970. */
  exp: z.number().int(),
});
export type GatewayPass = z.infer<typeof passSchema>;

/**
 * A share link and the cookie that it becomes. It outlives pauses and resumes: it is good while `spec.shares` of the Sandbox
 * holds its id, and opens the ports that are listed there.
 */
const shareSchema = z.object({
  use: z.enum(['share', 'guest']),
  slot: z.string(),
  /** `id` of the entry in spec.shares. */
  share: z.string(),
  /** Expiry, seconds since 1970. */
  exp: z.number().int(),
});
export type SharePass = z.infer<typeof shareSchema>;

/** A login as passes name it: enough to tell logins apart, and no way back to the login. */
export const sessionMark = (session: string): string =>
  createHash('sha256').update(`gateway-session\n${session}`).digest('hex').slice(0, 16);

/** In spec.endedSessions: every login, and what no login gave. */
export const ALL_SESSIONS = 'all';
/** Cookies of the gateway last no longer; so an ended session need not be remembered longer. */
export const COOKIE_SECONDS = 12 * 3600;

/** Query parameter of the entry URL, and path at which the gateway exchanges it. `to` is the local path to go on to. */
export const PASS_PATH = '/_sandlot/enter';
export const PASS_PARAMETER = 'pass';

/** For entryUrl (urls.ts) or a cookie. */
export function signPass(secret: string, pass: GatewayPass | SharePass): string {
  const payload = Buffer.from(JSON.stringify(pass)).toString('base64url');
  return `${payload}.${signature(secret, payload)}`;
}

/** The pass, or undefined when it is malformed, forged, expired or of another use. */
export function verifyPass(
  secret: string,
  text: string,
  use: GatewayPass['use'],
  nowMs: number,
): GatewayPass | undefined {
  const parsed = passSchema.safeParse(opened(secret, text));
  return parsed.success && parsed.data.use === use && parsed.data.exp * 1000 > nowMs ? parsed.data : undefined;
}

/** As verifyPass, for share links and the cookies of their guests. */
export function verifyShare(secret: string, text: string, use: SharePass['use'], nowMs: number): SharePass | undefined {
  const parsed = shareSchema.safeParse(opened(secret, text));
  return parsed.success && parsed.data.use === use && parsed.data.exp * 1000 > nowMs ? parsed.data : undefined;
}

/** What was signed; undefined when the signature is not ours. */
function opened(secret: string, text: string): unknown {
  const dot = text.indexOf('.');
  if (dot < 1 || text.length > 4096) return undefined;
  const payload = text.slice(0, dot);
  if (!sameSecret(text.slice(dot + 1), signature(secret, payload))) return undefined;
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
}

function signature(secret: string, payload: string): string {
  return createHmac('sha256', secret).update(`gateway-pass\n${payload}`).digest('base64url');
}
