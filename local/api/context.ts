/** What every verb works with. */
import type { Clock } from '../../kube/types.js';
import type { Logger } from '../../process/log.js';
import type { PortBook } from './ports.js';
import type { Registry, Resource } from './resources.js';
import { apiVersionOf } from './resources.js';
import { toCoreEvent, toEventsV1 } from './events.js';
import type { Store } from './store.js';
import type { Obj } from './object.js';

export interface Context {
  store: Store;
  registry: Registry;
  clock: Clock;
  log: Logger;
  ports: PortBook;
}

const isEventsV1 = (resource: Resource): boolean => resource.group === 'events.k8s.io';

/** An object as the resource's version shows it. */
export function outward(resource: Resource, object: Obj): Obj {
  if (isEventsV1(resource)) return toEventsV1(object);
  const apiVersion = apiVersionOf(resource);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

/** An object as it is kept. */
export function inward(resource: Resource, object: Obj): Obj {
  if (isEventsV1(resource)) return toCoreEvent(object);
  const apiVersion = apiVersionOf({ group: resource.group, version: resource.storageVersion });
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}
