/** Wires the parts of a running operator: caches always, controllers while it leads. */
import type { Sandbox, SandboxTemplateSpec } from '../contracts/resources.js';
import { keyOf } from '../kube/cache.js';
import type { KubeClient } from '../kube/client.js';
import { startController, type Controller } from '../kube/controller.js';
import { createEventRecorder } from '../kube/events.js';
import { fencedClient } from '../kube/fence.js';
import { startLeaderElection } from '../kube/lease.js';
import type { Log } from '../kube/log.js';
import type { KubeMetrics } from '../kube/metrics.js';
import type { Clock } from '../kube/types.js';
import { createAgentClient } from './agent.js';
import { CRASH_POLICY } from './backoff.js';
import { createChildren } from './children.js';
import { createClaimer } from './claim/claim.js';
import type { Installation } from './install.js';
import { otherLayoutsGone } from './layout.js';
import { UNLIMITED, type LimitPolicy } from './limits/place.js';
import { createPlaces, type Places } from './limits/places.js';
import type { OperatorMetrics } from './metrics.js';
import { createAsks } from './pool/asks.js';
import { createPoolReconciler } from './pool/reconcile.js';
import { poolViewOf } from './pool/view.js';
import { templateHashOf, type TemplateHash } from './pool/warm.js';
import { createAct } from './sandbox/act.js';
import { createPodEvents } from './sandbox/podevents.js';
import { createMemory } from './sandbox/memory.js';
import { observe, type ObserveOptions } from './sandbox/observe.js';
import { createSandboxReconciler } from './sandbox/reconcile.js';
import type { Limits } from './sandbox/situation.js';
import { holderIdentity, leaseName, shardSelector, WHOLE, type Shard } from './shard.js';
import { createTemplateReconciler } from './template/reconcile.js';
import { startWorld, type World } from './world.js';

export interface OperatorOptions {
  client: KubeClient;
  installation: Installation;
  /** Undefined: all. */
  namespace: string | undefined;
  /** Of the Lease. */
  lease: { namespace: string; identity: string };
  clock: Clock;
  log: Log;
  kubeMetrics?: KubeMetrics;
  metrics?: OperatorMetrics;
  limits?: Limits;
  /** Default: all is this operator's. */
  shard?: Shard;
  /** How many sandboxes may run; default: any number. */
  policy?: LimitPolicy;
}

export interface Operator {
  world: World;
  /** Why it is not ready to take over; empty when its caches are synced. */
  unready(): string[];
  leads(): boolean;
  /** Finishes what runs, gives the Lease back, stops watching. */
  stop(): Promise<void>;
}

export const LIMITS: Limits = {
  crash: CRASH_POLICY,
  startDeadlineMs: 600_000,
  lostMs: 60_000,
  leaseMs: 45_000,
};

const SANDBOX_WORKERS = 32;
const POOL_WORKERS = 4;
/** What runs at the end of a term gets this long; it may be cut between any two of its writes. Another leader waits for it. */
const HANDOVER_GRACE_MS = 500;
/** Changes that come in this time are one visit to a pool: in a burst, a thousand of them. */
const POOL_PAUSE_MS = 25;

export function startOperator(options: OperatorOptions): Operator {
  const { client, namespace, log, kubeMetrics: metrics, shard = WHOLE } = options;
  // What is decided by time is decided by the clock that wrote the times: the API server's. Of the Lease only is it the own.
  const clock: Clock = { ...options.clock, now: () => client.now() };
  const fenced = fencedClient(client, () => election.writeTimeMs());
  let term: { sandboxes: Controller; pools: Controller; templates: Controller | undefined; places: Places } | undefined;
  const world = startWorld({
    client,
    namespace,
    selector: shardSelector(shard),
    clock,
    log,
    metrics,
    listeners: {
      sandbox: (key) => term?.sandboxes.add(key),
      pool: (key) => term?.pools.add(key, { afterMs: POOL_PAUSE_MS }),
      template: (key) => term?.templates?.add(key),
      freed: (inNamespace, owner) => term?.places.freed(inNamespace, owner),
    },
  });
  const agents = createAgentClient(clock);

  /** One term as the leader: everything remembered starts empty. */
  const lead = async (signal: AbortSignal): Promise<void> => {
    if (!(await Promise.race([world.synced, aborted(signal).then(() => false)]))) return;
    await otherLayoutsGone({ client, namespace: options.lease.namespace, shard, clock, log }, signal);
    if (signal.aborted) return;
    try {
      await world.reread(signal);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    const events = createEventRecorder({
      client: fenced,
      clock,
      log,
      component: 'sandlot-operator',
      instance: options.lease.identity,
    });
    const places = createPlaces({
      world,
      policy: options.policy ?? UNLIMITED,
      lostMs: (options.limits ?? LIMITS).lostMs,
      wake: (key) => term?.sandboxes.add(key),
    });
    const reconcilers = createReconcilers(
      { ...options, clock, client: fenced },
      {
        world,
        agents,
        events,
        places,
        ending: signal,
        wake: (key) => term?.sandboxes.add(key),
        refill: (pool) => term?.pools.add(pool, { afterMs: POOL_PAUSE_MS }),
      },
    );
    const common = { clock, log, metrics };
    term = {
      places,
      sandboxes: startController({ ...common, ...reconcilers.sandbox, name: 'sandbox', workers: SANDBOX_WORKERS }),
      pools: startController({ ...common, ...reconcilers.pool, name: 'pool', workers: POOL_WORKERS }),
      // Templates are everybody's; the first shard looks after them.
      templates:
        shard.index === 0
          ? startController({ ...common, ...reconcilers.template, name: 'template', workers: 1 })
          : undefined,
    };
    for (const sandbox of world.sandboxes.list()) term.sandboxes.add(keyOf(sandbox));
    for (const pool of world.pools.list()) term.pools.add(keyOf(pool));
    for (const template of world.templates.list()) term.templates?.add(keyOf(template));
    await aborted(signal);
    const ending = term;
    term = undefined;
    const { sandboxes, pools, templates } = ending;
    const running = templates === undefined ? [sandboxes, pools] : [sandboxes, pools, templates];
    await Promise.all(running.map((controller) => controller.stop(HANDOVER_GRACE_MS)));
    await events.stop();
  };

  const election = startLeaderElection({
    client,
    clock: options.clock,
    log,
    metrics,
    lead,
    namespace: options.lease.namespace,
    name: leaseName(shard),
    identity: holderIdentity(options.lease.identity, shard),
  });
  return {
    world,
    unready: () => world.unsynced().map((kind) => `cache of ${kind} is not synced`),
    leads: () => election.leads(),
    async stop() {
      const led = election.stop();
      await world.stop();
      await led;
      await agents.close();
    },
  };
}

interface Parts {
  world: World;
  agents: ReturnType<typeof createAgentClient>;
  events: ReturnType<typeof createEventRecorder>;
  places: Places;
  ending: AbortSignal;
  wake(key: string): void;
  refill(pool: string): void;
}

function createReconcilers(options: OperatorOptions, parts: Parts) {
  const { world, agents, events, places, refill } = parts;
  const { client, installation, clock, log, limits = LIMITS } = options;
  const hashOf = memoizedHash(installation);
  const children = createChildren(client, world);
  const asks = createAsks(clock);
  const asked = (pool: string): void => {
    asks.note(pool);
    refill(pool);
  };
  const claimer = createClaimer({
    client,
    world,
    children,
    agents,
    secret: installation.secret,
    log,
    taken: asked,
    count: (result) => options.metrics?.claim(result),
  });
  const memory = createMemory();
  const podEvents = createPodEvents(client, clock);
  const common = { client, world, children, claimer, agents, installation, clock, events, hashOf };
  const poolFor: ObserveOptions['poolFor'] = (template) => poolViewOf({ world, claimer, hashOf }, template);
  const sandbox = createSandboxReconciler({
    ...common,
    memory,
    places,
    act: createAct({
      ...common,
      memory,
      podEvents,
      wake: parts.wake,
      ending: parts.ending,
    }),
    observe: (object: Sandbox, now: number) =>
      observe({ world, memory, installation, limits, places, poolFor }, object, now),
    started: (object) => options.metrics?.started(...startOf(object, clock.now())),
    missed: asked,
    shard: options.shard ?? WHOLE,
  });
  const pool = createPoolReconciler({
    ...common,
    asks,
    podEvents,
    crash: limits.crash,
    startDeadlineMs: limits.startDeadlineMs,
  });
  const template = createTemplateReconciler(common);
  return { sandbox: { reconcile: sandbox }, pool: { reconcile: pool }, template: { reconcile: template } };
}

function startOf({ metadata, status }: Sandbox, now: number): ['warm' | 'cold', number] {
  const born = Date.parse(metadata.creationTimestamp ?? '');
  return [status?.pool === undefined ? 'cold' : 'warm', Number.isNaN(born) ? 0 : (now - born) / 1_000];
}

/** Cached templates are replaced, never changed, so their identity stands for their content. */
function memoizedHash(installation: Installation): (template: SandboxTemplateSpec) => TemplateHash {
  const hashes = new WeakMap<SandboxTemplateSpec, TemplateHash>();
  return (template) => {
    const hash = hashes.get(template) ?? templateHashOf(template, installation);
    hashes.set(template, hash);
    return hash;
  };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
