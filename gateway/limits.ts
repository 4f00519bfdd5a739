/**
 * How much may be under way at a time, for a sandbox and for all sandboxes of a user. What lasts (WebSockets, event streams) is
 * counted apart from requests, so that neither starves the other.
 */
import type { Answer } from './answers.js';
import type { Grant } from './authorize.js';
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

export const overloaded = (forward: Forward, limits: Limits): Answer | undefined =>
  overloadedBy(forward, forward.head.websocket || forward.events !== undefined ? 'streams' : 'requests', limits);

/** The part of all places that people may take who need no more than the address, or a link that was passed around. */
const GUESTS_PART = 0.75;
const GUESTS: ReadonlySet<Grant> = new Set<Grant>(['public', 'share', 'probe']);
/** Places that a sandbox has whatever the others of its owner have taken, and the part of the owner's that they may be. */
const MAX_RESERVED = 16;
const RESERVED_PART = 1 / 64;

/** Whether there is no room for one more of that kind. */
export function overloadedBy(
  { route, grant }: Pick<Forward, 'route' | 'grant'>,
  kind: Counted,
  limits: Limits,
): Answer | undefined {
  const part = GUESTS.has(grant) ? GUESTS_PART : 1;
  const { perSandbox, perUser } = limitsOf(kind, limits);
  const taken = route.load[kind];
  if (taken >= Math.ceil(perSandbox * part)) return tooMany(kind, 'to this sandbox');
  const reserved = part < 1 ? 0 : Math.min(MAX_RESERVED, Math.floor(perUser * RESERVED_PART));
  // Sandboxes without an owner are not all one user's.
  if (route.owner !== '' && taken >= reserved && route.ownerLoad[kind] >= Math.ceil(perUser * part))
    return tooMany(kind, 'to the sandboxes of its owner');
  return undefined;
}

const CROWDED_PART = 0.7;

/** Whether requests to it soon find no place; before guests do, since what holds the places may be theirs. */
export function isCrowded({ load, owner, ownerLoad }: Route, limits: Limits): boolean {
  const { perSandbox, perUser } = limitsOf('requests', limits);
  return load.requests >= perSandbox * CROWDED_PART || (owner !== '' && ownerLoad.requests >= perUser * CROWDED_PART);
}

const limitsOf = (kind: Counted, limits: Limits) =>
  kind === 'streams'
    ? { perSandbox: limits.maxStreams, perUser: limits.maxUserStreams }
    : { perSandbox: limits.maxRequests, perUser: limits.maxUserRequests };

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
