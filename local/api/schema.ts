/** JSON schemas of objects, as the API's OpenAPI documents and CRDs write them, and the walks that every write takes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../process/root.js';
import { clone, isRecord, type Json } from './object.js';

export interface Schema {
  type?: string;
  format?: string;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  required?: string[];
  enum?: unknown[];
  default?: unknown;
  nullable?: boolean;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minProperties?: number;
  maxProperties?: number;
  allOf?: Schema[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  not?: Schema;
  $ref?: string;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-embedded-resource'?: boolean;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-map-type'?: string;
  'x-kubernetes-patch-merge-key'?: string;
  'x-kubernetes-patch-strategy'?: string;
  'x-kubernetes-validations'?: ValidationRule[];
}

export interface ValidationRule {
  rule: string;
  message?: string;
  messageExpression?: string;
  reason?: string;
  fieldPath?: string;
  optionalOldSelf?: boolean;
}

interface BuiltinFile {
  /** `group/version/Kind` → name of the schema. */
  kinds: Record<string, string>;
  schemas: Record<string, Schema>;
}

let loaded: { file: BuiltinFile; linked: Map<string, Schema> } | undefined;
const PREFIX = '#/components/schemas/';
export const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

/** The built-in kinds' schemas (structure only), read once. */
export function builtinSchemas(): BuiltinFile {
  return load().file;
}

function load() {
  if (loaded !== undefined) return loaded;
  const path = join(packageRoot(), 'local/api/schemas/builtin.json');
  const file = JSON.parse(readFileSync(path, 'utf8')) as BuiltinFile;
  return (loaded = { file, linked: new Map<string, Schema>() });
}

/** The schema of that name with its references followed; shared parts are shared objects. */
export function linkedSchema(name: string): Schema {
  const { file, linked } = load();
  const done = linked.get(name);
  if (done !== undefined) return done;
  const shell: Schema = {};
  linked.set(name, shell);
  return Object.assign(shell, link(file.schemas[name] ?? {}));
}

export function builtinSchema(group: string, version: string, kind: string): Schema | undefined {
  const name = builtinSchemas().kinds[`${group}/${version}/${kind}`];
  return name === undefined ? undefined : linkedSchema(name);
}

function link(schema: Schema): Schema {
  if (schema.$ref !== undefined) {
    const { $ref, ...rest } = schema;
    const target = linkedSchema($ref.slice(PREFIX.length));
    return Object.keys(rest).length === 0 ? target : { ...target, ...rest };
  }
  const out: Schema = { ...schema };
  if (schema.format === 'int-or-string') return { 'x-kubernetes-int-or-string': true };
  if (schema.properties !== undefined)
    out.properties = Object.fromEntries(Object.entries(schema.properties).map(([key, value]) => [key, link(value)]));
  if (schema.items !== undefined) out.items = link(schema.items);
  if (isRecord(schema.additionalProperties)) out.additionalProperties = link(schema.additionalProperties);
  return out;
}

/** The schema of one field of an object, or undefined when the schema does not know it. */
export function fieldSchema(schema: Schema | undefined, key: string): Schema | undefined {
  const named = schema?.properties?.[key];
  if (named !== undefined) return named;
  return isRecord(schema?.additionalProperties) ? (schema.additionalProperties as Schema) : undefined;
}

/** Whether the schema takes any field here: it has no shape, or says so. */
export const isOpen = (schema: Schema): boolean =>
  schema['x-kubernetes-preserve-unknown-fields'] === true ||
  schema.additionalProperties === true ||
  (schema.type === 'object' &&
    schema.properties === undefined &&
    schema.additionalProperties === undefined &&
    schema['x-kubernetes-map-type'] !== 'atomic');

/** Removes the fields that the schema does not know and returns their paths. Changes `value`. */
export function prune(value: unknown, schema: Schema, path = ''): string[] {
  if (Array.isArray(value)) {
    const items = schema.items;
    if (items === undefined) return [];
    return value.flatMap((item: unknown, index) => prune(item, items, `${path}[${index}]`));
  }
  if (!isRecord(value)) return [];
  const unknown: string[] = [];
  for (const key of Object.keys(value)) {
    const field = fieldSchema(schema, key);
    const here = path === '' ? key : `${path}.${key}`;
    if (field !== undefined) unknown.push(...prune(value[key], field, here));
    else if (!isOpen(schema) && schema['x-kubernetes-int-or-string'] !== true) {
      unknown.push(here);
      Reflect.deleteProperty(value, key);
    }
  }
  return unknown;
}

/** Fills in the schema's defaults; a null for a field with a default counts as absent. Changes `value`. */
export function applyDefaults(value: unknown, schema: Schema): void {
  if (Array.isArray(value)) {
    if (schema.items !== undefined) for (const item of value) applyDefaults(item, schema.items);
    return;
  }
  if (!isRecord(value)) return;
  for (const [key, field] of Object.entries(schema.properties ?? {})) {
    const absent = !Object.hasOwn(value, key) || (value[key] === null && field.nullable !== true);
    if (absent && field.default !== undefined) value[key] = clone(field.default);
    if (Object.hasOwn(value, key)) applyDefaults(value[key], field);
  }
  if (isRecord(schema.additionalProperties))
    for (const [key, item] of Object.entries(value))
      if (schema.properties?.[key] === undefined) applyDefaults(item, schema.additionalProperties as Schema);
}

/** Drops nulls as decoding into Go structs does. Changes `value`. */
export function dropNulls(value: unknown): void {
  if (Array.isArray(value)) for (const item of value) dropNulls(item);
  if (!isRecord(value)) return;
  for (const key of Object.keys(value)) {
    if (value[key] === null) Reflect.deleteProperty(value, key);
    else dropNulls(value[key]);
  }
}

/** The first place where a value is of another JSON type than a built-in kind's schema says; a real server cannot decode it. */
export function typeFault(value: unknown, schema: Schema, path: string): string | undefined {
  if (value === null || value === undefined || schema['x-kubernetes-int-or-string'] === true) return undefined;
  if (Array.isArray(value)) {
    if (schema.type !== undefined && schema.type !== 'array') return wrong('array', path, schema);
    return first(value.map((item: unknown) => () => typeFault(item, schema.items ?? {}, path)));
  }
  if (isRecord(value)) {
    if (schema.type !== undefined && schema.type !== 'object') return wrong('object', path, schema);
    return first(
      Object.entries(value).map(
        ([key, item]) =>
          () =>
            typeFault(
              item,
              fieldSchema(schema, key) ?? {},
              schema.properties?.[key] === undefined ? path : `${path}.${key}`,
            ),
      ),
    );
  }
  const type = typeof value;
  if (schema.type === undefined && schema.oneOf !== undefined) return undefined;
  if (schema.type === undefined || schema.type === type || (schema.type === 'number' && type === 'number'))
    return undefined;
  if (schema.type === 'integer' && Number.isInteger(value)) return undefined;
  return wrong(type === 'boolean' ? 'bool' : type, path, schema);
}

const wrong = (is: string, path: string, schema: Schema) =>
  `json: cannot unmarshal ${is} into Go struct field ${path.replace(/^\./, '')} of type ${schema.format ?? schema.type ?? ''}`;

function first(checks: (() => string | undefined)[]): string | undefined {
  for (const check of checks) {
    const fault = check();
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** The root schema of a custom kind: its own with real object metadata. */
export function customRoot(schema: Schema | undefined): Schema {
  const own = schema ?? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    ...own,
    properties: {
      ...own.properties,
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: linkedSchema(META),
    },
  };
}

export type { Json };
