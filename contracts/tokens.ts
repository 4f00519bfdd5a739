/**
 * Gateway passes: how a browser without headers is let into a sandbox. The API server signs an entry pass into a URL
 * (one minute); the gateway exchanges it for a cookie pass on that host. Both are `payload.signature`, base64url.
 */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { sameSecret } from './keys.js';

const passSchema = z.object({
  /** What it may be used for: the URL that is exchanged, or the cookie that it becomes. */
  use: z.enum(['entry', 'cookie']),
  slot: z.string(),
  /** Whom it was given to; must still own the sandbox when it is used. */
  owner: z.string(),
  /** Key epoch of the sandbox: a pass dies with the session key. */
  epoch: z.number().int(),
  /** Expiry, seconds since 1970. */
  exp: z.number().int(),
});
export type GatewayPass = z.infer<typeof passSchema>;

/** Query parameter of the entry URL, and path at which the gateway exchanges it. `to` is the local path to go on to. */
export const PASS_PATH = '/_sandlot/enter';
export const PASS_PARAMETER = 'pass';

export function signPass(secret: string, pass: GatewayPass): string {
  const payload = Buffer.from(JSON.stringify(pass)).toString('base64url');
  return `${payload}.${signature(secret, payload)}`;
}

/** The pass, or undefined when it is malformed, forged, expired or of the other use. */
export function verifyPass(
  secret: string,
  text: string,
  use: GatewayPass['use'],
  nowMs: number,
): GatewayPass | undefined {
  const dot = text.indexOf('.');
  if (dot < 1 || text.length > 4096) return undefined;
  const payload = text.slice(0, dot);
  if (!sameSecret(text.slice(dot + 1), signature(secret, payload))) return undefined;
  const parsed = passSchema.safeParse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
  if (!parsed.success || parsed.data.use !== use || parsed.data.exp * 1000 <= nowMs) return undefined;
  return parsed.data;
}

function signature(secret: string, payload: string): string {
  return createHmac('sha256', secret).update(`gateway-pass\n${payload}`).digest('base64url');
}
