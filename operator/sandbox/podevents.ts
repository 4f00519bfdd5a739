/**
 * Why the container of a pod is not created. Volumes that do not mount and a pod sandbox (network, runtime) that is not made
 * leave no word in the pod's status, only Events. They are read for pods that stay in that state, and for no others.
 */
import type { KubeClient } from '../../kube/client.js';
import { KubeError } from '../../kube/errors.js';
import { EVENT, type CoreEvent, type Pod } from '../../kube/kinds.js';
import type { Clock } from '../../kube/types.js';
import { timeMs } from '../durations.js';
import { filled, type Bucket } from '../pool/bucket.js';
import type { PodState } from './podstate.js';

/** The kubelet's and the attach controller's own words. */
export const TELLING: ReadonlySet<string> = new Set([
  'FailedMount',
  'FailedAttachVolume',
  'FailedMapVolume',
  'FailedCreatePodSandBox',
]);
const MESSAGE_LIMIT = 500;
/** Most Events that one question answers. */
const LIMIT = 50;
const TIMEOUT_MS = 5_000;
/** A container that is not created for this long after its pod, ms, has a reason that only the pod's Events tell. */
const QUIET_MS = 10_000;
/** They are read again this often, ms, while that lasts. */
const EVERY_MS = 30_000;
/** Of all pods together: a thousand that hang at once must not become a thousand lists. */
const RATE = { perSecond: 2, burst: 10 };

export interface Trouble {
  reason: string;
  message: string;
}

/** Its status does not tell what it waits for. */
export const isQuiet = ({ kind, ready }: PodState): boolean =>
  kind === 'starting' && ready.reason === 'ContainerCreating';

/** When the Events of a pod that is quiet are due, ms since 1970; `readAt`: when they were read last. */
export const readAtMs = (pod: Pod, readAt: number | undefined, now: number): number =>
  readAt === undefined ? (timeMs(pod.metadata.creationTimestamp) ?? now) + QUIET_MS : readAt + EVERY_MS;

/** The newest Event that tells why. */
export function troubleOf(events: readonly CoreEvent[], pod: Pod): Trouble | undefined {
  const [newest] = events
    .filter(({ involvedObject, reason }) => involvedObject.uid === pod.metadata.uid && TELLING.has(reason ?? ''))
    .sort((a, b) => lastSeen(b) - lastSeen(a));
  if (newest === undefined) return undefined;
  const { reason = '', message = '' } = newest;
  return { reason, message: message.slice(0, MESSAGE_LIMIT) || reason };
}

const lastSeen = ({ lastTimestamp, eventTime, metadata }: CoreEvent): number =>
  timeMs(lastTimestamp ?? eventTime ?? metadata.creationTimestamp) ?? 0;

export interface PodEvents {
  /** Undefined also when they cannot be read now: that must hold nothing up, and takes back nothing told before. */
  trouble(pod: Pod, signal: AbortSignal): Promise<Trouble | undefined>;
}

export function createPodEvents(client: Pick<KubeClient, 'list'>, clock: Clock): PodEvents {
  let bucket: Bucket | undefined;
  return {
    async trouble(pod, signal) {
      bucket = filled(bucket, RATE, clock.now());
      if (bucket.tokens < 1) return undefined;
      bucket.tokens -= 1;
      const { namespace, uid = '' } = pod.metadata;
      const fieldSelector = `involvedObject.uid=${uid},type=Warning`;
      try {
        const { items } = await client.list(EVENT, {
          namespace,
          fieldSelector,
          limit: LIMIT,
          timeoutMs: TIMEOUT_MS,
          signal,
        });
        return troubleOf(items, pod);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof KubeError) return undefined;
        throw error;
      }
    },
  };
}
