/** What a namespace must look like in the end, whatever happened on the way. */
import { LABEL } from '../../contracts/labels.js';
import type { KubeClient } from '../../kube/client.js';
import { POD, PVC, SECRET, type KindOf, type Pod } from '../../kube/kinds.js';
import type { KubeObject } from '../../kube/types.js';
import { until } from './until.js';

export interface Expected {
  client: KubeClient;
  namespace: string;
  /** Those that run. */
  sandboxes: string[];
  /** Pods of the pool `warm`. */
  warm: number;
  /** Workspace claims that stay though no pod has them: of sandboxes that are paused. */
  resting?: number;
  /** ms */
  patience?: number;
}

/** One pod for each sandbox, `warm` for the pool, a claim for each that goes with the right one, and the keys that they start with. */
export async function consistent(expected: Expected): Promise<void> {
  const { client, namespace, patience } = expected;
  const live = async <T extends KubeObject>(kind: KindOf<T>) =>
    (await client.list(kind, { namespace })).items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const wanted = [
    ...expected.sandboxes.map((name) => `Sandbox ${name}`),
    ...Array.from({ length: expected.warm }, () => 'SandboxPool warm'),
  ].sort();
  const look = async () => {
    const [pods, claims, secrets] = await Promise.all([live<Pod>(POD), live(PVC), live(SECRET)]);
    const names = pods.map(({ metadata }) => metadata.name);
    const keys = pods.map(keyOfPod);
    const own = (pod: Pod) => pod.metadata.ownerReferences?.[0]?.kind === 'Sandbox';
    const found = claims.map(({ metadata }) => `${metadata.name} ${metadata.ownerReferences?.at(-1)?.kind}`);
    // A warm pod's claim goes with the pod, a sandbox's with the sandbox.
    const due = pods.map((pod) => `${pod.metadata.name}-workspace ${own(pod) ? 'Sandbox' : 'Pod'}`);
    return {
      owners: pods.map(({ metadata: { ownerReferences: [by] = [] } }) => `${by?.kind} ${by?.name}`).sort(),
      claimless: due.filter((one) => !found.includes(one)),
      orphaned: found.filter((one) => !due.includes(one)),
      keyless: keys.filter(
        ({ name, key }) => secrets.find((one) => one.metadata.name === name)?.data?.[key] === undefined,
      ),
      unused: secrets
        .filter(({ metadata }) => metadata.labels?.[LABEL.slot] !== undefined)
        .map(({ metadata }) => metadata.name)
        .filter((secret) => !keys.some(({ name }) => name === secret)),
      names,
    };
  };
  await until(
    'a consistent namespace',
    async () => {
      const state = await look();
      const good =
        JSON.stringify(state.owners) === JSON.stringify(wanted) &&
        state.orphaned.length === (expected.resting ?? 0) &&
        state.claimless.length + state.keyless.length + state.unused.length === 0;
      if (!good) throw new Error(JSON.stringify(state));
      return true;
    },
    patience,
  );
}

/** The Secret and the key in it that a pod's container starts with. */
function keyOfPod({ spec }: Pod): { name: string; key: string } {
  const variable = spec.containers[0]?.env?.find(({ name }) => name === 'OH_SECRET_KEY');
  return variable?.valueFrom?.secretKeyRef ?? { name: '', key: '' };
}
