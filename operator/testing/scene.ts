/** One namespace with its operator, its nodes and its agent servers, for suites. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  isReady,
  SANDBOX,
  SANDBOX_POOL,
  SANDBOX_TEMPLATE,
  type Sandbox,
  type SandboxPool,
  type SandboxSpec,
  type SandboxTemplate,
} from '../../contracts/resources.js';
import type { KubeClient } from '../../kube/client.js';
import { POD, type Pod } from '../../kube/kinds.js';
import { LIMITS, startOperator, type Operator, type OperatorOptions } from '../operator.js';
import { startAgents, type FakeAgents } from './agents.js';
import type { Cluster } from '../../test/support/cluster.js';
import { startKubelet, type Kubelet } from './kubelet.js';
import { until } from './until.js';

export const secret = 'a secret of the installation, for tests';
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const clock = {
  now: () => Date.now(),
  sleep: async (ms: number, signal?: AbortSignal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  },
};
const limits = { ...LIMITS, crash: { ...LIMITS.crash, firstDelayMs: 100, maxDelayMs: 400, budget: 2 } };

export interface Scene {
  namespace: string;
  kubelet: Kubelet;
  agents: FakeAgents;
  operator: Operator;
  /** Ends this operator and starts another one, as after a crash. */
  restart(client?: KubeClient): Promise<void>;
  sandbox(name: string, spec?: SandboxSpec): Promise<Sandbox>;
  get(name: string): Promise<Sandbox>;
  patch(name: string, spec: Partial<SandboxSpec>): Promise<Sandbox>;
  ready(name: string): Promise<Sandbox>;
  /** The sandbox once `match` holds. */
  when(what: string, name: string, match: (sandbox: Sandbox) => boolean): Promise<Sandbox>;
  pods(): Promise<Pod[]>;
  pool(replicas: number, template?: Partial<SandboxTemplate['spec']>): Promise<void>;
  warmReady(count: number): Promise<void>;
  close(): Promise<void>;
}

export async function startScene(
  cluster: Cluster,
  first: KubeClient = cluster.client,
  options: Pick<OperatorOptions, 'policy'> = {},
): Promise<Scene> {
  const { client } = cluster;
  const namespace = await cluster.newNamespace();
  const kubelet = startKubelet(client, namespace);
  let slots: string[] = [];
  const agents = await startAgents(secret, () => slots);
  const start = (using: KubeClient): Operator =>
    startOperator({
      client: using,
      installation: { secret, sandboxImage: 'sandlot/sandbox:test', apiUrl: 'http://api', uiOrigins: ['http://ui'] },
      namespace,
      lease: { namespace, identity: 'operator' },
      clock,
      log: silent,
      limits,
      ...options,
    });
  const refresh = async (): Promise<Pod[]> => {
    const { items } = await client.list(POD, { namespace });
    slots = items.map(({ metadata }) => metadata.name);
    return items;
  };
  const here = (name: string) => ({ namespace, name });
  const self: Scene = {
    namespace,
    kubelet,
    agents,
    operator: start(first),
    async restart(using = client) {
      await self.operator.stop();
      self.operator = start(using);
    },
    sandbox: (name, spec = {}) => client.create<Sandbox>(SANDBOX, { metadata: here(name), spec }),
    get: (name) => client.get<Sandbox>(SANDBOX, here(name)),
    patch: (name, spec) => client.patch<Sandbox>(SANDBOX, here(name), { spec }, { type: 'merge' }),
    ready: (name) => self.when('a ready sandbox', name, isReady),
    when: (what, name, match) =>
      until(what, async () => {
        await refresh();
        const sandbox = await self.get(name);
        return match(sandbox) ? sandbox : undefined;
      }),
    pods: refresh,
    async pool(replicas, template = {}) {
      const spec = { image: 'sandlot/sandbox:test', ports: [{ name: 'agent', port: agents.port }], ...template };
      await client.create<SandboxTemplate>(SANDBOX_TEMPLATE, { metadata: here('standard'), spec });
      await client.create<SandboxPool>(SANDBOX_POOL, {
        metadata: here('warm'),
        spec: { template: 'standard', replicas },
      });
    },
    async warmReady(count) {
      await until(`${count} ready warm pods`, async () => {
        await refresh();
        const pool = await client.get<SandboxPool>(SANDBOX_POOL, here('warm'));
        return pool.status?.readyReplicas === count;
      });
    },
    async close() {
      await self.operator.stop();
      await kubelet.stop();
      await agents.close();
    },
  };
  return self;
}
