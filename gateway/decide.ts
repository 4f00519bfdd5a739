/** The request path up to the first byte for the pod: locate → authorize → resolve. Pure but for the table it reads. */
import {
  COOKIE_SECONDS,
  PASS_PARAMETER,
  PASS_PATH,
  signPass,
  verifyPass,
  verifyShare,
  type GatewayPass,
} from '../contracts/tokens.js';
import { renderEmpty, type Answer, type Reason } from './answers.js';
import { authorize, isCurrent, type Grant, type Passes, type Verdict } from './authorize.js';
import { cookieForm, guestForm, setCookie, type CookieForm } from './cookies.js';
import { eventsRequest, type EventsRequest } from './events/request.js';
import { fieldOf, isForm, isNavigation, pathOf, queryOf, type RequestHead } from './http/request.js';
import { IN_FIRST_FRAME, locate, strayPrefix, type Located } from './locate.js';
import { corsLines, isPreflight, isTrusted, preflightLines, type Origins } from './origins.js';
import { overloaded, type Limits } from './limits.js';
import { mayWake } from './wake.js';
import { isSharedBy, portOf, type Lookup, type Port, type Refusal, type Route } from './table.js';

export interface Rules extends Limits {
  secret: string;
  origins: Origins;
  passes: Passes;
}

/** Everything about a request that was found out on the way. */
export interface Context {
  head: RequestHead;
  located: Located;
  route: Route;
  port: Port;
  cookie: CookieForm;
  /** Origin of the request where it may read answers. */
  trustedOrigin: string | undefined;
}

export interface Forward extends Context {
  grant: Grant;
  /** Id of the share link that let the request in. */
  share: string | undefined;
  /** The owner's pass that did. */
  pass: GatewayPass | undefined;
  /** It waited for a resume: the key that it showed has been replaced since. */
  woken: true | undefined;
  /** It asks for events of a conversation, which the gateway itself gets from the pod. */
  events: EventsRequest | undefined;
}

export type Decision =
  | { do: 'answer'; answer: Answer; lines: string; context: Context | undefined }
  | { do: 'reply'; status: 204 | 302 | 307; text: string; context: Context | undefined }
  /** Accept the WebSocket here and decide when its first frame shows a key. */
  | { do: 'await-frame'; located: Located; head: RequestHead }
  /** It is paused, and this request resumes it. */
  | { do: 'wake'; forward: Forward }
  /** A form, for which there is no room or pod just now: sent back, it would be lost. */
  | { do: 'hold'; forward: Forward }
  | { do: 'forward'; forward: Forward };

export function decide(head: RequestHead, lookup: Lookup, rules: Rules, now: number): Decision {
  const located = locate(head, lookup, rules.origins.domain);
  if (located === undefined) return strayed(head, rules) ?? unknown();
  if (located.slot === IN_FIRST_FRAME) return { do: 'await-frame', located, head };
  const route = lookup.bySlot(located.slot);
  if (route === undefined) return unknown();
  const context = contextOf(head, located, route, rules);
  if (isPreflight(head) && (context.trustedOrigin !== undefined || !context.port.isPublic)) return preflight(context);
  const path = pathOf(located.target);
  if (isStrayWorker(context)) return refuse(STRAY_WORKER, context);
  if (path === PASS_PATH) return enter(context, rules, now);
  if (located.prefix !== '' && head.path === located.prefix && isNavigation(head)) return withSlash(context);
  const verdict = authorize({
    head,
    route,
    port: context.port,
    path,
    cookieName: context.cookie.name,
    origins: rules.origins,
    passes: rules.passes,
    now,
  });
  if (verdict.allowed === 'by-frame') return { do: 'await-frame', located, head };
  if (verdict.allowed === false) return refuse(verdict, context);
  const forward = forwardOf(context, verdict);
  if (mayWake(forward)) return { do: 'wake', forward };
  const decision = resolve(forward, rules);
  return decision.do === 'answer' && isForm(head) && PASSING.has(decision.answer.reason)
    ? { do: 'hold', forward }
    : decision;
}

/** Written out, as all objects of the request path are: objects made by spreading others are slow to make and to read. */
function forwardOf(
  context: Context,
  { by, share, pass }: Omit<Extract<Verdict, { allowed: true }>, 'allowed'>,
): Forward {
  const { head, located, route, port, cookie, trustedOrigin } = context;
  const events = eventsOf(context);
  return { head, located, route, port, cookie, trustedOrigin, grant: by, share, pass, woken: undefined, events };
}

/**
 * The script of a service worker, which browsers mark, at an address that does not name its sandbox (`/api/sandbox-port/8011/…`):
 * the worker would answer for every sandbox that is opened there.
 */
const isStrayWorker = ({ head, located }: Context) =>
  located.source !== 'host' && !located.prefix.includes(located.slot) && fieldOf(head, 'service-worker') !== undefined;
const STRAY_WORKER: Extract<Verdict, { allowed: false }> = {
  allowed: false,
  status: 403,
  reason: 'ForeignOrigin',
  message: 'Service workers are served only at addresses that name the sandbox.',
};

/** Reasons that pass by themselves in seconds. */
const PASSING = new Set<Reason>(['SandboxStarting', 'TooManyRequests']);

/** A request that showed its key in the first frame of its WebSocket; undefined when the key is not the sandbox's. */
export function decideByFrame(
  waiting: { head: RequestHead; located: Located; key: string },
  lookup: Lookup,
  rules: Rules,
): Decision | undefined {
  const route = lookup.byKey(waiting.key);
  const { slot } = waiting.located;
  if (route === undefined || (slot !== IN_FIRST_FRAME && slot !== route.slot)) return undefined;
  const context = contextOf(waiting.head, { ...waiting.located, slot: route.slot }, route, rules);
  return resolve({ ...forwardOf(context, { by: 'key' }), events: undefined }, rules);
}

const eventsOf = ({ head, located, port }: Context): EventsRequest | undefined =>
  port.name === 'agent' ? eventsRequest(head, located.target) : undefined;

function contextOf(head: RequestHead, located: Located, route: Route, rules: Rules): Context {
  const { origins } = rules;
  const isShared = located.source !== 'host';
  return {
    head,
    located,
    route,
    port: portOf(route, located.port),
    cookie: cookieForm({ protocol: origins.protocol, host: head.host, slot: route.slot, isShared }),
    trustedOrigin:
      head.origin !== undefined && isTrusted(head.origin, head, route.slot, origins) ? head.origin : undefined,
  };
}

/** Where the pod is, or why nobody can be sent there now. Also asked again before a dial is repeated. */
export function resolve(forward: Forward, limits: Limits): Extract<Decision, { do: 'answer' | 'forward' }> {
  const { route, port } = forward;
  const answer = unavailable(route, port) ?? overloaded(forward, limits);
  return answer === undefined ? { do: 'forward', forward } : answered(answer, forward);
}

const limit = (message: string): Answer => ({ status: 503, reason: 'LimitReached', message, retryAfter: 15 });
const LIMITS: Record<Refusal, Answer> = {
  OwnerLimitReached: limit('Its owner has as many running sandboxes as allowed. Pause one of them to go on.'),
  NamespaceLimitReached: limit('As many sandboxes are running as allowed. It starts when one of them ends.'),
  QuotaExceeded: limit('The cluster has no room for it within its quota. It starts when there is.'),
};

/** Why no request can be sent to a port now; undefined when one can. */
export function unavailable(route: Route, port: Port): Answer | undefined {
  if (route.refusal !== undefined && route.isResuming && route.address === undefined) return LIMITS[route.refusal];
  if (route.state === 'paused')
    return {
      status: 503,
      reason: 'SandboxPaused',
      message: route.isDisplaced
        ? 'It was paused to make room for another one of its owner. Resume its conversation to go on.'
        : 'It is paused. Resume its conversation to go on.',
      retryAfter: 5,
    };
  if (route.state === 'failed')
    return { status: 503, reason: 'SandboxFailed', message: 'The sandbox has failed. Its conversation says why.' };
  if (route.address === undefined || (port.name === 'agent' && !route.address.ready))
    return { status: 503, reason: 'SandboxStarting', message: 'It will be here in a moment.', retryAfter: 1 };
  if (port.number === undefined)
    return { status: 502, reason: 'NothingListening', message: 'This sandbox has no port of that name.' };
  return undefined;
}

export function answered(answer: Answer, context: Context): Extract<Decision, { do: 'answer' }> {
  return {
    do: 'answer',
    answer,
    lines: readable(context.trustedOrigin),
    context,
  };
}

/** Lines that let a trusted origin read an answer of the gateway. */
export const readable = (origin: string | undefined): string =>
  origin === undefined ? '' : `${corsLines(origin)}Access-Control-Expose-Headers: Retry-After, X-Sandlot-Reason\r\n`;

const unknown = (): Decision => ({
  do: 'answer',
  answer: { status: 404, reason: 'UnknownSandbox', message: 'There is no sandbox at this address.' },
  lines: '',
  context: undefined,
});

/** Not to be kept: the same address means another place to another page. */
function strayed(head: RequestHead, { origins }: Rules): Decision | undefined {
  const prefix = strayPrefix(head, origins.domain);
  if (prefix === undefined) return undefined;
  const lines = `Location: ${prefix}${head.target}\r\nCache-Control: no-store\r\n`;
  const keepAlive = !head.chunked && (head.length ?? 0) === 0;
  return { do: 'reply', status: 307, text: renderEmpty(307, lines, keepAlive), context: undefined };
}

function refuse(verdict: Extract<Verdict, { allowed: false }>, context: Context): Decision {
  return answered({ status: verdict.status, reason: verdict.reason, message: verdict.message }, context);
}

function preflight(context: Context): Decision {
  if (context.trustedOrigin === undefined)
    return answered(
      { status: 403, reason: 'ForeignOrigin', message: 'This origin may not call the sandbox.' },
      context,
    );
  return { do: 'reply', status: 204, text: renderEmpty(204, preflightLines(context.head), true), context };
}

/** Relative URLs of a page mean its folder: below `/<slot>/work-1/`, not beside it. */
function withSlash(context: Context): Decision {
  const { head, located } = context;
  const query = head.query === '' ? '' : `?${head.query}`;
  return {
    do: 'reply',
    status: 302,
    text: renderEmpty(302, `Location: ${located.prefix}/${query}\r\n`, true),
    context,
  };
}

/** Exchanges an entry pass or a share link for the cookie and goes on to the local path of `to`. */
function enter(context: Context, rules: Rules, now: number): Decision {
  const { head, located } = context;
  const text = head.method === 'GET' ? queryOf(head.query, PASS_PARAMETER) : undefined;
  const cookie =
    text === undefined
      ? undefined
      : (ownersCookie(text, context, rules, now) ?? guestsCookie(text, context, rules, now));
  if (cookie === undefined)
    return answered(
      {
        status: 403,
        reason: 'BadPass',
        message: 'Open the sandbox again from its conversation, or ask for a new link.',
      },
      context,
    );
  const lines = [
    `Location: ${located.prefix}${localPath(queryOf(head.query, 'to'))}`,
    `Set-Cookie: ${cookie}`,
    'Cache-Control: no-store',
    'Referrer-Policy: no-referrer',
    '',
  ].join('\r\n');
  return { do: 'reply', status: 302, text: renderEmpty(302, lines, true), context };
}

function ownersCookie(text: string, context: Context, rules: Rules, now: number): string | undefined {
  const pass = verifyPass(rules.secret, text, 'entry', now);
  return isCurrent(pass, context.route) ? newCookie(context, rules, { now, given: pass }) : undefined;
}

function guestsCookie(text: string, context: Context, rules: Rules, now: number): string | undefined {
  const { route, port, cookie } = context;
  const pass = verifyShare(rules.secret, text, 'share', now);
  if (pass === undefined || pass.slot !== route.slot || !isSharedBy(route, pass.share, port, now)) return undefined;
  const ends = Math.min(pass.exp * 1000, route.shares.get(pass.share)?.expiresAt ?? 0);
  const seconds = Math.min(Math.floor((ends - now) / 1000), COOKIE_SECONDS);
  const guest = { ...pass, use: 'guest', exp: Math.floor(now / 1000) + seconds } as const;
  return setCookie(guestForm(cookie, pass.share), signPass(rules.secret, guest), seconds);
}

/** Set-Cookie that keeps a browser in; `given`: the pass that it is exchanged for. */
export function newCookie(
  { route, cookie }: Context,
  rules: Pick<Rules, 'secret'>,
  { now, given }: { now: number; given?: GatewayPass },
): string {
  const exp = Math.floor(now / 1000) + COOKIE_SECONDS;
  const { session, iat = now } = given ?? {};
  const pass: GatewayPass = {
    use: 'cookie',
    slot: route.slot,
    owner: route.owner,
    ...(session === undefined ? {} : { session }),
    iat,
    epoch: route.epoch,
    exp,
  };
  return setCookie(cookie, signPass(rules.secret, pass), COOKIE_SECONDS);
}

/** A path of this very host; anything that a browser could read as another host becomes '/'. */
export function localPath(to: string | undefined): string {
  if (to === undefined || to.length > 4096) return '/';
  return /^\/(?![/\\])[\x21-\x7e]*$/.test(to) && !to.includes('\\') ? to : '/';
}
