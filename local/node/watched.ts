/** One kind of object, kept in step with the API once for everybody on the node who needs it. */
import { createCache, type Cache } from '../../kube/cache.js';
import type { KubeClient } from '../../kube/client.js';
import type { KindOf } from '../../kube/kinds.js';
import type { Log } from '../../kube/log.js';
import { startReflector } from '../../kube/reflector.js';
import type { Clock, KubeObject } from '../../kube/types.js';

export interface Watched<T extends KubeObject> {
  cache: Cache<T>;
  /** `now` is undefined when the object is gone, `old` when it is new. */
  subscribe(listener: (now: T | undefined, old: T | undefined) => void): void;
  synced: Promise<boolean>;
  stop(): Promise<void>;
}

export function watchKind<T extends KubeObject>(
  kind: KindOf<T>,
  options: { client: KubeClient; clock: Clock; log: Log },
): Watched<T> {
  const cache = createCache<T>();
  const listeners: ((now: T | undefined, old: T | undefined) => void)[] = [];
  const tell = (now: T | undefined, old: T | undefined) => listeners.forEach((listener) => listener(now, old));
  const reflector = startReflector<T>({
    ...options,
    kind,
    handler: {
      upsert: (object) => tell(object, cache.upsert(object)),
      remove: (object) => {
        cache.remove(object);
        tell(undefined, object);
      },
    },
  });
  return {
    cache,
    subscribe: (listener) => void listeners.push(listener),
    synced: reflector.synced,
    stop: () => reflector.stop(),
  };
}
