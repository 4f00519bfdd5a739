/** One pod on this node, from its first process to its last: address, volumes, init containers, containers, end. */
import { mkdir, rm } from 'node:fs/promises';
import { isNotFound } from '../../kube/client.js';
import { PVC, type Container, type PersistentVolumeClaim, type Pod } from '../../kube/kinds.js';
import { claimsOf } from './controllers/claims.js';
import { createContainerRunner, earlier, type ContainerRunner, type PodContext } from './container.js';
import type { PodFacts } from './fields.js';
import type { Node } from './node.js';
import { killAll } from './processes.js';
import { readReferences } from './references.js';
import { freshFacts, type ContainerFacts, type PodSnapshot } from './status.js';
import { makeVolumes, VolumeError } from './volumes.js';

export interface PodRuntime {
  readonly uid: string;
  /** The newest declaration; only metadata may differ from the first. */
  update(pod: Pod): void;
  pod(): Pod;
  snapshot(): PodSnapshot;
  /** Ends all processes; resolves when none is left. A later call can only shorten the grace. */
  stop(graceMs: number): Promise<void>;
  /** Removes its folder. Only after stop. */
  clean(): Promise<void>;
  /** Gives its address back. */
  release(): void;
  container(name: string): ContainerRunner | undefined;
}

/** Waits for volumes: short at first, because a claim is usually bound a moment later. */
const VOLUME_RETRY = { firstMs: 25, capMs: 2_000 };

export function startPod(node: Node, first: Pod, changed: () => void): PodRuntime {
  let pod = first;
  const uid = first.metadata.uid ?? '';
  const namespace = first.metadata.namespace ?? 'default';
  const { clock } = node;
  const stopping = new AbortController();
  const startedAt = clock.now();
  const podIP = node.addresses.take(uid, first.status?.podIP);
  let folders: ReadonlyMap<string, string> | undefined;
  const runners = new Map<string, ContainerRunner>();
  let stopPromise: Promise<void> | undefined;

  const facts = (): PodFacts => ({ pod, podIP: podIP ?? node.hostIP, hostIP: node.hostIP, nodeName: node.name });
  const readClaims = async (): Promise<Map<string, PersistentVolumeClaim>> => {
    const found = await Promise.all(
      claimsOf(pod).map((name) =>
        node.client.get(PVC, { namespace, name }, { signal: stopping.signal }).catch((error: unknown) => {
          if (isNotFound(error)) return undefined;
          throw error;
        }),
      ),
    );
    return new Map(found.flatMap((claim) => (claim === undefined ? [] : [[claim.metadata.name, claim] as const])));
  };
  const references = () => readReferences(node.client, pod, stopping.signal);

  /** Tries until volumes are there. */
  const prepare = async (): Promise<ReadonlyMap<string, string>> => {
    const { root, home, tmp, logs, volumes } = node.layout.pod(uid);
    await mkdir(root, { recursive: true, mode: 0o700 });
    await Promise.all([home, tmp, logs, volumes].map((folder) => mkdir(folder, { recursive: true, mode: 0o700 })));
    for (let wait = VOLUME_RETRY.firstMs; ; wait = Math.min(2 * wait, VOLUME_RETRY.capMs)) {
      try {
        const [claims, found] = await Promise.all([readClaims(), references()]);
        const claim = (name: string) => claims.get(name);
        return await makeVolumes({ facts: facts(), layout: node.layout, references: found, claim });
      } catch (error) {
        stopping.signal.throwIfAborted();
        const message = error instanceof Error ? error.message : String(error);
        if (!(error instanceof VolumeError)) node.log.warn({ err: error, pod: pod.metadata.name }, 'no volumes');
        if (wait > 500) node.event(pod, { type: 'Warning', reason: 'FailedMount', message });
        await clock.sleep(wait, stopping.signal);
      }
    }
  };

  const runnerOf = (container: Container, context: PodContext, policy: 'Always' | 'OnFailure' | 'Never') => {
    const runner = createContainerRunner(context, { container, policy, hasInit: false });
    runners.set(container.name, runner);
    return runner;
  };
  const run = async (): Promise<void> => {
    folders = await prepare();
    const context: PodContext = { node, first, pod: () => pod, facts, folders, references, changed };
    changed();
    const policy = pod.spec.restartPolicy ?? 'Always';
    for (const container of pod.spec.initContainers ?? []) {
      const sidecar = container.restartPolicy === 'Always';
      const runner = runnerOf(container, context, sidecar ? 'Always' : policy === 'Never' ? 'Never' : 'OnFailure');
      const ended = runner.run();
      if (sidecar) await untilStarted(runner, stopping.signal);
      else await ended;
      const { state } = runner.facts();
      // A failed init container under restartPolicy Never fails the pod.
      if (stopping.signal.aborted || (!sidecar && state.type === 'terminated' && state.exitCode !== 0)) return;
    }
    const all = pod.spec.containers.map((container) => runnerOf(container, context, policy));
    await Promise.all(all.map((runner) => runner.run()));
    // Sidecars end with the last container.
    await Promise.all([...runners.values()].map((runner) => runner.stop(graceMsOf(pod))));
  };
  const untilStarted = async (runner: ContainerRunner, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted && !runner.facts().started) await clock.sleep(50, signal).catch(() => undefined);
  };
  const running = run()
    .catch((error: unknown) => {
      if (!stopping.signal.aborted) node.log.error({ err: error, pod: pod.metadata.name }, 'a pod could not be run');
    })
    .finally(changed);

  const factsOf = (container: Container, hasInit: boolean): ContainerFacts =>
    runners.get(container.name)?.facts() ?? { ...freshFacts(container, hasInit), ...earlier(first, container) };

  const stop = async (graceMs: number): Promise<void> => {
    stopping.abort();
    await Promise.all([...runners.values()].map((runner) => runner.stop(graceMs)));
    await running;
    await killAll({ markPrefix: `${node.mark}/${uid}/`, leaders: [] }, (ms) => clock.sleep(ms));
  };

  return {
    uid,
    update: (next) => void (pod = next),
    pod: () => pod,
    snapshot: () => ({
      podIP,
      hostIP: node.hostIP,
      startedAt,
      sandboxReady: folders !== undefined,
      init: (pod.spec.initContainers ?? []).map((container) => factsOf(container, false)),
      containers: pod.spec.containers.map((container) =>
        factsOf(container, (pod.spec.initContainers ?? []).length > 0),
      ),
    }),
    stop: (graceMs) => {
      const earlier = stopPromise;
      stopPromise = stop(graceMs);
      return earlier === undefined ? stopPromise : Promise.all([earlier, stopPromise]).then(() => undefined);
    },
    clean: () => rm(node.layout.pod(uid).root, { recursive: true, force: true, maxRetries: 3 }),
    release: () => node.addresses.release(uid),
    container: (name) => runners.get(name),
  };
}

export const graceMsOf = (pod: Pod): number =>
  (pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
