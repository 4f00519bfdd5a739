/**
 * Browsers send cookies, and reach a server that asks for no password, on behalf of any web site. Two tricks must not work:
 * a name of theirs that resolves to this machine (DNS rebinding: the Host header gives it away), and requests that a browser
 * makes for them (CSRF: Sec-Fetch-Site and Origin give it away).
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../http/errors.js';
import { keyOfHeaders } from './credentials.js';

const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?$/i;
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

export interface Judged {
  method: string;
  host: string | undefined;
  origin: string | undefined;
  /** `same-origin`, `same-site`, `cross-site`, `none`. */
  fetchSite: string | undefined;
}

export interface Frontends {
  /** Where the UI is when other machines may reach it. */
  publicUrl?: string | undefined;
  /** Of frontends that are served elsewhere. */
  origins?: readonly string[];
}

/**
 * What is wrong with a request in single-user mode, where other names than local ones are refused but `publicUrl`'s.
 * `bringsKey`: it has an API key, which pages of listed origins must have: only ours is the user without being asked.
 */
export function refusal(
  judged: Judged & { bringsKey?: boolean },
  { publicUrl, origins = [] }: Frontends = {},
): 'forbidden_host' | 'forbidden_origin' | 'key_required' | undefined {
  const host = judged.host?.toLowerCase() ?? '';
  const isPublic = publicUrl !== undefined && host === new URL(publicUrl).host;
  if (!isPublic && !LOCAL_HOST.test(host)) return 'forbidden_host';
  const own = isPublic ? publicUrl : `http://${host}`;
  const origin = judged.origin?.toLowerCase();
  if (origin !== undefined && origin !== own && origins.includes(origin))
    return judged.bringsKey === true ? undefined : 'key_required';
  return isCrossSite(judged, own) ? 'forbidden_origin' : undefined;
}

/** Whether a request that may change something comes from another site than `own`. Programs send neither header. */
export function isCrossSite({ method, origin, fetchSite }: Omit<Judged, 'host'>, own: string): boolean {
  if (SAFE.has(method)) return false;
  if (fetchSite !== undefined && fetchSite !== 'same-origin' && fetchSite !== 'none') return true;
  return origin !== undefined && origin.toLowerCase() !== own;
}

export function judgedOf({ headers, method }: FastifyRequest): Judged {
  return {
    // A WebSocket is opened by GET, and browsers open it for any site.
    method: headers.upgrade === undefined ? method : 'UPGRADE',
    host: headers.host,
    origin: headers.origin,
    fetchSite: headers['sec-fetch-site'] as string | undefined,
  };
}

/** Routes with a key of their own, or nothing to tell: agents in pods and probes use addresses inside the cluster. */
const INSIDE = /^\/(api\/v1\/webhooks\/|api\/v1\/sandboxes\/[^/?]+\/settings\/|mcp\/mcp$|(alive|health|ready)$)/;

/** Nobody is the user yet who asks here. */
const BEFORE_A_KEY = /^\/oauth\/device\//;

export function guardLocalUser(app: FastifyInstance, frontends: Frontends): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const { url, headers } = request;
    if (frontends.publicUrl !== undefined && INSIDE.test(url)) return done();
    const bringsKey = BEFORE_A_KEY.test(url) || keyOfHeaders(headers).key !== undefined;
    const code = refusal({ ...judgedOf(request), bringsKey }, frontends);
    done(code === undefined ? undefined : new ApiError(code));
  });
}
