/** What the heads of an exchange depend on (../heads.ts writes them). Pure. */
import type { Grant } from '../authorize.js';
import { newCookie, type Forward } from '../decide.js';
import type { Incoming, Outgoing } from '../heads.js';
import { fieldOf, isNavigation, KEY_PARAMETER, queryOf, withoutParameter } from '../http/request.js';
import { isPlatform } from '../table.js';
import type { Exchange } from './books.js';

export function outgoing({ connection, forward }: Exchange): Outgoing {
  const { located, route, port, grant, head } = forward;
  const { gateway } = connection;
  return {
    target: targetForPod(forward),
    prefix: located.prefix,
    injectKey: (grant === 'cookie' || forward.woken === true) && isPlatform(port) ? route.key : undefined,
    key: route.key,
    isPlatformPort: isPlatform(port),
    clientIp: connection.ip,
    protocol: gateway.rules.origins.protocol,
    forwardedFor: gateway.trustForwarded ? fieldOf(head, 'x-forwarded-for') : undefined,
  };
}

/** The session key opens the whole sandbox, so an app does not see it in its URLs; and a resume has made the old one useless. */
function targetForPod({ located, head, port, route, woken }: Forward): string {
  const key = queryOf(head.query, KEY_PARAMETER);
  const isDropped = key !== undefined && (woken === true || (!isPlatform(port) && key === route.key));
  return isDropped ? withoutParameter(located.target, KEY_PARAMETER) : located.target;
}

/** What a browser shows by itself, for whichever page embeds this one; `token` is VS Code's own cookie too. */
const BY_COOKIE = new Set<Grant>(['cookie', 'share', 'token']);

export function incoming({ connection, forward, keepAlive }: Exchange): Incoming {
  const { gateway } = connection;
  return {
    prefix: forward.located.prefix,
    trustedOrigin: forward.trustedOrigin,
    embedders: gateway.embedders,
    guarded: BY_COOKIE.has(forward.grant),
    base: `${gateway.rules.origins.protocol}://${forward.head.host}`,
    cookie:
      forward.grant === 'token' && isNavigation(forward.head)
        ? newCookie(forward, gateway.rules, { now: gateway.clock.now })
        : undefined,
    keepAlive,
    minor: forward.head.minor,
  };
}
