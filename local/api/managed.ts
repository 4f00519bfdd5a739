/** metadata.managedFields: who set which field, kept at every write, and server-side apply with its conflicts. */
import { applyConflict, badRequest } from './errors.js';
import {
  compare,
  difference,
  emptySet,
  equalSets,
  fieldsOf,
  fromFieldsV1,
  intersection,
  isEmpty,
  pathsOf,
  toFieldsV1,
  union,
  type FieldSet,
} from './fieldset.js';
import { isRecord, list, text, type Json, type Obj } from './object.js';
import type { Schema } from './schema.js';
import { overlay, without } from './typedMerge.js';

export interface Manager {
  name: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  subresource: string;
}

interface Entry extends Manager {
  time: string;
  fields: FieldSet;
}

/** The server's own fields belong to nobody. */
const UNOWNED: readonly (readonly string[])[] = [
  ['f:apiVersion'],
  ['f:kind'],
  ...[
    'name',
    'namespace',
    'generateName',
    'creationTimestamp',
    'selfLink',
    'uid',
    'clusterName',
    'generation',
    'managedFields',
    'resourceVersion',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
  ].map((key) => ['f:metadata', `f:${key}`]),
];

function owned(set: FieldSet): FieldSet {
  const out: FieldSet = { member: false, children: new Map(set.children) };
  const metadata = out.children.get('f:metadata');
  const inner: FieldSet = { member: false, children: new Map(metadata?.children) };
  for (const [first = '', second] of UNOWNED) {
    if (second === undefined) out.children.delete(first);
    else inner.children.delete(second);
  }
  if (metadata === undefined || inner.children.size === 0) out.children.delete('f:metadata');
  else out.children.set('f:metadata', inner);
  return out;
}

function read(object: Obj | undefined): Entry[] {
  return list(object?.metadata.managedFields)
    .filter(isRecord)
    .map((entry) => ({
      name: text(entry['manager']),
      operation: entry['operation'] === 'Apply' ? 'Apply' : 'Update',
      apiVersion: text(entry['apiVersion']),
      subresource: text(entry['subresource']),
      time: text(entry['time']),
      fields: fromFieldsV1(entry['fieldsV1']),
    }));
}

function write(entries: Entry[]): Json[] {
  const order = (entry: Entry) => `${entry.operation === 'Apply' ? 0 : 1} ${entry.time} ${entry.name}`;
  return entries
    .filter((entry) => !isEmpty(entry.fields))
    .sort((a, b) => (order(a) < order(b) ? -1 : 1))
    .map((entry) => ({
      manager: entry.name,
      operation: entry.operation,
      apiVersion: entry.apiVersion,
      ...(entry.time === '' ? {} : { time: entry.time }),
      fieldsType: 'FieldsV1',
      fieldsV1: toFieldsV1(entry.fields),
      ...(entry.subresource === '' ? {} : { subresource: entry.subresource }),
    }));
}

const isSame = (entry: Manager, manager: Manager): boolean =>
  entry.name === manager.name &&
  entry.operation === manager.operation &&
  entry.subresource === manager.subresource &&
  entry.apiVersion === manager.apiVersion;

/** At most this many managers of one object; the oldest updaters share one entry, as in a real server. */
const MANAGERS = 10;

function merged(entries: Entry[]): Entry[] {
  const updates = entries.filter((entry) => entry.operation === 'Update');
  if (updates.length <= MANAGERS) return entries;
  const oldest = [...updates].sort((a, b) => (a.time < b.time ? -1 : 1)).slice(0, updates.length - MANAGERS + 1);
  const rest = entries.filter((entry) => !oldest.includes(entry));
  const first = oldest[0];
  if (first === undefined) return entries;
  const fields = oldest.reduce((set, entry) => union(set, entry.fields), emptySet());
  return [...rest, { ...first, name: 'ancient-changes', fields }];
}

/** The managedFields after a plain write: the writer owns what it changed, nobody owns what it removed. */
export function afterUpdate(options: {
  before: Obj | undefined;
  after: Obj;
  schema: Schema;
  manager: Manager;
  time: string;
}): Json[] {
  const { before, after, schema, manager, time } = options;
  // Clients may clear the list, and only that.
  const cleared = Array.isArray(after.metadata.managedFields) && after.metadata.managedFields.length === 0;
  const entries = cleared && before !== undefined ? [] : read(before);
  const delta = compare(before ?? {}, after, schema);
  const changed = owned(delta.changed);
  const gone = union(changed, owned(delta.removed));
  if (isEmpty(gone)) return write(entries);
  const mine = entries.find((entry) => isSame(entry, manager));
  const others = entries
    .filter((entry) => entry !== mine)
    .map((entry) => ({ ...entry, fields: difference(entry.fields, gone) }));
  const fields = union(difference(mine?.fields ?? emptySet(), owned(delta.removed)), changed);
  return write(merged([...others, { ...manager, time, fields }]));
}

/** The result of an apply: the object with its managedFields, before defaults and checks. */
export function applied(options: {
  live: Obj | undefined;
  configuration: Obj;
  schema: Schema;
  manager: Manager;
  force: boolean;
  time: string;
}): Obj {
  const { live, configuration, schema, manager, force, time } = options;
  if (configuration.metadata.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil');
  const entries = read(live);
  const mine = entries.find((entry) => isSame(entry, manager));
  const fields = owned(fieldsOf(configuration, schema));
  const base: Obj | undefined = live;
  const laid = overlay(base, configuration, schema) as Obj;
  const changed = owned(compare(base ?? {}, laid, schema).changed);
  const others = entries.filter((entry) => entry !== mine);
  refuseConflicts(others, changed, force);
  const kept = others.map((entry) => ({ ...entry, fields: difference(entry.fields, intersection(changed, fields)) }));
  const dropped = difference(mine?.fields ?? emptySet(), fields);
  const stillOwned = kept.reduce((set, entry) => union(set, entry.fields), fields);
  const gone = unshared(dropped, stillOwned);
  const result = (without(laid, gone, schema) ?? {}) as Obj;
  const unchanged = mine !== undefined && equalSets(mine.fields, fields) && isEmpty(changed) && isEmpty(gone);
  const entry: Entry = { ...manager, time: unchanged ? mine.time : time, fields };
  return { ...result, metadata: { ...result.metadata, managedFields: write([...kept, entry]) } };
}

/** Members of `dropped` under which nobody owns anything any more. */
function unshared(dropped: FieldSet, owners: FieldSet): FieldSet {
  const out = emptySet();
  out.member = dropped.member && isEmpty(owners);
  for (const [element, child] of dropped.children) {
    const inner = unshared(child, owners.children.get(element) ?? emptySet());
    if (!isEmpty(inner)) out.children.set(element, inner);
  }
  return out;
}

function refuseConflicts(others: Entry[], changed: FieldSet, force: boolean): void {
  if (force) return;
  const causes = others.flatMap((entry) => {
    const using = entry.operation === 'Apply' ? '' : ` using ${entry.apiVersion}`;
    const message = `conflict with ${JSON.stringify(entry.name)}${entry.subresource === '' ? '' : ` with subresource ${JSON.stringify(entry.subresource)}`}${using}`;
    return pathsOf(intersection(entry.fields, changed)).map((field) => ({ manager: entry.name, message, field }));
  });
  if (causes.length > 0) throw applyConflict(causes);
}
