/** Service + pods → EndpointSlices. */
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from '../../../kube/client.js';
import { keyOf } from '../../../kube/cache.js';
import { done, startController, wait, type Controller } from '../../../kube/controller.js';
import { ENDPOINT_SLICE, type EndpointSlice, type Pod, type Service } from '../../../kube/kinds.js';
import type { Log } from '../../../kube/log.js';
import type { Clock } from '../../../kube/types.js';
import type { Watched } from '../watched.js';
import { changesOf, MANAGED_BY, MANAGER, selects, SERVICE_NAME, slicesOf } from './slices.js';

/** The cache learns of a write a moment later. */
const CATCH_UP_MS = 50;

export function startEndpoints(options: {
  client: KubeClient;
  clock: Clock;
  log: Log;
  services: Watched<Service>;
  pods: Watched<Pod>;
  slices: Watched<EndpointSlice>;
}): Controller {
  const { client, clock, log, services, pods, slices } = options;

  const reconcile = async (key: string) => {
    const service = services.cache.get(key);
    const existing = slices.cache
      .list()
      .filter((slice) => serviceOf(slice) === key && slice.metadata.labels?.[MANAGED_BY] === MANAGER);
    // A Service without selector has slices of its user's own making.
    const wanted = service?.spec.selector === undefined ? [] : slicesOf(service, pods.cache.list());
    const { create, update, remove } = changesOf(existing, wanted);
    try {
      await Promise.all([
        ...create.map((slice) => client.create(ENDPOINT_SLICE, slice)),
        ...update.map((slice) => client.replace(ENDPOINT_SLICE, slice)),
        ...remove.map((slice) => client.delete(ENDPOINT_SLICE, slice.metadata)),
      ]);
    } catch (error) {
      if (isAlreadyExists(error) || isConflict(error) || isNotFound(error))
        return wait(CATCH_UP_MS, 'the cache is behind');
      throw error;
    }
    return done;
  };
  const controller = startController({ name: 'endpoints', reconcile, clock, log, workers: 4 });

  const matching = (pod: Pod): void => {
    for (const service of services.cache.list())
      if (service.metadata.namespace === pod.metadata.namespace && selects(service.spec.selector, pod.metadata.labels))
        controller.add(keyOf(service));
  };
  services.subscribe((now, old) => controller.add(keyOf((now ?? old) as Service)));
  pods.subscribe((now, old) => {
    if (now !== undefined) matching(now);
    if (old !== undefined) matching(old);
  });
  // Slices that somebody changed or removed by hand are made again.
  slices.subscribe((now, old) => {
    const key = serviceOf((now ?? old) as EndpointSlice);
    if (key !== undefined) controller.add(key);
  });
  return controller;
}

function serviceOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[SERVICE_NAME];
  return name === undefined ? undefined : `${metadata.namespace ?? 'default'}/${name}`;
}
