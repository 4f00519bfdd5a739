import { KubeError, type KubeClient } from '../client.js';
import { startLeaderElection, type LeaderElection, type LeaseOptions } from '../lease.js';
import type { LeaseObject } from '../objects.js';
import type { FakeClock } from './clock.js';
import type { KubeObject } from '../types.js';

const conflict = () => new KubeError('c', { code: 409, reason: 'Conflict' });
const notFound = () => new KubeError('n', { code: 404, reason: 'NotFound' });

/** One Lease behind optimistic concurrency, that nobody holds at first, with switches for faults. */
export function leaseServer() {
  let stored: LeaseObject | undefined = { metadata: { name: 'l', namespace: 'n', resourceVersion: '1' }, spec: {} };
  let version = 1;
  const down = new Set<string>();
  const clientOf = (who: string): Pick<KubeClient, 'get' | 'create' | 'replace'> => {
    const put = <T extends KubeObject>(object: T): T => {
      stored = structuredClone({
        ...object,
        metadata: { ...object.metadata, resourceVersion: String(++version) },
      }) as unknown as LeaseObject;
      return structuredClone(stored) as unknown as T;
    };
    const reach = (): void => {
      if (down.has(who)) throw new KubeError('down', { code: 0, reason: 'Timeout' });
    };
    return {
      get: async <T extends KubeObject>() => {
        reach();
        if (stored === undefined) throw notFound();
        return structuredClone(stored) as unknown as T;
      },
      create: async (_kind, object) => {
        reach();
        if (stored !== undefined) throw new KubeError('a', { code: 409, reason: 'AlreadyExists' });
        return put(object);
      },
      replace: async (_kind, object) => {
        reach();
        if (stored?.metadata.resourceVersion !== object.metadata.resourceVersion) throw conflict();
        return put(object);
      },
    };
  };
  return { clientOf, down, spec: () => stored?.spec, remove: () => void (stored = undefined) };
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** An election on a clock that only the test moves, whose leader does nothing but lead. */
export function electionOn(
  clock: FakeClock,
  options: Pick<LeaseOptions, 'client' | 'identity'> & Partial<LeaseOptions>,
): LeaderElection {
  return startLeaderElection({
    namespace: 'n',
    name: 'l',
    clock,
    monotonicNow: clock.now,
    log: silent,
    random: () => 0,
    lead: (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    ...options,
  });
}
