/** Validation of custom objects against their structural schema, with the texts of a real server's field errors. */
import type { Cause } from './errors.js';
import { isRecord, same } from './object.js';
import type { Schema } from './schema.js';
import { formatFault } from './formats.js';

const quote = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value) : show(value));
const show = (value: unknown): string => (typeof value === 'object' ? JSON.stringify(value) : String(value));

export const invalidValue = (field: string, value: unknown, why: string): Cause => ({
  reason: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${quote(value)}: ${why}`,
});
export const requiredValue = (field: string, why = ''): Cause => ({
  reason: 'FieldValueRequired',
  field,
  message: why === '' ? 'Required value' : `Required value: ${why}`,
});
export const forbiddenField = (field: string, why: string): Cause => ({
  reason: 'FieldValueForbidden',
  field,
  message: `Forbidden: ${why}`,
});
export const unsupported = (field: string, value: unknown, allowed: unknown[]): Cause => ({
  reason: 'FieldValueNotSupported',
  field,
  message: `Unsupported value: ${quote(value)}: supported values: ${allowed.map(quote).join(', ')}`,
});
export const duplicate = (field: string, value: unknown): Cause => ({
  reason: 'FieldValueDuplicate',
  field,
  message: `Duplicate value: ${quote(value)}`,
});
const tooMany = (field: string, value: number, limit: number): Cause => ({
  reason: 'FieldValueTooMany',
  field,
  message: `Too many: ${value}: must have at most ${limit} ${limit === 1 ? 'item' : 'items'}`,
});

const typeOf = (value: unknown): string => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
};

const fits = (value: unknown, type: string): boolean =>
  typeOf(value) === type || (type === 'number' && typeof value === 'number');

/** All faults of `value`, in the order of the schema. */
export function validate(value: unknown, schema: Schema, path: string): Cause[] {
  if (value === null && schema.nullable === true) return [];
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (typeof value === 'string' || Number.isInteger(value)) return composed(value, schema, path);
    return [wrongType(path, value, 'integer,string')];
  }
  if (schema.type !== undefined && !fits(value, schema.type)) return [wrongType(path, value, schema.type)];
  const causes = [...ofAnyType(value, schema, path), ...composed(value, schema, path)];
  if (typeof value === 'string') causes.push(...ofString(value, schema, path));
  if (typeof value === 'number') causes.push(...ofNumber(value, schema, path));
  if (Array.isArray(value)) causes.push(...ofArray(value, schema, path));
  if (isRecord(value)) causes.push(...ofObject(value, schema, path));
  return causes;
}

const wrongType = (field: string, value: unknown, type: string): Cause => ({
  reason: 'FieldValueTypeInvalid',
  field: field === '' ? '<nil>' : field,
  message: `Invalid value: ${JSON.stringify(typeOf(value))}: ${field} in body must be of type ${type}: ${JSON.stringify(typeOf(value))}`,
});

function ofAnyType(value: unknown, schema: Schema, path: string): Cause[] {
  if (schema.enum === undefined || schema.enum.some((allowed) => same(allowed, value))) return [];
  return [unsupported(path, value, schema.enum)];
}

function composed(value: unknown, schema: Schema, path: string): Cause[] {
  const causes: Cause[] = [];
  for (const part of schema.allOf ?? []) causes.push(...validate(value, part, path));
  const passing = (parts: Schema[]) => parts.filter((part) => validate(value, part, path).length === 0).length;
  if (schema.anyOf !== undefined && passing(schema.anyOf) === 0)
    causes.push(invalidValue(path, value, `${path} in body must validate at least one schema (anyOf)`));
  if (schema.oneOf !== undefined && passing(schema.oneOf) !== 1)
    causes.push(invalidValue(path, value, `${path} in body must validate one and only one schema (oneOf)`));
  if (schema.not !== undefined && validate(value, schema.not, path).length === 0)
    causes.push(invalidValue(path, value, `${path} in body must not validate the schema (not)`));
  return causes;
}

const patterns = new Map<string, RegExp>();

/** Patterns come from installed CRDs only; the memory is bounded all the same. */
function compiled(pattern: string): RegExp {
  const found = patterns.get(pattern);
  if (found !== undefined) return found;
  if (patterns.size > 1000) patterns.clear();
  const made = new RegExp(pattern, 'u');
  patterns.set(pattern, made);
  return made;
}

function ofString(value: string, schema: Schema, path: string): Cause[] {
  const causes: Cause[] = [];
  const length = [...value].length;
  const invalid = (why: string) => causes.push(invalidValue(path, value, `${path} in body ${why}`));
  if (schema.maxLength !== undefined && length > schema.maxLength)
    causes.push({
      reason: 'FieldValueTooLong',
      field: path,
      message: `Too long: may not be more than ${schema.maxLength} bytes`,
    });
  if (schema.minLength !== undefined && length < schema.minLength)
    invalid(`should be at least ${schema.minLength} chars long`);
  if (schema.pattern !== undefined && !compiled(schema.pattern).test(value))
    invalid(`should match '${schema.pattern}'`);
  const fault = schema.format === undefined ? '' : formatFault(schema.format, value);
  if (fault !== '')
    causes.push({ ...invalidValue(path, value, `${path} in body ${fault}`), reason: 'FieldValueTypeInvalid' });
  return causes;
}

function ofNumber(value: number, schema: Schema, path: string): Cause[] {
  const causes: Cause[] = [];
  const invalid = (why: string) => causes.push(invalidValue(path, value, `${path} in body ${why}`));
  const { minimum, maximum } = schema;
  if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum))
    invalid(
      schema.exclusiveMinimum === true
        ? `should be greater than ${minimum}`
        : `should be greater than or equal to ${minimum}`,
    );
  if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum))
    invalid(
      schema.exclusiveMaximum === true
        ? `should be less than ${maximum}`
        : `should be less than or equal to ${maximum}`,
    );
  if (schema.multipleOf !== undefined && value % schema.multipleOf !== 0)
    invalid(`should be a multiple of ${schema.multipleOf}`);
  if (schema.format === 'int32' && (value < -2147483648 || value > 2147483647)) invalid('should be a 32 bit integer');
  return causes;
}

function ofArray(value: unknown[], schema: Schema, path: string): Cause[] {
  const causes: Cause[] = [];
  if (schema.maxItems !== undefined && value.length > schema.maxItems)
    causes.push(tooMany(path, value.length, schema.maxItems));
  if (schema.minItems !== undefined && value.length < schema.minItems)
    causes.push(invalidValue(path, value.length, `${path} in body should have at least ${schema.minItems} items`));
  const kind = schema['x-kubernetes-list-type'];
  if (kind === 'map' || kind === 'set') causes.push(...duplicates(value, schema, path));
  const { items } = schema;
  if (items !== undefined) value.forEach((item, index) => causes.push(...validate(item, items, `${path}[${index}]`)));
  return causes;
}

function duplicates(value: unknown[], schema: Schema, path: string): Cause[] {
  const seen = new Set<string>();
  const keys = schema['x-kubernetes-list-map-keys'];
  return value.flatMap((item, index) => {
    const identity =
      keys === undefined || !isRecord(item) ? item : Object.fromEntries(keys.map((key) => [key, item[key]]));
    const written = JSON.stringify(identity);
    if (!seen.has(written)) {
      seen.add(written);
      return [];
    }
    return [duplicate(`${path}[${index}]`, identity)];
  });
}

function ofObject(value: Record<string, unknown>, schema: Schema, path: string): Cause[] {
  const causes: Cause[] = [];
  const below = (key: string) => (path === '' ? key : `${path}.${key}`);
  const count = Object.keys(value).length;
  if (schema.maxProperties !== undefined && count > schema.maxProperties)
    causes.push(tooMany(path, count, schema.maxProperties));
  if (schema.minProperties !== undefined && count < schema.minProperties)
    causes.push(invalidValue(path, count, `${path} in body should have at least ${schema.minProperties} properties`));
  for (const key of schema.required ?? []) if (!Object.hasOwn(value, key)) causes.push(requiredValue(below(key)));
  for (const [key, item] of Object.entries(value)) {
    const named = schema.properties?.[key];
    if (named !== undefined) causes.push(...validate(item, named, below(key)));
    else if (isRecord(schema.additionalProperties))
      causes.push(
        ...validate(item, schema.additionalProperties as Schema, `${path}[${key}]`.replace(/^\[(.*)\]$/, '$1')),
      );
  }
  return causes;
}
