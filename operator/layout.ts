/** While the number of shards changes, operators of the old and of the new number are there together: they take turns. */
import type { KubeClient } from '../kube/client.js';
import { LEASE } from '../kube/kinds.js';
import type { Log } from '../kube/log.js';
import type { LeaseObject } from '../kube/objects.js';
import type { Clock } from '../kube/types.js';
import { countOf, isOperatorLease, type Shard } from './shard.js';

export interface LayoutOptions {
  client: Pick<KubeClient, 'list'>;
  namespace: string;
  shard: Shard;
  clock: Clock;
  monotonicNow?: () => number;
  log: Log;
}

const LOOK_MS = 1_000;
const DURATION_MS = 15_000;

/**
 * Resolves when no operator of another number of shards leads: called with the own Lease in hand, so of two that begin at
 * once at least one sees the other. A Lease that is not renewed for its duration, by the own clock, is held by nobody.
 */
export async function otherLayoutsGone(options: LayoutOptions, signal: AbortSignal): Promise<void> {
  const { client, namespace, shard, clock, log, monotonicNow = () => performance.now() } = options;
  const seen = new Map<string, { version: string; at: number }>();
  const isHeld = ({ metadata, spec }: LeaseObject): boolean => {
    if (!isOperatorLease(metadata.name) || !spec?.holderIdentity) return false;
    if (countOf(spec.holderIdentity) === shard.count) return false;
    const version = metadata.resourceVersion ?? '';
    const before = seen.get(metadata.name);
    if (before?.version !== version) seen.set(metadata.name, { version, at: monotonicNow() });
    const since = seen.get(metadata.name)?.at ?? 0;
    return monotonicNow() < since + (spec.leaseDurationSeconds ?? DURATION_MS / 1_000) * 1_000;
  };
  for (let told = false; !signal.aborted; told = true) {
    const leases = await client.list<LeaseObject>(LEASE, { namespace, signal }).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ err: error }, 'cannot look for operators of another number of shards');
      return undefined;
    });
    const held = leases?.items.filter(isHeld);
    if (held?.length === 0) return;
    if (!told && held !== undefined)
      log.info(
        { leases: held.map(({ metadata }) => metadata.name) },
        'waiting for operators of another number of shards',
      );
    await clock.sleep(LOOK_MS, signal).catch(() => undefined);
  }
}
