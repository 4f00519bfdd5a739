/** Who may reach a port: decided in memory on every request and upgrade, closed by default. */
import { timingSafeEqual } from 'node:crypto';
import { ALL_SESSIONS, verifyPass, verifyShare, type GatewayPass, type SharePass } from '../contracts/tokens.js';
import { cookieValues, guestValues } from './cookies.js';
import { ownCopy } from './http/message.js';
import { KEY_PARAMETER, queryOf, type RequestHead } from './http/request.js';
import { mayUseCookie, type Origins } from './origins.js';
import { isSharedBy, wakesOnRequest, type Port, type Route } from './table.js';

/** What let a request in; a label in the log. */
export type Grant = 'key' | 'token' | 'cookie' | 'share' | 'public' | 'probe';

export type Verdict =
  /** `share`: id of the share link, `pass`: the owner's, when that is what let the request in. */
  | { allowed: true; by: Grant; share?: string; pass?: GatewayPass }
  /** A WebSocket that shows its key in the first frame. */
  | { allowed: 'by-frame' }
  | { allowed: false; status: 401 | 403; reason: 'NoCredentials' | 'WrongKey' | 'ForeignOrigin'; message: string };

export interface Question {
  head: RequestHead;
  route: Route;
  port: Port;
  /** Path that the pod would see, without query. */
  path: string;
  cookieName: string;
  origins: Origins;
  passes: Passes;
  now: number;
}

const deny = (status: 401 | 403, reason: 'NoCredentials' | 'WrongKey' | 'ForeignOrigin', message: string): Verdict => ({
  allowed: false,
  status,
  reason,
  message,
});
const allow = (by: Grant): Verdict => ({ allowed: true, by });

/** Unauthenticated on the agent server itself; OpenHands' clients poll them without a key. They count as no activity. */
export const PROBES: ReadonlySet<string> = new Set(['/alive', '/health', '/ready']);

export function authorize(question: Question): Verdict {
  const { head, route, port, path } = question;
  const key = presentedKey(head, port);
  if (key !== undefined && sameText(key, route.key)) return allow('key');
  // An explicit key that is wrong is an error of its own on the agent port; elsewhere the header may be the app's.
  if (key !== undefined && port.name === 'agent')
    return deny(401, 'WrongKey', 'The session key is not the current key of this sandbox.');
  if (port.name === 'vscode' && hasEditorToken(question)) return allow('token');
  if (port.isPublic) return allow('public');
  const byCookie = cookieGrant(question);
  if (byCookie !== undefined)
    return mayUseCookie(head, route.slot, question.origins)
      ? byCookie
      : deny(403, 'ForeignOrigin', 'This page may not use the sandbox in your name.');
  if (port.name === 'agent' && PROBES.has(path) && (head.method === 'GET' || head.method === 'HEAD'))
    return allow('probe');
  if (port.name === 'agent' && head.websocket && path.startsWith('/sockets/')) return { allowed: 'by-frame' };
  return deny(401, 'NoCredentials', 'Open this sandbox from its conversation, or send X-Session-API-Key.');
}

function presentedKey(head: RequestHead, port: Port): string | undefined {
  if (head.sessionKey !== undefined) return head.sessionKey;
  const inQuery = queryOf(head.query, KEY_PARAMETER);
  if (inQuery !== undefined) return inQuery;
  // The agent server's OpenAI-compatible routes take the key as a bearer token.
  return port.name === 'agent' ? bearerOf(head) : undefined;
}

export function bearerOf(head: RequestHead): string | undefined {
  return head.authorization === undefined ? undefined : /^bearer +(\S+)$/i.exec(head.authorization)?.[1];
}

/** VS Code's own connection token is the session key: in the URL that the agent server hands out, then in VS Code's cookie. */
function hasEditorToken({ head, route, origins }: Question): boolean {
  const inQuery = queryOf(head.query, 'tkn');
  if (inQuery !== undefined && sameText(inQuery, route.key)) return true;
  return (
    cookieValues(head.cookie, 'vscode-tkn').some((value) => sameText(value, route.key)) &&
    mayUseCookie(head, route.slot, origins)
  );
}

function cookieGrant({ head, route, port, cookieName, passes, now }: Question): Verdict | undefined {
  const pass = cookieValues(head.cookie, cookieName)
    .map((text) => passes.owner(text, now))
    .find((one) => isCurrent(one, route));
  if (pass !== undefined) return { allowed: true, by: 'cookie', pass };
  if (route.shares.size === 0) return undefined;
  const share = guestValues(head.cookie, cookieName)
    .map((text) => passes.guest(text, now))
    .find((pass) => pass?.slot === route.slot && isSharedBy(route, pass.share, port, now))?.share;
  return share === undefined ? undefined : { allowed: true, by: 'share', share };
}

/**
 * A pass lives as long as its sandbox's owner and key. Where requests wake the sandbox it outlives the key: the browser that
 * woke it must get in when it is back.
 */
export function isCurrent(pass: GatewayPass | undefined, route: Route): pass is GatewayPass {
  if (pass?.slot !== route.slot || pass.owner !== route.owner || isOver(pass, route)) return false;
  return pass.epoch === route.epoch || (pass.epoch < route.epoch && wakesOnRequest(route));
}

/** Whether the login that a pass was given in has ended. */
export function isOver({ session, iat = 0 }: Pick<GatewayPass, 'session' | 'iat'>, { ended }: Route): boolean {
  return (session !== undefined && ended.has(session)) || iat <= (ended.get(ALL_SESSIONS) ?? -1);
}

export function sameText(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'));
}

/** Cookies, verified; good ones are remembered, since a browser sends the same one with every request. */
export interface Passes {
  owner(text: string, now: number): GatewayPass | undefined;
  guest(text: string, now: number): SharePass | undefined;
}

const MAX_PASSES = 10_000;

export function createPasses(secret: string): Passes {
  return {
    owner: remembering((text, now) => verifyPass(secret, text, 'cookie', now)),
    guest: remembering((text, now) => verifyShare(secret, text, 'guest', now)),
  };
}

function remembering<Pass extends { exp: number }>(verify: (text: string, now: number) => Pass | undefined) {
  const known = new Map<string, Pass>();
  return (text: string, now: number): Pass | undefined => {
    const remembered = known.get(text);
    if (remembered !== undefined) return remembered.exp * 1000 > now ? remembered : undefined;
    const pass = verify(text, now);
    if (pass === undefined) return undefined;
    if (known.size >= MAX_PASSES) known.clear();
    known.set(ownCopy(text), pass);
    return pass;
  };
}
