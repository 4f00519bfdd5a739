/** The two walks of server-side apply: laying an applied configuration over an object, and removing what is no longer applied. */
import { isEmpty, itemKey, ownership, setKey, type FieldSet } from './fieldset.js';
import { clone, isRecord, list, type Json } from './object.js';
import { fieldSchema, type Schema } from './schema.js';

/** `applied` over `live`: maps by field, keyed lists by item, sets by value; everything else is replaced. */
export function overlay(live: unknown, applied: unknown, schema: Schema | undefined): unknown {
  if (live === undefined) return clone(applied);
  const kind = ownership(applied, schema);
  if (kind === 'atomic' || kind !== ownership(live, schema)) return clone(applied);
  if (kind === 'fields') {
    const out: Json = { ...(live as Json) };
    for (const [key, value] of Object.entries(applied as Json))
      out[key] = overlay(out[key], value, fieldSchema(schema, key));
    return out;
  }
  const nameOf = (item: unknown) => (kind === 'keyed' ? itemKey(item as Json, schema) : setKey(item));
  const fresh = new Map(list(applied).map((item) => [nameOf(item), item]));
  const old = new Set(list(live).map(nameOf));
  const kept = list(live).map((item) =>
    fresh.has(nameOf(item)) ? overlay(item, fresh.get(nameOf(item)), schema?.items) : item,
  );
  return [...kept, ...[...fresh].filter(([name]) => !old.has(name)).map(([, item]) => clone(item))];
}

/** `value` without the members of `gone`; a place with remaining owned parts below stays. */
export function without(value: unknown, gone: FieldSet, schema: Schema | undefined): unknown {
  if (isEmpty(gone)) return value;
  if (gone.member && gone.children.size === 0) return undefined;
  if (isRecord(value)) return withoutFields(value, gone, schema);
  if (!Array.isArray(value)) return gone.member ? undefined : value;
  const kind = ownership(value, schema);
  const left = value.flatMap((item: unknown) => {
    const child = gone.children.get(kind === 'keyed' ? itemKey(item as Json, schema) : setKey(item));
    if (child === undefined) return [item];
    const rest = child.member ? undefined : without(item, child, schema?.items);
    return rest === undefined ? [] : [rest];
  });
  return left.length === 0 && value.length > 0 ? undefined : left;
}

function withoutFields(value: Json, gone: FieldSet, schema: Schema | undefined): Json | undefined {
  const out: Json = {};
  for (const [key, item] of Object.entries(value)) {
    const child = gone.children.get(`f:${key}`);
    const rest = child === undefined ? item : without(item, child, fieldSchema(schema, key));
    if (rest !== undefined) out[key] = rest;
  }
  return Object.keys(out).length === 0 && Object.keys(value).length > 0 ? undefined : out;
}
