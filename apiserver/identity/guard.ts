/**
 * Single-user mode asks for no password, so two tricks of other web sites must not work: a name of theirs that resolves to
 * this machine (DNS rebinding: the Host header gives it away), and requests that the browser sends on their behalf (CSRF:
 * Sec-Fetch-Site and Origin give it away).
 */
import type { FastifyInstance } from 'fastify';
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

/** What is wrong with a request; undefined when nothing is. */
export function refusal({
  method,
  host,
  origin,
  fetchSite,
}: Judged): 'forbidden_host' | 'forbidden_origin' | undefined {
  if (host === undefined || !LOCAL_HOST.test(host)) return 'forbidden_host';
  if (SAFE.has(method)) return undefined;
  // Programs send neither header; a browser sends at least one with every unsafe request.
  if (fetchSite !== undefined && fetchSite !== 'same-origin' && fetchSite !== 'none') return 'forbidden_origin';
  if (origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`) return 'forbidden_origin';
  return undefined;
}

export function guardLocalUser(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const { host, origin, upgrade, 'sec-fetch-site': fetchSite } = request.headers;
    // A WebSocket is opened by GET, and browsers open it for any site.
    const method = upgrade === undefined ? request.method : 'UPGRADE';
    const code = refusal({ method, host, origin, fetchSite: fetchSite as string | undefined });
    done(code === undefined ? undefined : new ApiError(code));
  });
}
