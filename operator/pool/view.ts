/** What the pools of a template can give a sandbox now. */
import type { SandboxPool, SandboxTemplateSpec } from '../../contracts/resources.js';
import { keyOf } from '../../kube/cache.js';
import type { Claimer } from '../claim/claim.js';
import type { PoolView } from '../sandbox/situation.js';
import type { World } from '../world.js';
import { wantedReplicas } from './decide.js';
import type { TemplateHash } from './warm.js';

export interface PoolViewOptions {
  world: Pick<World, 'pools' | 'templates'>;
  claimer: Pick<Claimer, 'available'>;
  hashOf(template: SandboxTemplateSpec): TemplateHash;
}

/** The fullest pool of the template; without ready pods, the one that is worth waiting for. */
export function poolViewOf(options: PoolViewOptions, template: { namespace: string; name: string }): PoolView {
  const { world, claimer, hashOf } = options;
  const key = `${template.namespace}/${template.name}`;
  const spec = world.templates.get(key)?.spec;
  const pools = world.pools.by('template', key).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  if (spec === undefined || pools.length === 0) return { kind: 'none' };
  const hash = hashOf(spec).fit;
  const [best] = pools
    .map((pool) => ({ pool, available: claimer.available(keyOf(pool), hash), canHelp: canHelp(pool) }))
    .sort((a, b) => b.available - a.available || Number(b.canHelp) - Number(a.canHelp));
  if (best === undefined) return { kind: 'none' };
  const { name } = best.pool.metadata;
  return best.available > 0 ? { kind: 'ready', name } : { kind: 'dry', name, canHelp: best.canHelp };
}

function canHelp(pool: SandboxPool): boolean {
  const progressing = pool.status?.conditions?.find(({ type }) => type === 'Progressing');
  return wantedReplicas(pool) > 0 && progressing?.status !== 'False';
}
