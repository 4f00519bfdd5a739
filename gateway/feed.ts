/** Keeps the routing table in step with the cluster: Sandboxes, what their templates say of waking, and the EndpointSlices of the shared Services. */
import { LABEL, SANDBOX_APP } from '../contracts/labels.js';
import { SANDBOX, SANDBOX_TEMPLATE, type Sandbox, type SandboxTemplate } from '../contracts/resources.js';
import type { KubeClient } from '../kube/client.js';
import { ENDPOINT_SLICE, type EndpointSlice, type KindOf } from '../kube/kinds.js';
import type { Log } from '../kube/log.js';
import type { KubeMetrics } from '../kube/metrics.js';
import { startReflector } from '../kube/reflector.js';
import type { Clock } from '../kube/types.js';
import { isRefusal, type RouteTable } from './table.js';

export interface Feed {
  /** Resolves when the table is complete for the first time. */
  synced: Promise<unknown>;
  /** What is not complete yet. */
  missing(): string[];
  stop(): Promise<void>;
}

export interface FeedOptions {
  client: Pick<KubeClient, 'list' | 'watch'>;
  namespace: string;
  table: RouteTable;
  clock: Clock;
  log: Log;
  metrics?: KubeMetrics;
}

const SANDBOXES: KindOf<Sandbox> = SANDBOX;
const TEMPLATES: KindOf<SandboxTemplate> = SANDBOX_TEMPLATE;

export function startFeed({ client, namespace, table, clock, log, metrics }: FeedOptions): Feed {
  const common = { client, namespace, clock, log, metrics };
  const sandboxes = startReflector<Sandbox>({
    ...common,
    kind: SANDBOXES,
    transform: slimSandbox,
    handler: { upsert: table.upsertSandbox, remove: table.removeSandbox },
  });
  const slices = startReflector<EndpointSlice>({
    ...common,
    kind: ENDPOINT_SLICE,
    // EndpointSlices have the labels of their Service.
    labelSelector: `${LABEL.name}=${SANDBOX_APP}`,
    handler: { upsert: table.upsertSlice, remove: table.removeSlice },
  });
  const templates = startReflector<SandboxTemplate>({
    ...common,
    kind: TEMPLATES,
    transform: slimTemplate,
    handler: { upsert: table.upsertTemplate, remove: table.removeTemplate },
  });
  return {
    synced: Promise.all([sandboxes.synced, slices.synced, templates.synced]),
    missing: () => [
      ...(sandboxes.hasSynced() ? [] : ['sandboxes are not listed yet']),
      ...(templates.hasSynced() ? [] : ['templates are not listed yet']),
      ...(slices.hasSynced() ? [] : ['endpoint slices are not listed yet']),
    ],
    stop: async () => {
      await Promise.all([sandboxes.stop(), slices.stop(), templates.stop()]);
    },
  };
}

const isOfUse = ({ reason }: { reason: string }) => isRefusal(reason);

/** Environment, most conditions and the rest stay out of memory. */
function slimSandbox({ metadata, spec, status }: Sandbox): Sandbox {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, labels, annotations } = metadata;
  return {
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec: {
      ...(spec.owner === undefined ? {} : { owner: spec.owner }),
      ...(spec.runState === undefined ? {} : { runState: spec.runState }),
      ...(spec.ports === undefined ? {} : { ports: spec.ports }),
      ...(spec.template === undefined ? {} : { template: spec.template }),
      ...(spec.lifecycle === undefined ? {} : { lifecycle: spec.lifecycle }),
      ...(spec.shares === undefined ? {} : { shares: spec.shares }),
      ...(spec.endedSessions === undefined ? {} : { endedSessions: spec.endedSessions }),
    },
    ...(status === undefined
      ? {}
      : {
          status: {
            ...(status.phase === undefined ? {} : { phase: status.phase }),
            ...(status.slot === undefined ? {} : { slot: status.slot }),
            ...(status.conditions === undefined ? {} : { conditions: status.conditions.filter(isOfUse) }),
            ...(status.keyEpoch === undefined ? {} : { keyEpoch: status.keyEpoch }),
          },
        }),
  };
}

const slimTemplate = ({
  metadata: { name, namespace, uid, resourceVersion },
  spec,
}: SandboxTemplate): SandboxTemplate => ({
  metadata: {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  },
  spec: { image: '', ...(spec.lifecycle === undefined ? {} : { lifecycle: spec.lifecycle }) },
});
