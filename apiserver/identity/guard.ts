/**
 * Browsers send cookies, and reach a server that asks for no password, on behalf of any web site. Two tricks must not work:
 * a name of theirs that resolves to this machine (DNS rebinding: the Host header gives it away), and requests that a browser
 * makes for them (CSRF: Sec-Fetch-Site and Origin give it away).
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '../http/errors.js';

const LOCAL_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?$/i;
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

export interface Judged {
  method: string;
  host: string | undefined;
  origin: string | undefined;
  /** `same-origin`, `same-site`, `cross-site`, `none`. */
  fetchSite: string | undefined;
}

/** What is wrong with a request in single-user mode, where other names than local ones are refused but `publicUrl`'s. */
export function refusal(judged: Judged, publicUrl?: string): 'forbidden_host' | 'forbidden_origin' | undefined {
  const host = judged.host?.toLowerCase() ?? '';
  const isPublic = publicUrl !== undefined && host === new URL(publicUrl).host;
  if (!isPublic && !LOCAL_HOST.test(host)) return 'forbidden_host';
  return isCrossSite(judged, isPublic ? publicUrl : `http://${host}`) ? 'forbidden_origin' : undefined;
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

/** `publicUrl`: single-user mode on other addresses than loopback. */
export function guardLocalUser(app: FastifyInstance, publicUrl: string | undefined): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (publicUrl !== undefined && INSIDE.test(request.url)) return done();
    const code = refusal(judgedOf(request), publicUrl);
    done(code === undefined ? undefined : new ApiError(code));
  });
}
