/** The shape in which objects are kept: any JSON object with metadata. Kept objects are never changed, only replaced. */
import type { KubeObject, ObjectMeta } from '../../kube/types.js';

export type Json = Record<string, unknown>;
export type Obj = KubeObject & Json;

export const isRecord = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A deep copy of JSON data; what is not JSON must not be given. */
export function clone<T>(value: T): T {
  if (Array.isArray(value)) return value.map((item: unknown) => clone(item)) as T;
  if (!isRecord(value)) return value;
  const out: Json = {};
  for (const [key, item] of Object.entries(value)) if (item !== undefined) out[key] = clone(item);
  return out as T;
}

/** Deep equality of JSON data; order of keys does not count, `undefined` counts as absent. */
export function same(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (Array.isArray(left) && Array.isArray(right))
    return left.length === right.length && left.every((item, index) => same(item, right[index]));
  if (!isRecord(left) || !isRecord(right)) return false;
  const present = (value: Json) => Object.keys(value).filter((key) => value[key] !== undefined);
  const keys = present(left);
  return keys.length === present(right).length && keys.every((key) => same(left[key], right[key]));
}

/** The value at a path of keys, or undefined. */
export function at(value: unknown, ...path: string[]): unknown {
  let here = value;
  for (const key of path) {
    if (!isRecord(here)) return undefined;
    here = here[key];
  }
  return here;
}

export const text = (value: unknown): string => (typeof value === 'string' ? value : '');
export const list = (value: unknown): unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);
export const record = (value: unknown): Json => (isRecord(value) ? value : {});

/** `namespace/name`, or `name` of an object without namespace. Sorts as the real storage does. */
export const keyFor = (meta: Pick<ObjectMeta, 'namespace' | 'name'>): string =>
  meta.namespace === undefined || meta.namespace === '' ? meta.name : `${meta.namespace}/${meta.name}`;

/** The API's time stamps have seconds only. */
export const timestamp = (now: number): string => new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');

/** Drops what Go's encoding leaves out of metadata: empty maps, lists and strings. Changes it. */
export function dropEmptyMeta(object: Json): void {
  const metadata = record(object['metadata']);
  for (const [key, value] of Object.entries(metadata)) {
    const empty =
      value === '' ||
      (Array.isArray(value) && value.length === 0 && key !== 'managedFields') ||
      (isRecord(value) && Object.keys(value).length === 0);
    if (empty) Reflect.deleteProperty(metadata, key);
  }
}
