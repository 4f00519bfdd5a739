/** The verbs on one object: get, create, update, patch, delete; and deletecollection. */
import { badRequest, conflict, invalid, noSuchPatch, notFound, unsupportedMediaType } from './errors.js';
import { outward, type Context } from './context.js';
import { applied } from './managed.js';
import { normalise, type FieldValidation } from './normalise.js';
import { at, clone, isRecord, keyFor, record, text, timestamp, type Json, type Obj } from './object.js';
import { applyJsonPatch, mergePatch, strategicMerge } from './patches.js';
import { matcherOf } from './listing.js';
import { decodeBody, decodeObject, type Target } from './request.js';
import { PROTOBUF } from './protobuf.js';
import type { Resource } from './resources.js';
import { readDeleteOptions, removeObject } from './remove.js';
import { scaled, scaleOf } from './scale.js';
import { invalidValue } from './validate.js';
import {
  admitNamespace,
  change,
  checkPreconditions,
  insert,
  managerOf,
  prepareChanged,
  prepareNew,
  requireVersion,
  type WriteOptions,
} from './write.js';

/** One request for a verb. */
export interface Call {
  resource: Resource;
  target: Target;
  query: URLSearchParams;
  body: Buffer;
  /** Media type of the body, without parameters. */
  contentType: string;
  userAgent: string;
  method: string;
}

export interface Outcome {
  code: number;
  /** A kept object (presented by the resource's form), or a finished body. */
  object?: Obj;
  body?: Json;
  warnings: string[];
}

function bodyOf(call: Call): Json {
  const allowed = ['application/json', 'application/yaml', ...(call.resource.custom ? [] : [PROTOBUF])];
  if (!['', ...allowed].includes(call.contentType)) throw unsupportedMediaType(allowed);
  return decodeObject(call.body, call.contentType);
}

const validationOf = (query: URLSearchParams): FieldValidation => {
  const value = query.get('fieldValidation');
  return value === 'Strict' || value === 'Ignore' ? value : 'Warn';
};

function optionsOf(call: Call): WriteOptions {
  const { subresource } = call.target;
  if (![...new Set(call.query.getAll('dryRun'))].every((value) => value === 'All'))
    throw invalid({ group: 'meta.k8s.io', kind: 'Options' }, '', [
      invalidValue('dryRun', call.query.get('dryRun'), 'supported values: "All"'),
    ]);
  return {
    dryRun: call.query.getAll('dryRun').includes('All'),
    manager: (call.query.get('fieldManager') ?? (call.userAgent.split('/')[0] || 'unknown')).slice(0, 128),
    subresource: subresource === 'status' || subresource === 'scale' ? subresource : '',
  };
}

const keyOf = (target: Target): string =>
  target.namespace === '' ? target.name : `${target.namespace}/${target.name}`;

function found(context: Context, call: Call): Obj {
  const object = context.store.get(call.resource.key, keyOf(call.target));
  if (object === undefined) throw notFound(call.resource, call.target.name);
  return object;
}

function answer(call: Call, code: number, object: Obj, warnings: string[] = []): Outcome {
  if (call.target.subresource !== 'scale' || call.resource.scale === undefined) return { code, object, warnings };
  return { code, body: scaleOf(outward(call.resource, object), call.resource.scale), warnings };
}

export const get = (context: Context, call: Call): Outcome => answer(call, 200, found(context, call));

function inNamespace(call: Call, object: Obj): void {
  const given = object.metadata.namespace ?? '';
  if (call.resource.namespaced && given !== '' && given !== call.target.namespace)
    throw badRequest(`the namespace of the provided object does not match the namespace sent on the request`);
  if (call.resource.namespaced) object.metadata.namespace = call.target.namespace;
  else Reflect.deleteProperty(object.metadata, 'namespace');
}

export async function create(context: Context, call: Call): Promise<Outcome> {
  const options = optionsOf(call);
  const { object, warnings } = normalise(bodyOf(call), call.resource, validationOf(call.query));
  inNamespace(call, object);
  Reflect.deleteProperty(object.metadata, 'managedFields');
  const kept = await insertAdmitted(context, call.resource, prepareNew(context, call.resource, object), options);
  return answer(call, 201, kept, warnings);
}

/** Admission: pods get their port numbers. */
async function insertAdmitted(context: Context, resource: Resource, object: Obj, options: WriteOptions): Promise<Obj> {
  if (resource.key !== 'core/pods' || options.dryRun) return insert(context, resource, object, options);
  admitNamespace(context, resource, object);
  const numbers = await context.ports.assign(object);
  try {
    return insert(context, resource, object, options);
  } finally {
    context.ports.settle(numbers);
  }
}

export function update(context: Context, call: Call): Outcome {
  const options = optionsOf(call);
  const old = found(context, call);
  const shown = outward(call.resource, old);
  if (options.subresource === 'scale') {
    const next = scaled(call.resource, shown, bodyOf(call));
    return writeNext(context, call, { shown, sent: next }, { ...options, subresource: '' });
  }
  const { object, warnings } = normalise(bodyOf(call), call.resource, validationOf(call.query));
  inNamespace(call, object);
  if (object.metadata.name !== call.target.name)
    throw badRequest(
      `the name of the object (${object.metadata.name}) does not match the name on the URL (${call.target.name})`,
    );
  requireVersion(call.resource, object);
  return { ...writeNext(context, call, { shown, sent: object }, options), warnings };
}

function writeNext(context: Context, call: Call, states: { shown: Obj; sent: Obj }, options: WriteOptions): Outcome {
  const { shown, sent } = states;
  checkPreconditions(call.resource, shown, sent);
  const next = prepareChanged(call.resource, shown, sent, options);
  return answer(call, 200, change(context, call.resource, { old: shown, next }, options));
}

const PATCHES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
];

export async function patch(context: Context, call: Call): Promise<Outcome> {
  const allowed = call.resource.custom ? PATCHES.filter((type) => !type.includes('strategic')) : PATCHES;
  if (!PATCHES.includes(call.contentType)) throw noSuchPatch();
  if (!allowed.includes(call.contentType)) throw unsupportedMediaType(allowed);
  if (call.contentType === 'application/apply-patch+yaml') return await apply(context, call);
  const options = optionsOf(call);
  if (call.query.has('force'))
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [
      { reason: 'FieldValueForbidden', field: 'force', message: 'Forbidden: may not be specified for non-apply patch' },
    ]);
  const shown = outward(call.resource, found(context, call));
  const scale = options.subresource === 'scale' ? call.resource.scale : undefined;
  const result = patched(call, scale === undefined ? shown : scaleOf(shown, scale));
  if (scale !== undefined)
    return writeNext(
      context,
      call,
      { shown, sent: scaled(call.resource, shown, record(result)) },
      { ...options, subresource: '' },
    );
  if (!isRecord(result)) throw badRequest('the patch does not leave an object');
  const { object, warnings } = normalise(result, call.resource, validationOf(call.query));
  checkNames(call.resource, shown, object);
  return { ...writeNext(context, call, { shown, sent: object }, options), warnings };
}

function patched(call: Call, object: Obj): unknown {
  const body = decodeBody(call.body, 'application/json');
  if (call.contentType === 'application/json-patch+json') return applyJsonPatch(object, body);
  if (!isRecord(body))
    throw badRequest('error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}');
  return call.contentType === 'application/merge-patch+json'
    ? mergePatch(object, body)
    : strategicMerge(object, body, call.resource.schema);
}

function checkNames(resource: Resource, old: Obj, next: Obj): void {
  const { name } = old.metadata;
  if (next.metadata.name !== name)
    throw invalid(resource, name, [invalidValue('metadata.name', next.metadata.name, 'field is immutable')]);
  if ((next.metadata.namespace ?? old.metadata.namespace) !== old.metadata.namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
}

/** Server-side apply: creates what is missing, merges into what is there. */
async function apply(context: Context, call: Call): Promise<Outcome> {
  const manager = call.query.get('fieldManager') ?? '';
  if (manager === '')
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [
      { reason: 'FieldValueRequired', field: 'fieldManager', message: 'Required value: is required for apply patch' },
    ]);
  const options: WriteOptions = { ...optionsOf(call), manager, applied: true };
  const sent = decodeObject(call.body, call.contentType);
  if (text(sent['apiVersion']) === '' || text(sent['kind']) === '')
    throw badRequest("error decoding YAML: Object 'Kind' is missing in the apply configuration");
  const { object: checked, warnings } = normaliseApplied(sent, call);
  const live = context.store.get(call.resource.key, keyOf(call.target));
  const shown = live === undefined ? undefined : outward(call.resource, live);
  if (shown !== undefined) checkPreconditions(call.resource, shown, checked);
  if (shown === undefined && (checked.metadata.uid ?? '') !== '') throw notFound(call.resource, call.target.name);
  const merged = applied({
    live: shown,
    configuration: checked,
    schema: call.resource.schema,
    manager: managerOf(call.resource, options, 'Apply'),
    force: ['true', '1'].includes(call.query.get('force') ?? ''),
    time: timestamp(context.clock.now()),
  });
  const { object } = normalise(merged, call.resource, 'Ignore');
  if (shown === undefined) {
    if (options.subresource !== '') throw notFound(call.resource, call.target.name);
    Reflect.deleteProperty(object.metadata, 'resourceVersion');
    return answer(
      call,
      201,
      await insertAdmitted(context, call.resource, prepareNew(context, call.resource, object), options),
      warnings,
    );
  }
  const next = prepareChanged(call.resource, shown, object, options);
  return answer(call, 200, change(context, call.resource, { old: shown, next }, options), warnings);
}

/** The configuration as the client means it: checked and pruned, but without defaults, which nobody applied. */
function normaliseApplied(sent: Json, call: Call): { object: Obj; warnings: string[] } {
  const bare: Resource = { ...call.resource, schema: withoutDefaults(call.resource) };
  const { object, warnings } = normalise(sent, bare, validationOf(call.query));
  if (text(object.metadata.name) === '') object.metadata.name = call.target.name;
  if (object.metadata.name !== call.target.name)
    throw badRequest(
      `metadata.name: the name of the object (${object.metadata.name}) does not match the name on the URL (${call.target.name})`,
    );
  inNamespace(call, object);
  return { object, warnings };
}

const bareSchemas = new WeakMap<object, Resource['schema']>();

function withoutDefaults(resource: Resource): Resource['schema'] {
  const known = bareSchemas.get(resource.schema);
  if (known !== undefined) return known;
  const strip = (schema: Resource['schema']): Resource['schema'] => {
    const done = bareSchemas.get(schema);
    if (done !== undefined) return done;
    const { default: _default, ...bare } = schema;
    bareSchemas.set(schema, bare);
    if (schema.properties !== undefined)
      bare.properties = Object.fromEntries(Object.entries(schema.properties).map(([key, part]) => [key, strip(part)]));
    if (schema.items !== undefined) bare.items = strip(schema.items);
    if (isRecord(schema.additionalProperties))
      bare.additionalProperties = strip(schema.additionalProperties as Resource['schema']);
    return bare;
  };
  return strip(resource.schema);
}

function deleteOptions(call: Call) {
  const body = call.body.length === 0 ? undefined : decodeObject(call.body, call.contentType);
  return readDeleteOptions(body, call.query);
}

export function remove(context: Context, call: Call): Outcome {
  const { object, gone } = removeObject(context, call.resource, found(context, call), deleteOptions(call));
  if (!gone || call.resource.rules.returnsDeleted === true) return { code: 200, object, warnings: [] };
  const { group, plural } = call.resource;
  const details = {
    name: object.metadata.name,
    ...(group === '' ? {} : { group }),
    kind: plural,
    uid: object.metadata.uid,
  };
  return {
    code: 200,
    body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details },
    warnings: [],
  };
}

/** Deletes every object of the scope; answers them as a list. */
export function removeAll(context: Context, call: Call): Obj[] {
  const options = deleteOptions(call);
  const matches = matcherOf({ resource: call.resource, namespace: call.target.namespace, name: '', query: call.query });
  const all = context.store.list(call.resource.key).filter(matches);
  return all.map((object) => {
    const current = context.store.get(call.resource.key, keyFor(object.metadata));
    return current === undefined ? object : removeObject(context, call.resource, current, options).object;
  });
}

/** POST pods/{name}/binding: gives a pod its node. */
export function bind(context: Context, call: Call): Outcome {
  const body = bodyOf(call);
  const node = text(at(body, 'target', 'name'));
  const pod = found(context, call);
  if (node === '')
    throw invalid({ group: '', kind: 'Binding' }, call.target.name, [
      { reason: 'FieldValueRequired', field: 'target.name', message: 'Required value' },
    ]);
  if (text(at(pod, 'spec', 'nodeName')) !== '') throw alreadyBound(call, text(at(pod, 'spec', 'nodeName')));
  const next = clone({ ...pod, spec: { ...record(pod['spec']), nodeName: node } }) as Obj;
  const options = optionsOf(call);
  if (!options.dryRun) context.store.put(call.resource.key, withCondition(next, timestamp(context.clock.now())));
  return {
    code: 201,
    body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 },
    warnings: [],
  };
}

function withCondition(pod: Obj, time: string): Obj {
  const status = record(pod['status']);
  const others = (Array.isArray(status['conditions']) ? (status['conditions'] as Json[]) : []).filter(
    (one) => one['type'] !== 'PodScheduled',
  );
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: time };
  return { ...pod, status: { ...status, conditions: [...others, scheduled] } };
}

const alreadyBound = (call: Call, node: string): Error =>
  conflict(
    call.resource,
    call.target.name,
    `pod ${call.target.name} is already assigned to node ${JSON.stringify(node)}`,
  );
