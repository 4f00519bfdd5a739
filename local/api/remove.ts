/** Deletion: preconditions, grace periods of pods, finalizers, and how dependents are treated. */
import { badRequest, conflict } from './errors.js';
import type { Context } from './context.js';
import { at, list, record, text, timestamp, type Json, type Obj } from './object.js';
import type { Resource } from './resources.js';
import { isFinished } from './write.js';

export interface DeleteOptions {
  gracePeriodSeconds?: number;
  propagation?: 'Foreground' | 'Background' | 'Orphan';
  uid?: string;
  resourceVersion?: string;
  dryRun: boolean;
}

const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';

/** DeleteOptions from the body and, before it, the query. */
export function readDeleteOptions(body: Json | undefined, query: URLSearchParams): DeleteOptions {
  const preconditions = record(body?.['preconditions']);
  const grace = query.get('gracePeriodSeconds') ?? body?.['gracePeriodSeconds'];
  const propagation = query.get('propagationPolicy') ?? text(body?.['propagationPolicy']);
  if (!['', 'Foreground', 'Background', 'Orphan'].includes(propagation))
    throw badRequest(
      `invalid propagationPolicy ${JSON.stringify(propagation)}: supported values are "Background", "Foreground", "Orphan"`,
    );
  const seconds = grace === undefined || grace === null ? undefined : Number(grace);
  if (seconds !== undefined && (!Number.isInteger(seconds) || seconds < 0))
    throw badRequest('gracePeriodSeconds must be a number from 0');
  const orphans = body?.['orphanDependents'] === true;
  return {
    dryRun: query.getAll('dryRun').includes('All') || list(body?.['dryRun']).includes('All'),
    ...(seconds === undefined ? {} : { gracePeriodSeconds: seconds }),
    ...(orphans ? { propagation: 'Orphan' } : propagation === '' ? {} : { propagation: propagation as 'Foreground' }),
    ...(text(preconditions['uid']) === '' ? {} : { uid: text(preconditions['uid']) }),
    ...(text(preconditions['resourceVersion']) === ''
      ? {}
      : { resourceVersion: text(preconditions['resourceVersion']) }),
  };
}

/** How long a pod may take to end; everything else, and a pod that no node runs, goes at once. */
function graceOf(resource: Resource, object: Obj, options: DeleteOptions): number {
  if (resource.key !== 'core/pods') return 0;
  if (
    text(at(object, 'spec', 'nodeName')) === '' ||
    ['Succeeded', 'Failed'].includes(text(at(object, 'status', 'phase')))
  )
    return 0;
  return options.gracePeriodSeconds ?? Number(at(object, 'spec', 'terminationGracePeriodSeconds') ?? 30);
}

function finalizersAfter(object: Obj, options: DeleteOptions): string[] {
  const all = list(object.metadata.finalizers).map(text);
  if (options.propagation === undefined) return all;
  const others = all.filter((name) => name !== FOREGROUND && name !== ORPHAN);
  if (options.propagation === 'Foreground') return [...others, FOREGROUND];
  return options.propagation === 'Orphan' ? [...others, ORPHAN] : others;
}

export interface Removal {
  object: Obj;
  /** False: it lives on with a deletionTimestamp. */
  gone: boolean;
}

/** Deletes one object as far as it may go now. `old` is as kept. */
export function removeObject(context: Context, resource: Resource, old: Obj, options: DeleteOptions): Removal {
  const { metadata } = old;
  const fail = (why: string) => conflict({ group: resource.group, plural: resource.kind }, metadata.name, why);
  if (options.uid !== undefined && options.uid !== metadata.uid)
    throw fail(
      `the UID in the precondition (${options.uid}) does not match the UID in record (${metadata.uid ?? ''}). The object might have been deleted and then recreated`,
    );
  if (options.resourceVersion !== undefined && options.resourceVersion !== metadata.resourceVersion)
    throw fail(
      `the ResourceVersion in the precondition (${options.resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion ?? ''}). The object might have been modified`,
    );
  const next = marked(context, resource, old, options);
  if (isFinished(next)) return { object: options.dryRun ? next : context.store.remove(resource.key, next), gone: true };
  const settled = metadata.deletionTimestamp !== undefined && JSON.stringify(next) === JSON.stringify(old);
  return { object: options.dryRun || settled ? next : context.store.put(resource.key, next), gone: false };
}

function marked(context: Context, resource: Resource, old: Obj, options: DeleteOptions): Obj {
  const { metadata } = old;
  const first = metadata.deletionTimestamp === undefined;
  const before = metadata.deletionGracePeriodSeconds ?? 0;
  const wanted = graceOf(resource, old, options);
  // A second delete may only shorten the time.
  const grace = first
    ? wanted
    : options.gracePeriodSeconds === undefined && wanted > 0
      ? before
      : Math.min(before, wanted);
  const from = first ? context.clock.now() : Date.parse(metadata.deletionTimestamp ?? '') - before * 1000;
  const finalizers = finalizersAfter(old, options);
  const next: Obj = {
    ...old,
    metadata: {
      ...metadata,
      finalizers,
      deletionTimestamp: timestamp(from + grace * 1000),
      deletionGracePeriodSeconds: grace,
      ...(first && metadata.generation !== undefined ? { generation: metadata.generation + 1 } : {}),
    },
  };
  if (finalizers.length === 0) Reflect.deleteProperty(next.metadata, 'finalizers');
  if (resource.key === 'core/namespaces') next['status'] = { ...record(old['status']), phase: 'Terminating' };
  return next;
}

/** Whether an object waits for its dependents, and how. */
export const waitsFor = (object: Obj): 'dependents' | 'orphaning' | undefined => {
  if (object.metadata.deletionTimestamp === undefined) return undefined;
  const finalizers = list(object.metadata.finalizers);
  return finalizers.includes(FOREGROUND) ? 'dependents' : finalizers.includes(ORPHAN) ? 'orphaning' : undefined;
};

/** The object without the finalizer that made it wait. */
export function released(object: Obj): Obj {
  const finalizers = list(object.metadata.finalizers)
    .map(text)
    .filter((name) => name !== FOREGROUND && name !== ORPHAN);
  const next: Obj = { ...object, metadata: { ...object.metadata, finalizers } };
  if (finalizers.length === 0) Reflect.deleteProperty(next.metadata, 'finalizers');
  return next;
}
