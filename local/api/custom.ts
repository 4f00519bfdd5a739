/** From a CustomResourceDefinition to the resources that it adds, and to its own status. */
import { jsonPath } from './jsonpath.js';
import { at, isRecord, list, record, same, text, timestamp, type Json, type Obj } from './object.js';
import { duration } from './duration.js';
import { subdomainFault } from './quantity.js';
import type { Column, TableShape } from './columns.js';
import type { Resource, ScalePaths } from './resources.js';
import { customRoot, type Schema } from './schema.js';

interface PrinterColumn {
  name: string;
  type: string;
  format?: string;
  description?: string;
  priority?: number;
  jsonPath: string;
}

const NAME: Column = { name: 'Name', type: 'string', format: 'name', description: '', priority: 0 };
const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

/** What kubectl shows of a custom object: its name, and the columns that the definition names. */
function tableOf(version: Json): TableShape {
  const given = list(version['additionalPrinterColumns']) as PrinterColumn[];
  const columns = given.length === 0 ? [AGE] : given;
  const cells = columns.map((column) => ({ column, find: jsonPath(column.jsonPath) }));
  return {
    columns: [
      NAME,
      ...columns.map(({ jsonPath: _path, ...column }) => ({ format: '', description: '', priority: 0, ...column })),
    ],
    cells: (object, now) => [
      object.metadata.name,
      ...cells.map(({ column, find }) => cell(find(object), column.type, now)),
    ],
  };
}

function cell(found: unknown[], type: string, now: number): unknown {
  const value = found[0];
  if (value === undefined || value === null) return type === 'date' ? '<unknown>' : null;
  if (type === 'date') return typeof value === 'string' ? duration(now - Date.parse(value)) : '<unknown>';
  if (type === 'string') return found.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join(',');
  return value;
}

export function resourcesOf(definition: Obj): Resource[] {
  const spec = record(definition['spec']);
  const versions = list(spec['versions']).filter(isRecord);
  const storage = text(versions.find((version) => version['storage'] === true)?.['name']);
  return versions.filter((version) => version['served'] === true).map((version) => resourceOf(spec, version, storage));
}

function resourceOf(spec: Json, version: Json, storageVersion: string): Resource {
  const names = record(spec['names']);
  const group = text(spec['group']);
  const schema = at(version, 'schema', 'openAPIV3Schema') as Schema | undefined;
  const scale = at(version, 'subresources', 'scale') as ScalePaths | undefined;
  const selectable = list(version['selectableFields']).map((field) => text(record(field)['jsonPath']));
  return {
    group,
    version: text(version['name']),
    kind: text(names['kind']),
    plural: text(names['plural']),
    namespaced: spec['scope'] === 'Namespaced',
    singular: text(names['singular']),
    shortNames: list(names['shortNames']).map(text),
    categories: list(names['categories']).map(text),
    key: `${group}/${text(names['plural'])}`,
    custom: true,
    storageVersion,
    status: isRecord(at(version, 'subresources', 'status')),
    ...(scale === undefined ? {} : { scale }),
    generation: true,
    schema: customRoot(schema),
    table: tableOf(version),
    fields: Object.fromEntries(
      selectable.map((path) => [path.slice(1), (object: Obj) => String(jsonPath(path)(object)[0] ?? '')]),
    ),
    listKind: text(names['listKind']),
    subresources: [],
    rules: { nameFault: subdomainFault },
  };
}

const condition = (type: string, reason: string, message: string, time: string): Json => ({
  type,
  status: 'True',
  reason,
  message,
  lastTransitionTime: time,
});

/** The definition with the status of an established one, or undefined when it has it already. */
export function established(definition: Obj, now: number): Obj | undefined {
  const before = record(definition['status']);
  const time = timestamp(now);
  const has = (type: string) => list(before['conditions']).some((item) => record(item)['type'] === type);
  const fresh = [
    condition('NamesAccepted', 'NoConflicts', 'no conflicts found', time),
    condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted', time),
  ].filter((item) => !has(text(item['type'])));
  const storage = list(at(definition, 'spec', 'versions'))
    .filter(isRecord)
    .find((version) => version['storage'] === true);
  const status = {
    ...before,
    conditions: [...list(before['conditions']), ...fresh],
    acceptedNames: at(definition, 'spec', 'names'),
    storedVersions: [...new Set([...list(before['storedVersions']), text(storage?.['name'])])],
  };
  return same(before, status) ? undefined : { ...definition, status };
}
