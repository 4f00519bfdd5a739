/** Plays scheduler and kubelet for the pods of one namespace: binds them, makes their ephemeral claims and them ready, lets them go. */
import { POD, PVC, type ContainerStatus, type Pod, type PodStatus } from '../../kube/kinds.js';
import type { Kind, KubeObject } from '../../kube/types.js';
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from '../../kube/client.js';

export interface Kubelet {
  /** Pods that must stay as they are created are left alone from now on. */
  hold(on: boolean): void;
  /** Ends a pod as the node would: phase Failed. */
  fail(name: string, status: Partial<PodStatus>): Promise<void>;
  patch(name: string, status: Partial<PodStatus>): Promise<void>;
  stop(): Promise<void>;
}

const NODE = 'test-node';
/** The same kind, for bodies that are no pods. */
const PODS: Kind = POD;

export function startKubelet(client: KubeClient, namespace: string): Kubelet {
  const stopping = new AbortController();
  let held = false;
  const patch = async (name: string, status: Partial<PodStatus>): Promise<void> => {
    await client.patch(POD, { namespace, name }, { status }, { type: 'merge', subresource: 'status' });
  };
  const tolerant = (error: unknown): void => {
    if (!isNotFound(error) && !isConflict(error) && !stopping.signal.aborted) throw error;
  };
  /** On a real control plane its own controller is mostly faster. */
  const claims = async ({ metadata: { name, uid = '' }, spec }: Pod): Promise<void> => {
    for (const volume of spec.volumes ?? []) {
      if (volume.ephemeral === undefined) continue;
      const { metadata, spec: wanted } = volume.ephemeral.volumeClaimTemplate;
      const ownerReferences = [{ apiVersion: 'v1', kind: 'Pod', name, uid, controller: true }];
      const claim = {
        metadata: { ...metadata, name: `${name}-${volume.name}`, namespace, ownerReferences },
        spec: wanted,
      };
      await client.create(PVC, claim).catch((error: unknown) => (isAlreadyExists(error) ? undefined : tolerant(error)));
    }
  };
  const handle = async (pod: Pod): Promise<void> => {
    const { name, uid = '' } = pod.metadata;
    if (pod.metadata.deletionTimestamp !== undefined) {
      await client.delete(POD, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } }).catch(tolerant);
    } else if (pod.status?.phase === 'Failed' || held) {
      return;
    } else if (pod.spec.nodeName === undefined) {
      await claims(pod);
      const metadata = { name, namespace };
      const binding = { apiVersion: 'v1', kind: 'Binding', metadata, target: { kind: 'Node', name: NODE } };
      await client.create<KubeObject>(PODS, binding, { subresource: 'binding' }).catch(tolerant);
      await patch(name, running(pod)).catch(tolerant);
    }
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await client.watch(POD, { namespace, signal: stopping.signal }, ({ type, object }) => {
          if (type === 'ADDED' || type === 'MODIFIED') void handle(object);
        });
      } catch (error) {
        if (!stopping.signal.aborted) throw error;
      }
    }
  };
  const ended = loop();
  return {
    hold: (on) => void (held = on),
    patch,
    fail: (name, status) => patch(name, { phase: 'Failed', ...status }),
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}

/** Status of a pod whose agent server answers on loopback. */
export function running(pod: Pod, ip = '127.0.0.1'): PodStatus {
  const now = new Date().toISOString();
  const container: ContainerStatus = {
    name: 'agent',
    ready: true,
    started: true,
    restartCount: 0,
    image: pod.spec.containers[0]?.image ?? '',
    imageID: '',
    state: { running: { startedAt: now } },
  };
  return {
    phase: 'Running',
    podIP: ip,
    podIPs: [{ ip }],
    startTime: now,
    conditions: ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({
      type,
      status: 'True' as const,
      lastTransitionTime: now,
    })),
    containerStatuses: [container],
  };
}
