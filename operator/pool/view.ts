/** What the pools of a template can give a sandbox now. */
import type { SandboxPool, SandboxTemplateSpec } from '../../contracts/resources.js';
import { keyOf } from '../../kube/cache.js';
import type { Claimer } from '../claim/claim.js';
import { shardKey } from '../shard.js';
import type { PoolView } from '../sandbox/situation.js';
import type { World } from '../world.js';
import { placedTemplate } from './placed.js';
import { mayHavePods } from './target.js';
import type { TemplateHash } from './warm.js';

export interface PoolViewOptions {
  world: Pick<World, 'pools' | 'templates'>;
  claimer: Pick<Claimer, 'available'>;
  hashOf(template: SandboxTemplateSpec): TemplateHash;
}

/**
 * The fullest pool of the template that has the sandbox's shard and runtime class; without ready pods, the one that is worth
 * waiting for. `runtimeClassName`: the sandbox's own.
 */
export function poolViewOf(
  options: PoolViewOptions,
  template: { namespace: string; name: string; runtimeClassName?: string | undefined; shard: string },
): PoolView {
  const { world, claimer, hashOf } = options;
  const key = `${template.namespace}/${template.name}`;
  const spec = world.templates.get(key)?.spec;
  if (spec === undefined) return { kind: 'none' };
  const wanted = template.runtimeClassName ?? spec.runtimeClassName;
  const serves = (pool: SandboxPool) =>
    pool.metadata.deletionTimestamp === undefined &&
    shardKey(pool) === template.shard &&
    placedTemplate(spec, pool.spec).runtimeClassName === wanted;
  const available = (pool: SandboxPool) => claimer.available(keyOf(pool), hashOf(placedTemplate(spec, pool.spec)).fit);
  const [best] = world.pools
    .by('template', key)
    .filter(serves)
    .map((pool) => ({ pool, available: available(pool), canHelp: canHelp(pool) }))
    .sort((a, b) => b.available - a.available || Number(b.canHelp) - Number(a.canHelp));
  if (best === undefined) return { kind: 'none' };
  const { name } = best.pool.metadata;
  return best.available > 0 ? { kind: 'ready', name } : { kind: 'dry', name, canHelp: best.canHelp };
}

function canHelp(pool: SandboxPool): boolean {
  const progressing = pool.status?.conditions?.find(({ type }) => type === 'Progressing');
  return mayHavePods(pool) && progressing?.status !== 'False';
}
