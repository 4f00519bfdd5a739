/**
 * Sets of field paths, as managedFields write them (FieldsV1): `f:name` a field, `k:{…}` an item of a keyed list, `v:…` an
 * item of a set; `.` the place itself. Source: the Kubernetes reference of server-side apply.
 */
import { isRecord, list, same, type Json } from './object.js';
import { fieldSchema, type Schema } from './schema.js';

export interface FieldSet {
  /** Whether the place itself belongs to the set. */
  member: boolean;
  children: Map<string, FieldSet>;
}

export const emptySet = (): FieldSet => ({ member: false, children: new Map() });
export const isEmpty = (set: FieldSet): boolean => !set.member && set.children.size === 0;

export function fromFieldsV1(value: unknown, top = true): FieldSet {
  const set = emptySet();
  if (!isRecord(value)) return set;
  const keys = Object.keys(value);
  set.member = (keys.length === 0 && !top) || keys.includes('.');
  for (const key of keys) if (key !== '.') set.children.set(key, fromFieldsV1(value[key], false));
  return set;
}

export function toFieldsV1(set: FieldSet): Json {
  const out: Json = {};
  if (set.member && set.children.size > 0) out['.'] = {};
  for (const key of [...set.children.keys()].sort()) out[key] = toFieldsV1(set.children.get(key) ?? emptySet());
  return out;
}

type Combine = (left: boolean, right: boolean) => boolean;

function combine(left: FieldSet | undefined, right: FieldSet | undefined, rule: Combine): FieldSet {
  const out = emptySet();
  out.member = rule(left?.member ?? false, right?.member ?? false);
  const keys = new Set([...(left?.children.keys() ?? []), ...(right?.children.keys() ?? [])]);
  for (const key of keys) {
    const child = combine(left?.children.get(key), right?.children.get(key), rule);
    if (!isEmpty(child)) out.children.set(key, child);
  }
  return out;
}

export const union = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (x, y) => x || y);
export const intersection = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (x, y) => x && y);
export const difference = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (x, y) => x && !y);

export const equalSets = (a: FieldSet, b: FieldSet): boolean =>
  a.member === b.member &&
  a.children.size === b.children.size &&
  [...a.children].every(([key, child]) => {
    const other = b.children.get(key);
    return other !== undefined && equalSets(child, other);
  });

/** How lists and maps are owned: as one value, by item, or by field. */
export type Ownership = 'atomic' | 'fields' | 'keyed' | 'set';

export function ownership(value: unknown, schema: Schema | undefined): Ownership {
  if (Array.isArray(value)) {
    const type = schema?.['x-kubernetes-list-type'];
    if (type === 'map' && value.every(isRecord)) return 'keyed';
    return type === 'set' ? 'set' : 'atomic';
  }
  return isRecord(value) && schema?.['x-kubernetes-map-type'] !== 'atomic' ? 'fields' : 'atomic';
}

/** The name of a keyed list's item, with the schema's defaults for missing keys. */
export function itemKey(item: Json, schema: Schema | undefined): string {
  const keys = [...(schema?.['x-kubernetes-list-map-keys'] ?? [])].sort();
  const values = keys.map((key) => [key, item[key] ?? schema?.items?.properties?.[key]?.default] as const);
  return `k:${JSON.stringify(Object.fromEntries(values.filter(([, value]) => value !== undefined)))}`;
}

export const setKey = (item: unknown): string => `v:${JSON.stringify(item)}`;

/** One child place of a value: its path element, its value and schema. */
export interface Child {
  element: string;
  value: unknown;
  schema: Schema | undefined;
}

export function childrenOf(value: unknown, schema: Schema | undefined): Child[] {
  switch (ownership(value, schema)) {
    case 'atomic':
      return [];
    case 'fields':
      return Object.entries(value as Json).map(([key, item]) => ({
        element: `f:${key}`,
        value: item,
        schema: fieldSchema(schema, key),
      }));
    case 'keyed':
      return list(value).map((item) => ({
        element: itemKey(item as Json, schema),
        value: item,
        schema: schema?.items,
      }));
    case 'set':
      return list(value).map((item) => ({ element: setKey(item), value: item, schema: undefined }));
  }
}

/** All fields that a value sets. `placeToo`: items of lists count themselves, beside their fields. */
export function fieldsOf(value: unknown, schema: Schema | undefined, item = false): FieldSet {
  const set = emptySet();
  const children = childrenOf(value, schema);
  set.member = item || children.length === 0;
  for (const child of children)
    set.children.set(child.element, fieldsOf(child.value, child.schema, /^[kv]:/.test(child.element)));
  return set;
}

/** What differs between two states: fields that are new or have another value, and fields that are gone. */
export interface Difference {
  changed: FieldSet;
  removed: FieldSet;
}

export function compare(before: unknown, after: unknown, schema: Schema | undefined): Difference {
  const result: Difference = { changed: emptySet(), removed: emptySet() };
  if (before === undefined && after === undefined) return result;
  if (after === undefined) return { ...result, removed: places(before, schema) };
  if (before === undefined) return { ...result, changed: places(after, schema) };
  if (ownership(before, schema) === 'atomic' || ownership(after, schema) === 'atomic') {
    result.changed.member = !same(before, after);
    return result;
  }
  const old = new Map(childrenOf(before, schema).map((child) => [child.element, child]));
  const now = new Map(childrenOf(after, schema).map((child) => [child.element, child]));
  for (const element of new Set([...old.keys(), ...now.keys()])) {
    const child = now.get(element) ?? old.get(element);
    const inner = compare(old.get(element)?.value, now.get(element)?.value, child?.schema);
    if (!isEmpty(inner.changed)) result.changed.children.set(element, inner.changed);
    if (!isEmpty(inner.removed)) result.removed.children.set(element, inner.removed);
  }
  return result;
}

/** All places of a value: every field, and every map and list around them. */
function places(value: unknown, schema: Schema | undefined): FieldSet {
  const set = emptySet();
  set.member = true;
  for (const child of childrenOf(value, schema)) set.children.set(child.element, places(child.value, child.schema));
  return set;
}

/** Paths of the members, written as errors name them: `.spec.ports[name="a"].port`. */
export function pathsOf(set: FieldSet, path = ''): string[] {
  const own = set.member ? [path] : [];
  return [
    ...own,
    ...[...set.children].sort().flatMap(([element, child]) => pathsOf(child, `${path}${written(element)}`)),
  ];
}

function written(element: string): string {
  const rest = element.slice(2);
  if (element.startsWith('f:')) return `.${rest}`;
  if (element.startsWith('v:')) return `[=${rest}]`;
  const keys = JSON.parse(rest) as Json;
  return `[${Object.entries(keys)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(',')}]`;
}
