/** One namespace with its operator, its nodes and its agent servers, for suites. */
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
import { createVacantLease } from '../../kube/lease.js';
import { systemClock } from '../../process/clock.js';
import { LIMITS, startOperator, type Operator, type OperatorOptions } from '../operator.js';
import { leaseName, type Shard } from '../shard.js';
import { startAgents, type FakeAgents } from './agents.js';
import type { Cluster } from '../../test/support/cluster.js';
import { startKubelet, type Kubelet } from './kubelet.js';
import { until } from './until.js';

export const secret = 'a secret of the installation, for tests';
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const limits = { ...LIMITS, crash: { ...LIMITS.crash, firstDelayMs: 100, maxDelayMs: 400, budget: 2 } };

type Beside = Partial<Pick<OperatorOptions, 'client' | 'lease' | 'shard' | 'clock'>>;

export interface Scene {
  namespace: string;
  kubelet: Kubelet;
  agents: FakeAgents;
  operator: Operator;
  /** One more operator, with another share of the namespace or another way to the API; ended by `close`. */
  beside(options: Beside): Operator;
  /** Ends this operator and starts another one, as after a crash. */
  restart(client?: KubeClient, shard?: Shard): Promise<void>;
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
  options: Partial<Pick<OperatorOptions, 'policy' | 'shard' | 'clock'>> = {},
): Promise<Scene> {
  const { client } = cluster;
  const namespace = await cluster.newNamespace();
  for (const index of [0, 1]) await createVacantLease(client, { namespace, name: leaseName({ index, count: 2 }) });
  const kubelet = startKubelet(client, namespace);
  let slots: string[] = [];
  const agents = await startAgents(secret, () => slots);
  const beside: Operator[] = [];
  const start = (using: KubeClient, more: Pick<OperatorOptions, 'lease'> & Beside): Operator =>
    startOperator({
      client: using,
      installation: { secret, sandboxImage: 'sandlot/sandbox:test', apiUrl: 'http://api', uiOrigins: ['http://ui'] },
      namespace,
      clock: systemClock,
      log: silent,
      limits,
      ...options,
      ...more,
    });
  const own = { lease: { namespace, identity: 'operator' } };
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
    operator: start(first, own),
    beside(more) {
      const another = start(client, { lease: { namespace, identity: `beside-${beside.length}` }, ...more });
      beside.push(another);
      return another;
    },
    async restart(using = client, shard = options.shard) {
      await self.operator.stop();
      self.operator = start(using, { ...own, ...(shard === undefined ? {} : { shard }) });
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
      await Promise.all([self.operator, ...beside].map((operator) => operator.stop()));
      await kubelet.stop();
      await agents.close();
    },
  };
  return self;
}
