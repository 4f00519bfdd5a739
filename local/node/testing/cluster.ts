/** A one-machine cluster in this process for suites: API server and node, on a free port, in a folder of its own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type KubeClient } from '../../../kube/client.js';
import { kubeConfigOf } from '../../../kube/config.js';
import { POD, type Pod, type PodSpec } from '../../../kube/kinds.js';
import { systemClock } from '../../../process/clock.js';
import { createLog } from '../../../process/log.js';
import { startApi, type LocalApi } from '../../api/api.js';
import { endLeftovers } from '../leftovers.js';
import { layoutOf } from '../layout.js';
import { clusterId } from '../node.js';
import { startNode, type RunningNode } from '../start.js';
import { createPodHandlers } from '../streams/handlers.js';

export interface TestCluster {
  folder: string;
  kubeconfig: string;
  api: LocalApi;
  client: KubeClient;
  node: RunningNode;
  /** As a reboot: everything ends, then starts again on the same folder. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const TOKEN = 'a-token-for-tests-0123456789abcdef';

export async function startCluster(): Promise<TestCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'sandlot-node-'));
  const log = createLog({ name: 'node', level: 'warn', destination: { write: () => undefined } });
  const kubeconfig = join(folder, 'kubeconfig');
  const begin = async () => {
    const api = await startApi({ dataDir: join(folder, 'kube'), host: '127.0.0.1', port: 0, token: TOKEN, log });
    await writeFile(kubeconfig, api.kubeconfig(), { mode: 0o600 });
    const client = createClient(kubeConfigOf({ server: api.url, token: TOKEN, namespace: 'default' }));
    const mark = await clusterId(folder);
    await endLeftovers({ mark, folder: layoutOf(folder).processes }, (ms) => systemClock.sleep(ms));
    const node = await startNode({
      client,
      clock: systemClock,
      log,
      dataDir: folder,
      mark,
      images: { 'test/sleeper': ['sleep', '1000'] },
      path: process.env['PATH'] ?? '',
      backoffMs: 200,
    });
    api.setPodHandlers(createPodHandlers(node));
    return { api, client, node };
  };
  const cluster: TestCluster = {
    folder,
    kubeconfig,
    ...(await begin()),
    async restart() {
      await end();
      Object.assign(cluster, await begin());
    },
    async stop() {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
  const end = async () => {
    await cluster.node.stop(500);
    await cluster.client.close();
    await cluster.api.close();
  };
  return cluster;
}

export async function createPod(cluster: TestCluster, name: string, spec: PodSpec, labels = {}): Promise<Pod> {
  return await cluster.client.create(POD, {
    metadata: { name, namespace: 'default', labels },
    spec: { terminationGracePeriodSeconds: 1, ...spec },
  });
}

/** The pod once `look` is content with it; the error says what it was last. */
export async function podUntil(
  cluster: TestCluster,
  name: string,
  what: string,
  look: (pod: Pod) => boolean,
): Promise<Pod> {
  const end = Date.now() + 30_000;
  for (;;) {
    const pod = await cluster.client.get(POD, { namespace: 'default', name });
    if (look(pod)) return pod;
    if (Date.now() > end) throw new Error(`pod ${name} did not become ${what}: ${JSON.stringify(pod.status)}`);
    await systemClock.sleep(30);
  }
}

export const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
