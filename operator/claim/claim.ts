/**
 * Taking over a warm pod: a reservation in memory, one conditional patch that makes the pod the sandbox's, and the keys by
 * POST /api/init. Two sandboxes never get the same pod: within the process by the reservation, between processes by the
 * resourceVersion in the patch.
 */
import { ANNOTATION, LABEL, MANAGER } from '../../contracts/labels.js';
import { agentSecretKey, initKey, sessionKey } from '../../contracts/keys.js';
import type { Sandbox } from '../../contracts/resources.js';
import { keyOf } from '../../kube/cache.js';
import type { KubeClient } from '../../kube/client.js';
import { isConflict, isNotFound } from '../../kube/errors.js';
import { POD, type Pod } from '../../kube/kinds.js';
import type { Log } from '../../kube/log.js';
import { agentTarget, type AgentClient } from '../agent.js';
import { claimedLabels, ownerReference } from '../build/meta.js';
import type { Children } from '../children.js';
import type { TemplateHash } from '../pool/warm.js';
import { claimableKey, claimableOf, isReady, trimPod, type World } from '../world.js';

export interface Claimer {
  /** How many pods of a pool (`namespace/name`) could be claimed now. `hash`: the part of the template's that must fit. */
  available(pool: string, hash: string): number;
  /** Keeps a pod from being claimed while it is removed; false when a claim has it. */
  reserve(pod: Pod): boolean;
  release(pod: Pod): void;
  /** An initialised pod that belongs to the sandbox, or undefined when the pool has none. Rejects with KubeErrors. */
  claim(request: ClaimRequest): Promise<Pod | undefined>;
  /** Gives the keys to a pod that belongs to the sandbox already. */
  initialise(pod: Pod, epoch: number, signal: AbortSignal): Promise<'ready' | 'refused'>;
}

export interface ClaimRequest {
  sandbox: Sandbox;
  pool: string;
  hash: TemplateHash;
  epoch: number;
  signal: AbortSignal;
}

export interface ClaimerOptions {
  client: Pick<KubeClient, 'patch' | 'get'>;
  world: Pick<World, 'pods'>;
  children: Pick<Children, 'deletePod'>;
  agents: Pick<AgentClient, 'initialise'>;
  secret: string;
  log: Log;
  /** A pod left the pool: it should be refilled. */
  taken(pool: string): void;
  /** How a claim ended, for metrics. */
  count(result: 'claimed' | 'dry' | 'conflict' | 'discarded'): void;
}

/** Pods that one claim may throw away before it goes on without the pool. */
const DISCARDS = 3;
const CONFLICTS = 3;
/** Pods that one claim may lose to others. */
const ROUNDS = 12;

export function createClaimer(options: ClaimerOptions): Claimer {
  const { client, world, children, agents, secret, log, count } = options;
  const reserved = new Set<string>();

  const free = (pod: Pod): boolean => !reserved.has(keyOf(pod));
  /** Reserved pods are few: at most one for each worker. */
  const available = (pool: string, hash: string): number => {
    const key = claimableKey(pool, hash);
    const held = [...reserved].filter((name) => {
      const pod = world.pods.get(name);
      return pod !== undefined && claimableOf(pod).includes(key);
    });
    return world.pods.count('claimable', key) - held.length;
  };

  const initialise = async (pod: Pod, epoch: number, signal: AbortSignal): Promise<'ready' | 'refused'> => {
    const target = agentTarget(pod);
    const slot = pod.metadata.labels?.[LABEL.slot];
    if (target === undefined || slot === undefined) return 'refused';
    const keys = {
      initKey: initKey(secret, slot),
      sessionKey: sessionKey(secret, slot, epoch),
      secretKey: agentSecretKey(secret, slot),
    };
    return agents.initialise(target, keys, signal);
  };

  /** The pod as the sandbox's own, or undefined when it is not to be had any more. */
  const take = async (warm: Pod, request: ClaimRequest): Promise<Pod | undefined> => {
    let pod = warm;
    for (let round = 0; round < CONFLICTS; round++) {
      try {
        return await patch(pod, request);
      } catch (error) {
        if (isNotFound(error)) world.pods.noteGone(pod);
        if (!isConflict(error)) return isNotFound(error) ? undefined : Promise.reject(error);
        count('conflict');
        // Mostly the kubelet's status update; the pod itself may still be free.
        pod = await client.get(POD, pod.metadata, { signal: request.signal });
        world.pods.note(trimPod(pod));
        const stillWarm = pod.metadata.labels?.[LABEL.sandbox] === undefined && isReady(pod);
        if (!stillWarm || pod.metadata.uid !== warm.metadata.uid) return undefined;
      }
    }
    return undefined;
  };
  const patch = async (pod: Pod, { sandbox, epoch, signal }: ClaimRequest): Promise<Pod> => {
    const { name, namespace = '', uid = '' } = sandbox.metadata;
    const { resourceVersion } = pod.metadata;
    const metadata = {
      resourceVersion,
      uid: pod.metadata.uid,
      labels: claimedLabels({ name, owner: sandbox.spec.owner }),
      annotations: { [ANNOTATION.keyEpoch]: String(epoch) },
      ownerReferences: [ownerReference({ kind: 'sandbox', name, namespace, uid })],
    };
    const claimed = await client.patch(
      POD,
      pod.metadata,
      { metadata },
      { type: 'merge', fieldManager: MANAGER, signal },
    );
    const trimmed = trimPod(claimed);
    world.pods.note(trimmed);
    return trimmed;
  };
  const discard = async (pod: Pod, signal: AbortSignal): Promise<void> => {
    const { name, namespace = '', uid = '' } = pod.metadata;
    count('discarded');
    log.warn({ pod: name, namespace }, 'a warm pod could not be initialised and is thrown away');
    await children.deletePod({ name, namespace, uid }, false, signal);
    world.pods.noteGone(pod);
  };

  return {
    available,
    reserve(pod) {
      const key = keyOf(pod);
      if (reserved.has(key)) return false;
      reserved.add(key);
      return true;
    },
    release: (pod) => void reserved.delete(keyOf(pod)),
    initialise,
    async claim(request) {
      const { pool, hash, epoch, signal } = request;
      for (let round = 0, discards = 0; round < ROUNDS && discards < DISCARDS; round++) {
        // Pods of the newest template first; while it rolls out, an older one that fits is better than none.
        const find = (one: string) => world.pods.first('claimable', claimableKey(pool, one), free);
        const warm = find(hash.whole) ?? find(hash.fit);
        if (warm === undefined) break;
        reserved.add(keyOf(warm));
        try {
          const pod = await take(warm, request);
          if (pod === undefined) continue;
          options.taken(pool);
          if ((await initialise(pod, epoch, signal)) === 'ready') {
            count('claimed');
            return pod;
          }
          await discard(pod, signal);
          discards += 1;
        } finally {
          reserved.delete(keyOf(warm));
        }
      }
      count('dry');
      return undefined;
    },
  };
}
