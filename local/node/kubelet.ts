/** The kubelet: what the API declares for this node becomes processes, and what they do becomes status. */
import { isConflict, isNotFound } from '../../kube/client.js';
import { keyOf } from '../../kube/cache.js';
import { done, retry, startController, wait, type Outcome } from '../../kube/controller.js';
import { BINDING, POD, type Pod, type PodStatus } from '../../kube/kinds.js';
import { mergePatch } from '../../kube/status.js';
import type { Node } from './node.js';
import { graceMsOf, startPod, type PodRuntime } from './pod.js';
import { phaseOf, podStatus } from './status.js';
import type { Watched } from './watched.js';

export interface Kubelet {
  /** The running pod, for logs, exec and port-forward. */
  runtime(uid: string): PodRuntime | undefined;
  /** Ends all processes of all pods; the pods stay declared. Grace is cut to `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

const WORKERS = 16;

interface Held {
  runtime: PodRuntime;
  written: PodStatus | undefined;
  stopping?: Promise<void>;
  stopped: boolean;
}

export function startKubelet(node: Node, watched: Watched<Pod>): Kubelet {
  const { client, clock, log } = node;
  const pods = watched.cache;
  const held = new Map<string, Held>();
  const stopping = new AbortController();

  const controller = startController({
    name: 'kubelet',
    reconcile: (key) => reconcile(key),
    clock,
    log,
    workers: WORKERS,
    signal: stopping.signal,
  });
  watched.subscribe((pod, old) => {
    const { uid } = pod?.metadata ?? {};
    // Addresses that pods had are theirs before new ones are handed out.
    if (pod !== undefined && uid !== undefined && pod.status?.podIP !== undefined && !isOver(pod))
      node.addresses.take(uid, pod.status.podIP);
    const key = pod ?? old;
    if (key !== undefined) controller.add(keyOf(key));
  });

  const reconcile = async (key: string): Promise<Outcome> => {
    const pod = pods.get(key);
    const known = held.get(key);
    if (known !== undefined && known.runtime.uid !== pod?.metadata.uid)
      return await forget(key, known, pod?.metadata.uid);
    if (pod === undefined) return done;
    if (pod.spec.nodeName === undefined || pod.spec.nodeName === '')
      return pod.metadata.deletionTimestamp ? done : await bind(pod);
    if (pod.spec.nodeName !== node.name) return done;
    if (pod.metadata.deletionTimestamp !== undefined) return await terminate(key, pod, known);
    if (isOver(pod)) return done;
    const mine = known ?? start(key, pod);
    mine.runtime.update(pod);
    await writeStatus(pod, mine);
    return done;
  };

  const start = (key: string, pod: Pod): Held => {
    const mine: Held = { runtime: startPod(node, pod, () => controller.add(key)), written: undefined, stopped: false };
    held.set(key, mine);
    return mine;
  };

  /** The scheduler of a cluster with one node. */
  const bind = async (pod: Pod): Promise<Outcome> => {
    const { name, namespace, uid } = pod.metadata;
    const binding = {
      metadata: { name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }) },
    };
    try {
      await client.raw({
        method: 'POST',
        path: `/api/v1/namespaces/${namespace ?? 'default'}/pods/${name}/binding`,
        body: JSON.stringify({
          apiVersion: 'v1',
          kind: BINDING.kind,
          ...binding,
          target: { apiVersion: 'v1', kind: 'Node', name: node.name },
        }),
        headers: { 'content-type': 'application/json' },
      });
      node.event(pod, { reason: 'Scheduled', message: `Successfully assigned ${keyOf(pod)} to ${node.name}` });
    } catch (error) {
      // Deleted, or bound by an earlier try: the watch tells.
      if (!isNotFound(error) && !isConflict(error)) return retry(error);
    }
    return done;
  };

  const beginStop = (key: string, mine: Held, graceMs: number): void => {
    mine.stopping = mine.runtime.stop(graceMs).finally(() => {
      mine.stopped = true;
      controller.add(key);
    });
    node.track(mine.stopping);
  };

  /** Deleted by force, or replaced by another of the same name: its processes go at once. */
  const forget = async (key: string, mine: Held, next: string | undefined): Promise<Outcome> => {
    if (mine.stopping === undefined || !mine.stopped) {
      if (mine.stopping === undefined) beginStop(key, mine, 0);
      else node.track(mine.runtime.stop(0));
      return wait(5_000, 'the processes of a deleted pod are being ended');
    }
    await mine.runtime.clean();
    mine.runtime.release();
    held.delete(key);
    if (next !== undefined) controller.add(key);
    return done;
  };

  const terminate = async (key: string, pod: Pod, known: Held | undefined): Promise<Outcome> => {
    if (known !== undefined) {
      known.runtime.update(pod);
      if (known.stopping === undefined) {
        for (const { name } of pod.spec.containers)
          node.event(pod, { reason: 'Killing', message: `Stopping container ${name}` });
        beginStop(key, known, graceMsOf(pod));
      }
      await writeStatus(pod, known);
      if (!known.stopped) return done;
    }
    await known?.runtime.clean();
    // The last word: the object goes, and its address is free for others.
    const { uid } = pod.metadata;
    await client
      .delete(POD, pod.metadata, { gracePeriodSeconds: 0, ...(uid === undefined ? {} : { preconditions: { uid } }) })
      .catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
    known?.runtime.release();
    held.delete(key);
    return done;
  };

  const writeStatus = async (pod: Pod, mine: Held): Promise<void> => {
    const before = mine.written ?? pod.status ?? {};
    const snapshot = mine.runtime.snapshot();
    const status = podStatus({ ...pod, status: before }, snapshot, clock.now());
    const patch = mergePatch(before, { ...before, ...status });
    if (patch === undefined) return;
    mine.written = { ...before, ...status };
    try {
      await client.patch(
        POD,
        pod.metadata,
        { metadata: { uid: pod.metadata.uid }, status: patch },
        { type: 'merge', subresource: 'status' },
      );
    } catch (error) {
      mine.written = undefined;
      if (!isNotFound(error)) throw error;
    }
    if (phaseOf(pod, snapshot) === 'Failed' || phaseOf(pod, snapshot) === 'Succeeded')
      log.debug({ pod: keyOf(pod) }, 'a pod has ended');
  };

  return {
    runtime: (uid) => [...held.values()].find(({ runtime }) => runtime.uid === uid)?.runtime,
    async stop(graceMs) {
      await controller.stop(1_000);
      stopping.abort();
      await Promise.all(
        [...held.values()].map(({ runtime }) => runtime.stop(Math.min(graceMs, graceMsOf(runtime.pod())))),
      );
    },
  };
}

const isOver = ({ status }: Pod): boolean => status?.phase === 'Succeeded' || status?.phase === 'Failed';
