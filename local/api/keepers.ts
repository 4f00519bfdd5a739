/**
 * What a real cluster's controllers do behind the API and Sandlot relies on: the garbage collector of owner references, the
 * end of a namespace and of a CRD, default service accounts, and the end of old events. Each step is a plain write.
 */
import { established, resourcesOf } from './custom.js';
import type { Context } from './context.js';
import { CLEANUP } from './definitionRules.js';
import type { Change } from './history.js';
import { isRecord, keyFor, list, record, text, timestamp, type Obj } from './object.js';
import type { Resource } from './resources.js';
import { released, removeObject, waitsFor } from './remove.js';
import { isFinished, prepareNew } from './write.js';
import type { OwnerReference } from '../../kube/types.js';

const CRDS = 'apiextensions.k8s.io/customresourcedefinitions';
const NAMESPACES = 'core/namespaces';
const BACKGROUND = { dryRun: false, propagation: 'Background' } as const;

interface Place {
  resource: string;
  key: string;
}

export interface Keepers {
  /** Makes the standing objects, reads the kept CRDs and follows up what a crash cut off. */
  start(): void;
  close(): void;
}

export function createKeepers(context: Context): Keepers {
  const owners = createOwnerIndex();
  const queue: (() => void)[] = [];
  let scheduled = false;
  let closed = false;
  const later = (work: () => void): void => {
    queue.push(work);
    if (scheduled) return;
    scheduled = true;
    setImmediate(drain);
  };
  const drain = (): void => {
    scheduled = false;
    for (const work of queue.splice(0)) {
      if (closed) return;
      try {
        work();
      } catch (error) {
        context.log.error({ error }, 'a housekeeping step of the API failed');
      }
    }
  };
  const seen = (change: Change): void => {
    owners.note(change);
    later(() => follow(context, owners, change));
  };
  const unsubscribe = context.store.subscribe(seen);
  let timer: NodeJS.Timeout | undefined;
  return {
    start() {
      for (const definition of context.store.list(CRDS)) serve(context, definition);
      for (const object of everything(context)) {
        const change: Change = { rv: 0, resource: object.resource.key, type: 'ADDED', object: object.object };
        seen(change);
      }
      for (const name of ['default', 'kube-node-lease', 'kube-public', 'kube-system']) standing(context, name);
      timer = setInterval(() => expireEvents(context), EVENT_SWEEP);
      timer.unref();
    },
    close() {
      closed = true;
      unsubscribe();
      clearInterval(timer);
    },
  };
}

function* everything(context: Context): Generator<{ resource: Resource; object: Obj }> {
  for (const resource of storages(context))
    for (const object of context.store.list(resource.key)) yield { resource, object };
}

/** One resource for each kept collection, whatever versions it has. */
function storages(context: Context): Resource[] {
  const seen = new Set<string>();
  return context.registry.all().filter((resource) => !seen.has(resource.key) && seen.add(resource.key));
}

const byKey = (context: Context, key: string): Resource | undefined =>
  context.registry.all().find((resource) => resource.key === key);

function follow(context: Context, owners: OwnerIndex, change: Change): void {
  const { object } = change;
  if (change.resource === CRDS) onDefinition(context, change);
  if (change.resource === NAMESPACES) onNamespace(context, change);
  if (change.type === 'DELETED') {
    for (const place of owners.dependents(object)) collect(context, owners, place);
    for (const owner of object.metadata.ownerReferences ?? [])
      releaseOwner(context, owners, owner, object.metadata.namespace);
    endNamespace(context, object.metadata.namespace);
    endDefinition(context, change.resource);
    return;
  }
  if ((object.metadata.ownerReferences ?? []).length > 0)
    collect(context, owners, { resource: change.resource, key: keyFor(object.metadata) });
  if (waitsFor(object) !== undefined)
    settleOwner(context, owners, { resource: change.resource, key: keyFor(object.metadata) });
}

interface OwnerIndex {
  note(change: Change): void;
  dependents(owner: Obj): Place[];
}

function createOwnerIndex(): OwnerIndex {
  const byOwner = new Map<string, Map<string, Place>>();
  const uids = (object: Obj | undefined) => (object?.metadata.ownerReferences ?? []).map((owner) => owner.uid);
  return {
    note(change) {
      const place = { resource: change.resource, key: keyFor(change.object.metadata) };
      const name = `${place.resource} ${place.key}`;
      for (const uid of [...uids(change.old), ...(change.type === 'DELETED' ? uids(change.object) : [])]) {
        byOwner.get(uid)?.delete(name);
        if (byOwner.get(uid)?.size === 0) byOwner.delete(uid);
      }
      if (change.type === 'DELETED') return;
      for (const uid of uids(change.object)) {
        const places = byOwner.get(uid) ?? new Map<string, Place>();
        byOwner.set(uid, places.set(name, place));
      }
    },
    dependents: (owner) => [...(byOwner.get(owner.metadata.uid ?? '')?.values() ?? [])],
  };
}

type Found = 'absent' | 'alive' | 'waiting' | 'unknown';

/** Whether the owner that a reference names is there. */
function stateOf(context: Context, owner: OwnerReference, namespace: string | undefined): Found {
  const [version = '', group = ''] = owner.apiVersion.split('/').reverse();
  const resource = context.registry.byKind(group, owner.kind);
  // As the real one: an owner of a kind that nobody serves is no reason to delete.
  if (resource === undefined || version === '') return 'unknown';
  const key = resource.namespaced ? `${namespace ?? ''}/${owner.name}` : owner.name;
  const found = context.store.get(resource.key, key);
  if (found === undefined || found.metadata.uid !== owner.uid) return 'absent';
  return waitsFor(found) === 'dependents' ? 'waiting' : 'alive';
}

/** Deletes a dependent that no owner holds any more, or takes away the references to owners that are gone. */
function collect(context: Context, owners: OwnerIndex, place: Place): void {
  const object = context.store.get(place.resource, place.key);
  const resource = byKey(context, place.resource);
  if (object === undefined || resource === undefined) return;
  const references = object.metadata.ownerReferences ?? [];
  const states = references.map((owner) => stateOf(context, owner, object.metadata.namespace));
  if (states.length === 0 || states.every((state) => state === 'alive' || state === 'unknown')) return;
  if (states.some((state) => state === 'alive' || state === 'unknown')) {
    const left = references.filter((_owner, index) => states[index] !== 'absent');
    if (left.length < references.length)
      context.store.put(place.resource, { ...object, metadata: { ...object.metadata, ownerReferences: left } });
    return;
  }
  if (object.metadata.deletionTimestamp !== undefined) return;
  const deeper = states.includes('waiting') && owners.dependents(object).length > 0;
  removeObject(context, resource, object, deeper ? { dryRun: false, propagation: 'Foreground' } : BACKGROUND);
}

function releaseOwner(
  context: Context,
  owners: OwnerIndex,
  owner: OwnerReference,
  namespace: string | undefined,
): void {
  const resource = context.registry.byKind(
    owner.apiVersion.includes('/') ? (owner.apiVersion.split('/')[0] ?? '') : '',
    owner.kind,
  );
  if (resource === undefined) return;
  settleOwner(context, owners, {
    resource: resource.key,
    key: resource.namespaced ? `${namespace ?? ''}/${owner.name}` : owner.name,
  });
}

/** Foreground: deletes the dependents and lets the owner go after those that block it. Orphan: cuts them loose. */
function settleOwner(context: Context, owners: OwnerIndex, place: Place): void {
  const owner = context.store.get(place.resource, place.key);
  const how = owner === undefined ? undefined : waitsFor(owner);
  if (owner === undefined || how === undefined) return;
  const dependents = owners.dependents(owner);
  if (how === 'orphaning') for (const dependent of dependents) cutLoose(context, dependent, owner);
  else {
    for (const dependent of dependents) collect(context, owners, dependent);
    const blocking = dependents.some((dependent) => blocks(context, dependent, owner));
    if (blocking) return;
  }
  finish(context, place.resource, released(owner));
}

function blocks(context: Context, place: Place, owner: Obj): boolean {
  const object = context.store.get(place.resource, place.key);
  return (object?.metadata.ownerReferences ?? []).some(
    (one) => one.uid === owner.metadata.uid && one.blockOwnerDeletion === true,
  );
}

function cutLoose(context: Context, place: Place, owner: Obj): void {
  const object = context.store.get(place.resource, place.key);
  if (object === undefined) return;
  const ownerReferences = (object.metadata.ownerReferences ?? []).filter((one) => one.uid !== owner.metadata.uid);
  const next: Obj = { ...object, metadata: { ...object.metadata, ownerReferences } };
  if (ownerReferences.length === 0) Reflect.deleteProperty(next.metadata, 'ownerReferences');
  context.store.put(place.resource, next);
}

function finish(context: Context, resource: string, object: Obj): void {
  if (isFinished(object)) context.store.remove(resource, object);
  else context.store.put(resource, object);
}

function onNamespace(context: Context, change: Change): void {
  const { object } = change;
  if (change.type === 'DELETED') return;
  if (object.metadata.deletionTimestamp === undefined) {
    makeAccount(context, object.metadata.name);
    return;
  }
  for (const { resource, object: content } of contentOf(context, object.metadata.name))
    if (content.metadata.deletionTimestamp === undefined) removeObject(context, resource, content, BACKGROUND);
  endNamespace(context, object.metadata.name);
}

const contentOf = (context: Context, namespace: string): { resource: Resource; object: Obj }[] =>
  [...everything(context)].filter(({ object }) => object.metadata.namespace === namespace);

/** A namespace being deleted goes when it is empty. */
function endNamespace(context: Context, name: string | undefined): void {
  const namespace = name === undefined ? undefined : context.store.get(NAMESPACES, name);
  if (name === undefined || namespace?.metadata.deletionTimestamp === undefined) return;
  if (contentOf(context, name).length > 0) return;
  finish(context, NAMESPACES, { ...namespace, spec: { ...record(namespace['spec']), finalizers: [] } });
}

/** Serves the resources of a CRD; `removed` ones no longer. */
function serve(context: Context, definition: Obj): void {
  context.registry.setCustom(definition.metadata.name, resourcesOf(definition));
}

function onDefinition(context: Context, change: Change): void {
  const { object } = change;
  if (change.type === 'DELETED') {
    context.registry.setCustom(object.metadata.name, []);
    return;
  }
  const current = context.store.get(CRDS, object.metadata.name);
  if (current === undefined) return;
  serve(context, current);
  const next = established(current, context.clock.now());
  if (next !== undefined) context.store.put(CRDS, next);
  if (current.metadata.deletionTimestamp === undefined) return;
  for (const resource of resourcesOf(current).slice(0, 1)) {
    for (const custom of context.store.list(resource.key)) removeObject(context, resource, custom, BACKGROUND);
    endDefinition(context, resource.key);
  }
}

/** A CRD being deleted goes when no object of it is left. */
function endDefinition(context: Context, key: string): void {
  const [group = '', plural = ''] = key.split('/');
  const definition = context.store.get(CRDS, `${plural}.${group}`);
  if (definition?.metadata.deletionTimestamp === undefined || context.store.list(key).length > 0) return;
  const finalizers = list(definition.metadata.finalizers)
    .map(text)
    .filter((name) => name !== CLEANUP);
  finish(context, CRDS, { ...definition, metadata: { ...definition.metadata, finalizers } });
}

function standing(context: Context, name: string): void {
  const resource = byKey(context, NAMESPACES);
  if (resource === undefined || context.store.get(NAMESPACES, name) !== undefined) return;
  context.store.put(
    NAMESPACES,
    prepareNew(context, resource, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }),
  );
}

function makeAccount(context: Context, namespace: string): void {
  const resource = byKey(context, 'core/serviceaccounts');
  if (resource === undefined || context.store.get(resource.key, `${namespace}/default`) !== undefined) return;
  context.store.put(
    resource.key,
    prepareNew(context, resource, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default', namespace },
    }),
  );
}

const EVENT_SWEEP = 60_000;
const EVENT_LIFE = 3_600_000;

/** Events live an hour, as with a real server. */
function expireEvents(context: Context): void {
  const limit = timestamp(context.clock.now() - EVENT_LIFE);
  const last = (event: Obj) => {
    const series = event['series'];
    return (
      text(isRecord(series) ? series['lastObservedTime'] : undefined) ||
      text(event['lastTimestamp']) ||
      text(event.metadata.creationTimestamp)
    );
  };
  for (const event of context.store.list('core/events'))
    if (last(event) < limit) context.store.remove('core/events', event);
}
