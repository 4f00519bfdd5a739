/** The patch types beside apply: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch. */
import jsonPatch, { type Operation } from 'fast-json-patch';
import { ApiError, badRequest } from './errors.js';
import { clone, isRecord, list, same, text, type Json } from './object.js';
import { fieldSchema, type Schema } from './schema.js';

/** RFC 7386. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return clone(patch);
  const out: Json = isRecord(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(out, key);
    else out[key] = mergePatch(out[key], value);
  }
  return out;
}

const MOST_OPERATIONS = 10_000;

/** RFC 6902; a failing test or a missing path is the 422 of a real server. */
export function applyJsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch))
    throw badRequest('error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  if (patch.length > MOST_OPERATIONS)
    throw new ApiError({
      code: 413,
      reason: 'RequestEntityTooLarge',
      message: `Request entity too large: The allowed maximum operations in a JSON patch is ${MOST_OPERATIONS}, got ${patch.length}`,
    });
  try {
    return jsonPatch.applyPatch(clone(target), patch as Operation[], true, true, true).newDocument;
  } catch (error) {
    const { name } = error as Error;
    const message =
      name === 'TEST_OPERATION_FAILED' ? 'testing value failed' : ((error as Error).message.split('\n')[0] ?? name);
    throw new ApiError({
      code: 422,
      reason: 'Invalid',
      message: `the server rejected our request due to an error in our request: ${message}`,
      details: {},
    });
  }
}

const DIRECTIVE = '$patch';
const isDirective = (key: string): boolean => key.startsWith('$');

/** Strategic merge: as a merge patch, but lists with a merge key are merged by item. Source: the Kubernetes API conventions. */
export function strategicMerge(target: unknown, patch: unknown, schema: Schema | undefined): unknown {
  if (!isRecord(patch)) return clone(patch);
  if (patch[DIRECTIVE] === 'replace') return withoutDirectives(patch);
  if (patch[DIRECTIVE] === 'delete') return {};
  const out: Json = isRecord(target) ? { ...target } : {};
  retain(out, patch);
  for (const [key, value] of Object.entries(patch)) {
    if (isDirective(key)) continue;
    const field = fieldSchema(schema, key);
    if (value === null) Reflect.deleteProperty(out, key);
    else if (Array.isArray(value))
      out[key] = mergeList(list(out[key]), value, { schema: field, order: list(patch[`$setElementOrder/${key}`]) });
    else if (isRecord(value) && field?.['x-kubernetes-patch-strategy'] === 'replace')
      out[key] = withoutDirectives(value);
    else out[key] = strategicMerge(out[key], value, field);
  }
  deleteFromLists(out, patch);
  reorderOnly(out, patch, schema);
  return out;
}

function withoutDirectives(value: Json): Json {
  return clone(Object.fromEntries(Object.entries(value).filter(([key]) => !isDirective(key))));
}

/** `$retainKeys`: what is not named goes. */
function retain(out: Json, patch: Json): void {
  const keys = patch['$retainKeys'];
  if (!Array.isArray(keys)) return;
  for (const key of Object.keys(out)) if (!keys.includes(key)) Reflect.deleteProperty(out, key);
}

function deleteFromLists(out: Json, patch: Json): void {
  for (const [key, value] of Object.entries(patch)) {
    const name = key.startsWith('$deleteFromPrimitiveList/')
      ? key.slice('$deleteFromPrimitiveList/'.length)
      : undefined;
    if (name === undefined) continue;
    out[name] = list(out[name]).filter((item) => !list(value).some((gone) => same(gone, item)));
  }
}

function reorderOnly(out: Json, patch: Json, schema: Schema | undefined): void {
  for (const key of Object.keys(patch)) {
    const name = key.startsWith('$setElementOrder/') ? key.slice('$setElementOrder/'.length) : undefined;
    if (name === undefined || patch[name] !== undefined || !Array.isArray(out[name])) continue;
    out[name] = ordered(list(out[name]), list(patch[key]), fieldSchema(schema, name)?.['x-kubernetes-patch-merge-key']);
  }
}

function mergeList(
  target: unknown[],
  patch: unknown[],
  how: { schema: Schema | undefined; order: unknown[] },
): unknown[] {
  const key = how.schema?.['x-kubernetes-patch-merge-key'];
  const merges = text(how.schema?.['x-kubernetes-patch-strategy']).includes('merge');
  if (!merges) return clone(patch).filter((item) => !(isRecord(item) && item[DIRECTIVE] !== undefined));
  if (patch.some((item) => isRecord(item) && item[DIRECTIVE] === 'replace' && Object.keys(item).length === 1))
    return clone(patch).filter((item) => !(isRecord(item) && item[DIRECTIVE] !== undefined));
  if (key === undefined)
    return ordered(
      [...target, ...patch.filter((item) => !target.some((own) => same(own, item)))],
      how.order,
      undefined,
    );
  return ordered(mergeItems(target, patch, { key, items: how.schema?.items }), how.order, key);
}

function mergeItems(target: unknown[], patch: unknown[], how: { key: string; items: Schema | undefined }): unknown[] {
  let out = [...target];
  for (const item of patch) {
    if (!isRecord(item)) continue;
    const fits = (other: unknown) => isRecord(other) && same(other[how.key], item[how.key]);
    if (item[how.key] === undefined)
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${how.key}`);
    if (item[DIRECTIVE] === 'delete') out = out.filter((other) => !fits(other));
    else if (out.some(fits)) out = out.map((other) => (fits(other) ? strategicMerge(other, item, how.items) : other));
    else out.push(strategicMerge({}, item, how.items));
  }
  return out;
}

/** Items in the order that the client asked for; those it does not name stay behind their neighbours, at the end. */
function ordered(items: unknown[], order: unknown[], key: string | undefined): unknown[] {
  if (order.length === 0) return items;
  const rank = (item: unknown): number => {
    const index = order.findIndex((wanted) =>
      key === undefined ? same(wanted, item) : isRecord(wanted) && isRecord(item) && same(wanted[key], item[key]),
    );
    return index === -1 ? order.length : index;
  };
  return items
    .map((item, index) => ({ item, rank: rank(item), index }))
    .sort((a, b) => a.rank - b.rank || a.index - b.index)
    .map(({ item }) => item);
}
