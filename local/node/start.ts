/** The node of the one-machine cluster: kubelet and the controllers that a real cluster runs elsewhere. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { arch, cpus, hostname, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { isAlreadyExists, type KubeClient } from '../../kube/client.js';
import { createEventRecorder } from '../../kube/events.js';
import { ENDPOINT_SLICE, NODE, POD, PVC, SERVICE, type Node as NodeObject } from '../../kube/kinds.js';
import type { Log } from '../../kube/log.js';
import { rfc3339 } from '../../kube/status.js';
import type { Clock } from '../../kube/types.js';
import { ownAddresses, sharedAddress } from './addresses.js';
import { removeOrphans, startClaims } from './controllers/claims.js';
import { startEphemeral } from './controllers/ephemeral.js';
import { startEndpoints } from './controllers/endpoints.js';
import type { ImageMap } from './images.js';
import { startKubelet, type Kubelet } from './kubelet.js';
import { layoutOf } from './layout.js';
import type { Node } from './node.js';
import { createProcessBook } from './spawn.js';
import { watchKind } from './watched.js';

export interface NodeOptions {
  client: KubeClient;
  clock: Clock;
  log: Log;
  /** Absolute folder for volumes, pods and logs. */
  dataDir: string;
  /** From `clusterId`; what an earlier run left under it must have been ended (`endLeftovers`). */
  mark: string;
  images: ImageMap;
  /** Search path of programs for pods. */
  path: string;
  /** Further variables that every pod starts with. */
  env?: Readonly<Record<string, string>>;
  name?: string;
  /** First wait of a crash loop, ms; default 10 s. */
  backoffMs?: number;
}

export interface RunningNode {
  node: Node;
  kubelet: Kubelet;
  /** Ends all pods' processes (with their own grace, at most `graceMs`), then everything else. */
  stop(graceMs?: number): Promise<void>;
}

const STOP_GRACE_MS = 5_000;
const HEARTBEAT_MS = 60_000;

export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { client, clock, log, dataDir } = options;
  const layout = layoutOf(dataDir);
  const { mark } = options;
  await Promise.all(
    [layout.pods, layout.volumes, layout.processes].map((folder) => mkdir(folder, { recursive: true, mode: 0o700 })),
  );
  const work = new Set<Promise<unknown>>();
  const name = options.name ?? 'sandlot';
  const recorder = createEventRecorder({ client, clock, log, component: 'kubelet', instance: name });
  const node: Node = {
    name,
    mark,
    client,
    clock,
    log,
    layout,
    addresses: platform() === 'linux' ? await ownAddresses(dataDir) : sharedAddress(),
    hostIP: '127.0.0.1',
    images: options.images,
    baseEnv: { PATH: options.path, LANG: 'C.UTF-8', ...options.env },
    book: createProcessBook(layout.processes),
    backoffMs: options.backoffMs ?? 10_000,
    event: (pod, event) => recorder.record(POD, pod, event),
    track(promise) {
      const tracked = promise
        .catch((error: unknown) => log.warn({ err: error }, 'background work of the node failed'))
        .finally(() => work.delete(tracked));
      work.add(tracked);
    },
  };
  await registerNode(node);
  const heart = new AbortController();
  node.track(beat(node, heart.signal));

  const watching = { client, clock, log };
  const pods = watchKind(POD, watching);
  const claims = watchKind(PVC, watching);
  const services = watchKind(SERVICE, watching);
  const slices = watchKind(ENDPOINT_SLICE, watching);
  const kubelet = startKubelet(node, pods);
  const controllers = [
    startClaims({ ...watching, layout, claims, pods }),
    startEphemeral({ ...watching, claims, pods }),
    startEndpoints({ ...watching, services, pods, slices }),
  ];
  await Promise.all([pods.synced, claims.synced, services.synced, slices.synced]);
  await removeOrphans(layout, claims.cache.list());
  await removeOldPods(layout.pods, new Set(pods.cache.list().map(({ metadata }) => metadata.uid ?? '')));

  return {
    node,
    kubelet,
    async stop(graceMs = STOP_GRACE_MS) {
      heart.abort();
      await kubelet.stop(graceMs);
      await Promise.all(controllers.map((controller) => controller.stop(1_000)));
      await Promise.all([pods, claims, services, slices].map((watched) => watched.stop()));
      await Promise.all([...work]);
      await recorder.stop();
      node.addresses.close();
    },
  };
}

/** Folders of pods that went while the node was away. */
async function removeOldPods(folder: string, uids: ReadonlySet<string>): Promise<void> {
  for (const uid of await readdir(folder))
    if (!uids.has(uid)) await rm(join(folder, uid), { recursive: true, force: true, maxRetries: 3 });
}

async function registerNode(node: Node): Promise<void> {
  const object: NodeObject = {
    metadata: {
      name: node.name,
      labels: {
        'kubernetes.io/hostname': node.name,
        'kubernetes.io/os': platform(),
        'kubernetes.io/arch': arch() === 'x64' ? 'amd64' : arch(),
      },
    },
    spec: {},
  };
  await node.client.create(NODE, object).catch((error: unknown) => {
    if (!isAlreadyExists(error)) throw error;
  });
  await writeNodeStatus(node, node.clock.now());
}

/** `since`: when the node became what it is now; only heartbeats move after. */
async function writeNodeStatus(node: Node, since: number): Promise<void> {
  const now = rfc3339(node.clock.now());
  const condition = (type: string, status: 'True' | 'False', reason: string, message: string) => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: now,
    lastTransitionTime: rfc3339(since),
  });
  const resources = { cpu: String(cpus().length), memory: `${Math.floor(totalmem() / 1024)}Ki`, pods: '1000' };
  const status = {
    capacity: resources,
    allocatable: resources,
    addresses: [
      { type: 'InternalIP', address: node.hostIP },
      { type: 'Hostname', address: hostname() },
    ],
    conditions: [
      condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'not measured'),
      condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'not measured'),
      condition('Ready', 'True', 'KubeletReady', 'pods run as processes of this machine, without isolation'),
    ],
    nodeInfo: {
      kubeletVersion: 'v1.34.0-sandlot',
      operatingSystem: platform(),
      architecture: arch(),
      kernelVersion: release(),
      containerRuntimeVersion: `process://${process.versions.node}`,
      osImage: platform(),
      machineID: node.mark,
      systemUUID: '',
      bootID: '',
      kubeProxyVersion: '',
    },
  };
  await node.client.patch(NODE, { name: node.name }, { status }, { type: 'merge', subresource: 'status' });
}

async function beat(node: Node, signal: AbortSignal): Promise<void> {
  const since = node.clock.now();
  while (!signal.aborted) {
    await node.clock.sleep(HEARTBEAT_MS, signal).catch(() => undefined);
    if (!signal.aborted)
      await writeNodeStatus(node, since).catch((error: unknown) => node.log.debug({ err: error }, 'no heartbeat'));
  }
}
