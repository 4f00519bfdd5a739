/** Reads the caches; the only code that turns them into a Situation. */
import { ANNOTATION, LABEL, STATE_CLAIMED } from '../../contracts/labels.js';
import { podName, workspaceClaimName } from '../../contracts/names.js';
import type { Sandbox } from '../../contracts/resources.js';
import { keyOf } from '../../kube/cache.js';
import type { Pod } from '../../kube/kinds.js';
import { shardKey } from '../shard.js';
import { builtInTemplate } from '../shape.js';
import type { Installation } from '../install.js';
import type { Places } from '../limits/places.js';
import type { World } from '../world.js';
import type { Memory } from './memory.js';
import type { Limits, PoolView, Situation } from './situation.js';

export interface ObserveOptions {
  world: World;
  memory: Memory;
  installation: Installation;
  limits: Limits;
  places: Pick<Places, 'ask' | 'yields'>;
  /** What the pools of a template can give now. */
  poolFor(template: { namespace: string; name: string; runtimeClassName: string | undefined; shard: string }): PoolView;
}

export function observe(options: ObserveOptions, sandbox: Sandbox, now: number): Situation {
  const { world, memory, installation, limits, places } = options;
  const key = keyOf(sandbox);
  const { namespace = '', uid = '' } = sandbox.metadata;
  const { template, runtimeClassName } = sandbox.spec;
  const owned = world.pods.by('sandbox', uid).filter((pod) => pod.metadata.namespace === namespace);
  const slot = sandbox.status?.slot ?? firstClaimed(owned)?.metadata.labels?.[LABEL.slot];
  const pod = slot === undefined ? undefined : owned.find(({ metadata }) => metadata.name === podName(slot));
  const known =
    template === undefined ? builtInTemplate(installation) : world.templates.get(`${namespace}/${template}`)?.spec;
  const initKeys = pod?.metadata.annotations?.[ANNOTATION.initKeys];
  const child = (name: string) => `${namespace}/${name}`;
  return {
    sandbox,
    now,
    template: known,
    pod,
    strays: owned.filter((one) => one !== pod),
    workspace: slot === undefined ? undefined : world.claims.get(child(workspaceClaimName(slot))),
    ...(initKeys === undefined || world.secrets.get(child(initKeys)) !== undefined ? {} : { lostInitKeys: initKeys }),
    // Only a sandbox without slot may claim.
    pool:
      template === undefined || slot !== undefined
        ? { kind: 'none' }
        : options.poolFor({ namespace, name: template, runtimeClassName, shard: shardKey(sandbox) }),
    agent: memory.agent(key, pod),
    podEvents: memory.podEvents(key, pod),
    farewell: memory.farewell(key, pod),
    refusal: memory.refusal(key),
    place: known === undefined ? { kind: 'free' } : places.ask(sandbox, now),
    yields: places.yields(sandbox),
    limits,
  };
}

/** A pod that was claimed before the status could say so. The same one each time, should there be two. */
function firstClaimed(owned: Pod[]): Pod | undefined {
  return owned
    .filter(
      ({ metadata }) => metadata.labels?.[LABEL.state] === STATE_CLAIMED && metadata.deletionTimestamp === undefined,
    )
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))[0];
}
