/** Plays scheduler and kubelet for the pods of one namespace: binds them, makes their ephemeral claims and them ready, lets them go. */
import { setTimeout as sleep } from 'node:timers/promises';
import { POD, PVC, type ContainerStatus, type Pod, type PodStatus } from '../../kube/kinds.js';
import type { Kind, KubeObject } from '../../kube/types.js';
import { isAlreadyExists, isConflict, isNotFound, KubeError, type KubeClient } from '../../kube/client.js';

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
/** A busy machine's API server leaves a call unanswered now and then. */
const TRIES = 6;
const FIRST_RETRY_MS = 100;
const isPassing = (error: unknown): boolean =>
  error instanceof KubeError && (error.code === 0 || error.code === 429 || error.code >= 500);

/** All calls may be repeated. Rejects with what was to be done and the last error. */
async function persist(what: string, signal: AbortSignal, run: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await run();
      return;
    } catch (error) {
      if (isNotFound(error) || isConflict(error) || isAlreadyExists(error)) throw error;
      if (signal.aborted || !isPassing(error) || tries === TRIES)
        throw new Error(`the test's kubelet could not ${what}, ${tries} times: ${String(error)}`, { cause: error });
    }
    await sleep(FIRST_RETRY_MS * 2 ** (tries - 1));
  }
}

export function startKubelet(client: KubeClient, namespace: string): Kubelet {
  const stopping = new AbortController();
  let held = false;
  const patch = async (name: string, status: Partial<PodStatus>): Promise<void> => {
    await persist(`write the status of pod ${name}`, stopping.signal, () =>
      client.patch(POD, { namespace, name }, { status }, { type: 'merge', subresource: 'status' }),
    );
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
      await persist(`create claim ${claim.metadata.name}`, stopping.signal, () => client.create(PVC, claim)).catch(
        (error: unknown) => (isAlreadyExists(error) ? undefined : tolerant(error)),
      );
    }
  };
  const handle = async (pod: Pod): Promise<void> => {
    const { name, uid = '' } = pod.metadata;
    if (pod.metadata.deletionTimestamp !== undefined) {
      const now = { gracePeriodSeconds: 0, preconditions: { uid } };
      await persist(`let pod ${name} go`, stopping.signal, () => client.delete(POD, { namespace, name }, now)).catch(
        tolerant,
      );
    } else if (pod.status?.phase === 'Failed' || held) {
      return;
    } else if (pod.spec.nodeName === undefined) {
      await claims(pod);
      const metadata = { name, namespace };
      const binding = { apiVersion: 'v1', kind: 'Binding', metadata, target: { kind: 'Node', name: NODE } };
      await persist(`bind pod ${name}`, stopping.signal, () =>
        client.create<KubeObject>(PODS, binding, { subresource: 'binding' }),
      ).catch(tolerant);
      await patch(name, running(pod)).catch(tolerant);
    }
  };
  /** Each watch begins with what is there. */
  const watch = () =>
    client.watch(POD, { namespace, signal: stopping.signal }, ({ type, object }) => {
      if (type === 'ADDED' || type === 'MODIFIED') void handle(object);
    });
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await persist('watch pods', stopping.signal, watch).catch(tolerant);
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
