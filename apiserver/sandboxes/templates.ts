/** SandboxTemplates of the namespace: what clients call sandbox specs. */
import { createCache } from '../../kube/cache.js';
import type { KubeClient } from '../../kube/client.js';
import { startReflector } from '../../kube/reflector.js';
import type { Clock } from '../../kube/types.js';
import { SANDBOX_TEMPLATE, type SandboxTemplate } from '../../contracts/resources.js';
import type { Logger } from '../../process/log.js';

export interface Templates {
  /** By name. */
  list(): SandboxTemplate[];
  stop(): Promise<void>;
}

export function startTemplates(options: {
  client: Pick<KubeClient, 'list' | 'watch'>;
  namespace: string;
  clock: Clock;
  log: Logger;
}): Templates {
  const cache = createCache<SandboxTemplate>();
  const reflector = startReflector<SandboxTemplate>({
    ...options,
    kind: SANDBOX_TEMPLATE,
    handler: { upsert: (template) => void cache.upsert(template), remove: (template) => void cache.remove(template) },
  });
  return {
    list: () => cache.list().sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)),
    stop: () => reflector.stop(),
  };
}
