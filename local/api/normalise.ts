/** From what a client sent to an object of the kind: decoded, pruned to the schema, with defaults. */
import { badRequest } from './errors.js';
import { clone, dropEmptyMeta, isRecord, type Json, type Obj } from './object.js';
import { apiVersionOf, type Resource } from './resources.js';
import { applyDefaults, dropNulls, linkedSchema, META, prune, typeFault } from './schema.js';

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore';

export interface Normal {
  object: Obj;
  /** For the `Warning` header. */
  warnings: string[];
}

/** Throws 400 when the body is not of the kind, or (Strict) has fields that the kind does not have. */
export function normalise(body: Json, resource: Resource, validation: FieldValidation): Normal {
  const object = clone(body);
  const apiVersion = apiVersionOf(resource);
  const bad = (why: string) =>
    badRequest(`${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: ${why}`);
  object['apiVersion'] ??= apiVersion;
  object['kind'] ??= resource.kind;
  if (object['apiVersion'] !== apiVersion || object['kind'] !== resource.kind) throw otherKind(object, resource);
  object['metadata'] ??= {};
  if (!isRecord(object['metadata']))
    throw bad('json: cannot unmarshal into Go struct field ObjectMeta.metadata of type v1.ObjectMeta');
  if (resource.custom) dropNulls(object['metadata']);
  else dropNulls(object);
  const meta = typeFault(object['metadata'], linkedSchema(META), 'metadata');
  const fault = meta ?? (resource.custom ? undefined : typeFault(object, resource.schema, resource.kind));
  if (fault !== undefined) throw bad(fault);
  const unknown = prune(object, resource.schema).map((path) => `unknown field "${path}"`);
  if (unknown.length > 0 && validation === 'Strict') throw bad(`strict decoding error: ${unknown.join(', ')}`);
  applyDefaults(object, resource.schema);
  dropEmptyMeta(object);
  return { object: object as Obj, warnings: validation === 'Warn' ? unknown : [] };
}

function otherKind(object: Json, resource: Resource): Error {
  const kind = String(object['kind']);
  const version = String(object['apiVersion']);
  if (kind === resource.kind)
    return badRequest(
      `the API version in the data (${version}) does not match the expected API version (${apiVersionOf(resource)})`,
    );
  return badRequest(
    `${kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: no kind "${kind}" is registered for version "${version}"`,
  );
}
