/**
 * Login and logout. With OIDC: `/oauth/login` → provider → `/oauth/callback` → where the browser was. What goes wrong on the
 * way ends on the UI's `/login` page with a code of PROBLEMS. In single-user mode there is nothing to log in to.
 */
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { parse } from '../http/validate.js';
import type { Endings } from '../identity/endings.js';
import { localPath } from '../identity/claims.js';
import { attemptSchema, CALLBACK, ProviderError, type Provider } from '../identity/provider.js';
import { assertSameOrigin, giveCookie, SESSION_COOKIE, sessionIdOf, type SessionAccess } from '../identity/session.js';
import { Refused } from '../identity/sessions.js';

/** With OIDC only. */
export interface LoginParts extends SessionAccess {
  provider: Provider;
  /** What ended sessions had opened. */
  endings: Endings;
}

/** `problem` of the UI's login page. */
export type LoginProblem = 'expired' | 'cancelled' | 'not_listed' | 'disabled' | 'unreachable' | 'refused';

const loginQuery = z.object({ return_to: z.string().max(2000).optional() });
const callbackQuery = z.object({ state: z.string().max(500).optional(), error: z.string().max(500).optional() });
const ATTEMPT_COOKIE = 'sandlot_login_';
const ATTEMPT_SECONDS = 600;
/** Logins that one browser may have begun at the same time (tabs); more would only make its requests long. */
const MAX_ATTEMPTS = 5;

/** The UI asks these at each opening, of a whole company behind one address; without a session of ours they cost nothing. */
const OF_THE_UI = { config: { uncounted: true as const } };

export function loginRoutes(app: Api, deps: Deps): void {
  const { login } = deps;
  app.post('/api/authenticate', OF_THE_UI, async (request, reply) => {
    try {
      await deps.identify(request, reply);
      return { message: 'User authenticated' };
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      return reply.status(401).send({ error: 'User is not authenticated' });
    }
  });

  app.post('/api/logout', OF_THE_UI, async (request, reply) => {
    const logoutUrl = login === undefined ? null : await logOut(login, request, reply);
    return { message: 'User logged out', logout_url: logoutUrl };
  });

  if (login === undefined) return;
  app.get('/oauth/login', { schema: { querystring: loginQuery } }, async (request, reply) =>
    beginLogin(login, request, reply),
  );
  app.get(CALLBACK, { schema: { querystring: callbackQuery } }, async (request, reply) => {
    try {
      return await finishLogin(login, request, reply);
    } catch (error) {
      request.log.info({ err: error }, 'login failed');
      return await reply.redirect(`/login?problem=${problemOf(error)}`);
    }
  });
  void app.register((scope, _options, done) => {
    backChannel(scope, login);
    done();
  });
}

async function beginLogin({ cookies, jar, provider }: LoginParts, request: FastifyRequest, reply: FastifyReply) {
  const returnTo = localPath(parse(loginQuery, request.query, 'query').return_to);
  const { url, attempt } = await provider.begin(returnTo).catch((error: unknown) => {
    request.log.warn({ err: error }, 'the login provider does not answer');
    return { url: `/login?problem=${problemOf(error)}`, attempt: undefined };
  });
  if (attempt !== undefined) {
    const earlier = attemptsOf(request);
    if (earlier.length >= MAX_ATTEMPTS) for (const name of earlier) jar.clear(reply, name);
    const value = await cookies.seal(ATTEMPT_COOKIE, attempt, ATTEMPT_SECONDS);
    jar.set(reply, { name: attemptName(attempt.state), value, seconds: ATTEMPT_SECONDS });
  }
  return await reply.redirect(url);
}

async function finishLogin(parts: LoginParts, request: FastifyRequest, reply: FastifyReply) {
  const { state = '' } = parse(callbackQuery, request.query, 'query');
  const value = request.cookies[parts.jar.nameOf(attemptName(state))];
  const opened = value === undefined ? undefined : await parts.cookies.open(ATTEMPT_COOKIE, value);
  const attempt = attemptSchema.safeParse(opened?.content).data;
  // No attempt of this browser: too late, or somebody else's login that this browser was made to finish.
  if (attempt === undefined || attempt.state !== state) throw new ApiError('login_required');
  const session = await parts.sessions.open(await parts.provider.finish(request.url.split('?')[1] ?? '', attempt));
  const earlier = await sessionIdOf(parts, request);
  if (earlier !== undefined) await parts.sessions.end(earlier.id);
  for (const name of attemptsOf(request)) parts.jar.clear(reply, name);
  await giveCookie(parts, reply, session);
  return await reply.redirect(attempt.returnTo);
}

/** Where the browser goes on to log out at the provider; null when there is no such page, or nobody was logged in. */
async function logOut(parts: LoginParts, request: FastifyRequest, reply: FastifyReply): Promise<string | null> {
  const found = await sessionIdOf(parts, request);
  if (found !== undefined) assertSameOrigin(request, parts.publicUrl);
  parts.jar.clear(reply, SESSION_COOKIE);
  if (found === undefined) return null;
  const { idToken } = await parts.sessions.end(found.id);
  return (
    (await parts.provider.logoutUrl(idToken).catch((error: unknown) => {
      request.log.warn({ err: error }, 'logged out here only');
      return undefined;
    })) ?? null
  );
}

const logoutBody = z.object({ logout_token: z.string().min(1) });
const LOGOUT_LIMIT = 16 * 1024;

/** OpenID Connect Back-Channel Logout 1.0: the provider ends sessions that it ended on its side. */
function backChannel(app: Api, { provider, sessions }: LoginParts): void {
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: LOGOUT_LIMIT },
    (_request, body, done) => done(null, Object.fromEntries(new URLSearchParams(String(body)))),
  );
  app.post('/oauth/backchannel-logout', { config: { uncounted: true } }, async (request, reply) => {
    reply.header('cache-control', 'no-store');
    const { logout_token } = parse(logoutBody, request.body ?? {}, 'body');
    try {
      const ended = await sessions.endOf(await provider.readLogoutToken(logout_token));
      request.log.info({ ended }, 'sessions ended by the login provider');
      return await reply.status(200).send();
    } catch (error) {
      if (!(error instanceof ProviderError)) throw error;
      if (error.kind === 'unreachable') throw new ApiError('login_unreachable', { cause: error });
      request.log.info({ err: error }, 'a logout token was refused');
      return await reply.status(400).send({ error: 'invalid_request' });
    }
  });
}

function problemOf(error: unknown): LoginProblem {
  if (error instanceof Refused) return error.reason;
  if (error instanceof ApiError) return 'expired';
  if (!(error instanceof ProviderError)) throw error;
  const { error: code } = error.cause as { error?: unknown };
  return code === 'access_denied' || code === 'login_required' ? 'cancelled' : error.kind;
}

const attemptName = (state: string) => ATTEMPT_COOKIE + createHash('sha256').update(state).digest('hex').slice(0, 12);

/** Names, without prefix, of the logins that this browser has begun. */
function attemptsOf(request: FastifyRequest): string[] {
  return Object.keys(request.cookies)
    .map((name) => name.replace(/^__Host-/, ''))
    .filter((name) => name.startsWith(ATTEMPT_COOKIE));
}
