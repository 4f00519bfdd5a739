/**
 * How much may be under way at a time, for a sandbox and for all sandboxes of a user. What lasts (WebSockets, event streams) is
 * counted apart from requests, so that neither starves the other.
 */
import type { Answer } from './answers.js';
import type { Forward } from './decide.js';
import type { Route } from './table.js';

export interface Limits {
  maxRequests: number;
  /** WebSockets and event streams. */
  maxStreams: number;
  maxUserRequests: number;
  maxUserStreams: number;
}

export const NO_LIMITS: Limits = {
  maxRequests: Infinity,
  maxStreams: Infinity,
  maxUserRequests: Infinity,
  maxUserStreams: Infinity,
};

export type Counted = 'requests' | 'streams';

export const overloaded = ({ route, head, events }: Forward, limits: Limits): Answer | undefined =>
  overloadedBy(route, head.websocket || events !== undefined ? 'streams' : 'requests', limits);

/** Whether there is no room for one more of that kind. */
export function overloadedBy(route: Route, kind: Counted, limits: Limits): Answer | undefined {
  const isStream = kind === 'streams';
  if (route.load[kind] >= (isStream ? limits.maxStreams : limits.maxRequests)) return tooMany(kind, 'to this sandbox');
  // Sandboxes without an owner are not all one user's.
  if (route.owner !== '' && route.ownerLoad[kind] >= (isStream ? limits.maxUserStreams : limits.maxUserRequests))
    return tooMany(kind, 'to the sandboxes of its owner');
  return undefined;
}

const tooMany = (kind: Counted, where: string): Answer => ({
  status: 429,
  reason: 'TooManyRequests',
  message: `Too many open ${kind} ${where}. Close some, or try again in a moment.`,
  retryAfter: 1,
});

export function enter(route: Route, kind: Counted): void {
  route.load[kind]++;
  route.ownerLoad[kind]++;
}

/** `route` must be the one that was entered: its counters outlive changes. */
export function leave(route: Route, kind: Counted): void {
  route.load[kind]--;
  route.ownerLoad[kind]--;
}
