/**
 * Rights that end while something is under way: a key that a resume has replaced, a login of the owner that is over, a sandbox of another owner or gone, a share
 * that was revoked or has expired, a port that is no longer public. Checked with every pass over the deadlines, for what the
 * table says has changed.
 */
import { isOver } from './authorize.js';
import type { Forward } from './decide.js';
import type { Gateway } from './gateway.js';
import { lookAgain } from './hold.js';
import { isSharedBy, portOf, type Route } from './table.js';

/** Whether what was let in before would be let in now. Pure. */
export function isStillAllowed(
  { grant, share, pass, route, located }: Forward,
  now: Route | undefined,
  at: number,
): boolean {
  if (now === undefined) return false;
  switch (grant) {
    case 'probe':
      return true;
    case 'public':
      return portOf(now, located.port).isPublic;
    case 'share':
      return share !== undefined && isSharedBy(now, share, portOf(now, located.port), at);
    case 'key':
    case 'token':
    case 'cookie':
      return now.epoch === route.epoch && now.owner === route.owner && (pass === undefined || !isOver(pass, now));
  }
}

/** To be called for every change of a route: those who wait look again at once, rights with the next pass. */
export function routeChanged(gateway: Gateway, slot: string): void {
  gateway.changed.add(slot);
  if (gateway.held.has(slot)) lookAgain(gateway, slot);
}

/** A pod has its slot's name, so there is another only when the old one is gone; on a lost node nobody else says so. */
const isElsewhere = ({ address: before }: Route, now: Route | undefined) =>
  before !== undefined && now?.address !== undefined && now.address.ip !== before.ip;

/** Ends what has lost its right, or its pod, since the last time. */
export function endRevoked(gateway: Gateway, now: number): void {
  const { changed } = gateway;
  for (const connection of gateway.connections) {
    const { forward } = connection;
    // Shares end by the clock too.
    if (forward === undefined || (forward.share === undefined && !changed.has(forward.route.slot))) continue;
    const route = gateway.table.bySlot(forward.route.slot);
    if (!isStillAllowed(forward, route, now)) connection.user.revoked();
    else if (isElsewhere(forward.route, route)) connection.user.moved();
  }
  changed.clear();
}
