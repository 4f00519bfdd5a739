/** Create, update and the steps that they share with patch: checks, generation, managed fields, and the write itself. */
import { randomBytes, randomUUID } from 'node:crypto';
import { alreadyExists, ApiError, conflict, forbidden, invalid, notFound, type Cause } from './errors.js';
import { celFaults, hasRules } from './cel.js';
import { inward, type Context } from './context.js';
import { CLEANUP } from './definitionRules.js';
import { afterUpdate, type Manager } from './managed.js';
import { metaFaults, missingName } from './meta.js';
import {
  clone,
  dropEmptyMeta,
  isRecord,
  keyFor,
  list,
  record,
  same,
  text,
  timestamp,
  type Json,
  type Obj,
} from './object.js';
import { apiVersionOf, type Resource } from './resources.js';
import type { Schema } from './schema.js';
import { invalidValue, validate } from './validate.js';

export interface WriteOptions {
  dryRun: boolean;
  /** Field manager: the parameter, or the program's name from User-Agent. */
  manager: string;
  subresource: '' | 'status' | 'scale';
  /** Set when the managed fields are made already (server-side apply). */
  applied?: boolean;
}

export const managerOf = (resource: Resource, options: WriteOptions, operation: Manager['operation']): Manager => ({
  name: options.manager,
  operation,
  apiVersion: apiVersionOf(resource),
  subresource: options.subresource,
});

const BLOCKING = new Set(
  ['NotSupported', 'Required', 'TooLong', 'TooMany', 'TypeInvalid'].map((reason) => `FieldValue${reason}`),
);
const UNCHECKED: Cause = {
  reason: 'FieldValueInvalid',
  field: '<nil>',
  message:
    'Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
};

/** Checks an object of a kind; the schema of built-in kinds was checked when it was decoded. */
function faults(object: Obj, old: Obj | undefined, resource: Resource): Cause[] {
  const causes = metaFaults(object, old, resource);
  if (!resource.custom) return [...causes, ...(resource.rules.validate?.(object, old) ?? [])];
  const { metadata: _metadata, ...properties } = resource.schema.properties ?? {};
  const schema: Schema = { ...resource.schema, properties };
  const shape = validate({ ...object, metadata: undefined }, schema, '');
  causes.push(...shape);
  // Rules speak of values of the right shape only.
  if (!shape.some((cause) => BLOCKING.has(cause.reason))) causes.push(...celFaults(object, old, resource.schema));
  else if (hasRules(resource.schema)) causes.push(UNCHECKED);
  return causes;
}

/** The namespace must be there and alive. */
export function admitNamespace(context: Context, resource: Resource, object: Obj): void {
  const namespace = object.metadata.namespace;
  if (!resource.namespaced || namespace === undefined) return;
  const found = context.store.get('core/namespaces', namespace);
  if (found === undefined) throw notFound({ group: '', plural: 'namespaces' }, namespace);
  if (found.metadata.deletionTimestamp === undefined) return;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  throw forbidden(resource, object.metadata.name, why, [
    {
      reason: 'NamespaceTerminating',
      message: `namespace ${namespace} is being terminated`,
      field: 'metadata.namespace',
    },
  ]);
}

const SUFFIX = 'bcdfghjklmnpqrstvwxz2456789';
const suffix = (): string => [...randomBytes(5)].map((byte) => SUFFIX[byte % SUFFIX.length]).join('');

/** A new object as it will be kept, not yet written. `sent` is normalised. */
export function prepareNew(context: Context, resource: Resource, sent: Obj): Obj {
  const meta = sent.metadata;
  if ((meta.resourceVersion ?? '') !== '')
    throw new ApiError({ code: 500, message: 'resourceVersion should not be set on objects to be created' });
  const name =
    text(meta.name) === '' && text(meta.generateName) !== ''
      ? `${text(meta.generateName).slice(0, 58)}${suffix()}`
      : text(meta.name);
  if (name === '') throw invalid(resource, '', [missingName()]);
  const { deletionTimestamp: _time, deletionGracePeriodSeconds: _grace, ...rest } = meta;
  const object: Obj = {
    ...sent,
    metadata: {
      ...rest,
      name,
      uid: randomUUID(),
      creationTimestamp: timestamp(context.clock.now()),
      ...(resource.generation ? { generation: 1 } : {}),
    },
  };
  if (!resource.generation) Reflect.deleteProperty(object.metadata, 'generation');
  if (!resource.namespaced) Reflect.deleteProperty(object.metadata, 'namespace');
  if (resource.status && resource.plural !== 'nodes') Reflect.deleteProperty(object, 'status');
  resource.rules.prepare?.(object, undefined);
  const first = resource.rules.firstStatus?.(object);
  if (first !== undefined) object['status'] ??= first;
  if (resource.plural === 'customresourcedefinitions')
    object.metadata.finalizers = [...new Set([...list(object.metadata.finalizers).map(text), CLEANUP])];
  return object;
}

/** Checks and writes a new object. */
export function insert(context: Context, resource: Resource, object: Obj, options: WriteOptions): Obj {
  admitNamespace(context, resource, object);
  const causes = faults(object, undefined, resource);
  if (causes.length > 0) throw invalid(resource, object.metadata.name, causes);
  const kept = inward(resource, object);
  if (context.store.get(resource.key, keyFor(kept.metadata)) !== undefined)
    throw alreadyExists(resource, object.metadata.name);
  if (options.applied !== true) {
    const fields = managed(context, resource, { before: undefined, after: object, options });
    kept.metadata = { ...kept.metadata, ...(fields.length === 0 ? {} : { managedFields: fields }) };
  }
  return options.dryRun ? kept : context.store.put(resource.key, kept);
}

function managed(
  context: Context,
  resource: Resource,
  step: { before: Obj | undefined; after: Obj; options: WriteOptions },
): Json[] {
  return afterUpdate({
    before: step.before,
    after: step.after,
    schema: resource.schema,
    manager: managerOf(resource, step.options, 'Update'),
    time: timestamp(context.clock.now()),
  });
}

/** What the client wants laid over what it may not change. `old` and `sent` are in the resource's version. */
export function prepareChanged(resource: Resource, old: Obj, sent: Obj, options: WriteOptions): Obj {
  const { uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, generation } = old.metadata;
  const fixed = { uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, generation };
  if (options.subresource === 'status')
    return clone({
      ...old,
      status: sent['status'],
      metadata: { ...old.metadata, managedFields: sent.metadata.managedFields },
    });
  const object = clone({
    ...sent,
    metadata: { ...sent.metadata, ...fixed, name: old.metadata.name, namespace: old.metadata.namespace },
  }) as Obj;
  if (resource.status) object['status'] = clone(old['status']);
  if (object['status'] === undefined) Reflect.deleteProperty(object, 'status');
  if (resource.plural === 'namespaces') object['spec'] = clone(old['spec']);
  resource.rules.prepare?.(object, old);
  dropEmptyMeta(object);
  return object;
}

const withoutMeta = (object: Obj): Json => {
  const { metadata: _metadata, status: _status, apiVersion: _version, ...rest } = object;
  return rest;
};

/** Refuses a change made on the ground of another state of the object. */
export function checkPreconditions(resource: Resource, old: Obj, sent: Obj): void {
  const { uid, resourceVersion } = sent.metadata;
  const name = old.metadata.name;
  if (uid !== undefined && uid !== '' && uid !== old.metadata.uid)
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid ?? ''}`,
    );
  if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== old.metadata.resourceVersion)
    throw conflict(resource, name);
}

/** Checks and writes a changed object; writes nothing when nothing changed. Both are in the resource's version. */
export function change(
  context: Context,
  resource: Resource,
  states: { old: Obj; next: Obj },
  options: WriteOptions,
): Obj {
  const { old, next } = states;
  const causes = faults(next, old, resource);
  if (causes.length > 0) throw invalid(resource, old.metadata.name, causes);
  const bumps = resource.generation && options.subresource !== 'status' && !same(withoutMeta(old), withoutMeta(next));
  if (bumps) next.metadata.generation = (old.metadata.generation ?? 0) + 1;
  next.metadata.resourceVersion = old.metadata.resourceVersion ?? '';
  if (isUnchanged(old, next, options)) return inward(resource, old);
  if (options.applied !== true)
    next.metadata.managedFields = managed(context, resource, { before: old, after: next, options });
  const kept = inward(resource, next);
  if (options.dryRun) return kept;
  return isFinished(kept) ? context.store.remove(resource.key, kept) : context.store.put(resource.key, kept);
}

function isUnchanged(old: Obj, next: Obj, options: WriteOptions): boolean {
  if (options.applied === true) return same(old, next);
  const bare = (object: Obj) => ({ ...object, metadata: { ...object.metadata, managedFields: undefined } });
  const cleared = Array.isArray(next.metadata.managedFields) && next.metadata.managedFields.length === 0;
  return !cleared && same(bare(old), bare(next));
}

/** Deleted, and nobody holds it any more. */
export const isFinished = (object: Obj): boolean =>
  object.metadata.deletionTimestamp !== undefined &&
  list(object.metadata.finalizers).length === 0 &&
  (object.metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
  !list(isRecord(object['spec']) && object.kind === 'Namespace' ? record(object['spec'])['finalizers'] : []).length;

/** PUT of a custom object must say which state it replaces. */
export function requireVersion(resource: Resource, sent: Obj): void {
  if (!resource.custom || (sent.metadata.resourceVersion ?? '') !== '') return;
  // Here the real one names the resource, not the kind.
  throw invalid({ group: resource.group, kind: resource.plural }, sent.metadata.name, [
    invalidValue('metadata.resourceVersion', 0, 'must be specified for an update'),
  ]);
}
