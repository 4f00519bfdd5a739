/** A template as the warm pods of one pool have it: where they run, and in which runtime class, a pool may say itself. */
import type { SandboxPoolSpec, SandboxTemplateSpec } from '../../contracts/resources.js';

const OWN = ['nodeSelector', 'tolerations', 'affinity', 'runtimeClassName'] as const;

/** Cached resources are replaced, never changed, so their identity stands for their content; hashes are kept by it too. */
const known = new WeakMap<SandboxPoolSpec, { template: SandboxTemplateSpec; placed: SandboxTemplateSpec }>();

export function placedTemplate(template: SandboxTemplateSpec, pool: SandboxPoolSpec): SandboxTemplateSpec {
  const own = OWN.filter((field) => pool[field] !== undefined);
  if (own.length === 0) return template;
  const before = known.get(pool);
  if (before?.template === template) return before.placed;
  const placed = { ...template, ...Object.fromEntries(own.map((field) => [field, pool[field]])) };
  known.set(pool, { template, placed });
  return placed;
}
