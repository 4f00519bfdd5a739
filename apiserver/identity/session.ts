/** The session cookie as a way in. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '../http/errors.js';
import type { CookieJar, CookieKeys } from './cookies.js';
import { isCrossSite, judgedOf } from './guard.js';
import type { Identify } from './identity.js';
import type { Sessions } from './sessions.js';

export const SESSION_COOKIE = 'sandlot_session';

export interface SessionAccess {
  cookies: CookieKeys;
  jar: CookieJar;
  sessions: Sessions;
  publicUrl: string;
  /** How long the browser keeps the cookie; the session itself may end sooner. */
  seconds: number;
}

/** The id in a request's cookie; undefined without one that is ours. */
export async function sessionIdOf(
  { cookies, jar }: Pick<SessionAccess, 'cookies' | 'jar'>,
  request: FastifyRequest,
): Promise<{ id: string; isOld: boolean } | undefined> {
  const value = request.cookies[jar.nameOf(SESSION_COOKIE)];
  const opened = value === undefined ? undefined : await cookies.open(SESSION_COOKIE, value);
  const id = opened?.content.session;
  return typeof id === 'string' ? { id, isOld: opened?.isOld === true } : undefined;
}

export async function giveCookie(
  { cookies, jar, seconds }: Pick<SessionAccess, 'cookies' | 'jar' | 'seconds'>,
  reply: FastifyReply,
  id: string,
): Promise<void> {
  jar.set(reply, {
    name: SESSION_COOKIE,
    value: await cookies.seal(SESSION_COOKIE, { session: id }, seconds),
    seconds,
  });
}

export function identifySession(access: SessionAccess): Identify {
  return async (request, reply) => {
    const found = await sessionIdOf(access, request);
    if (found === undefined) throw new ApiError('login_required');
    assertSameOrigin(request, access.publicUrl);
    const used = await access.sessions.use(found.id);
    if (used === undefined) {
      access.jar.clear(reply, SESSION_COOKIE);
      throw new ApiError('login_required');
    }
    // Sealed with the secret before the current one: the next request shall not depend on it.
    if (found.isOld) await giveCookie(access, reply, found.id);
    const { id, roles } = used.user;
    return { id, shown: id, via: 'session', roles, scopes: ['full'], credential: found.id };
  };
}

/** Browsers add the cookie to requests that other sites make; they also say which site it was. Throws `forbidden_origin`. */
export function assertSameOrigin(request: FastifyRequest, publicUrl: string): void {
  const judged = judgedOf(request);
  const isSilent = judged.origin === undefined && judged.fetchSite === undefined;
  if (isCrossSite(judged, publicUrl) || (isSilent && !['GET', 'HEAD', 'OPTIONS'].includes(judged.method)))
    throw new ApiError('forbidden_origin');
}
