/** Validation rules in the Common Expression Language (x-kubernetes-validations), with `self` and `oldSelf`. */
import { Environment } from '@marcbachmann/cel-js';
import type { Cause } from './errors.js';
import { isRecord } from './object.js';
import { fieldSchema, type Schema, type ValidationRule } from './schema.js';

const environment = new Environment({ unlistedVariablesAreDyn: false, homogeneousAggregateLiterals: false })
  .registerVariable('self', 'dyn')
  .registerVariable('oldSelf', 'dyn')
  .registerFunction(
    'string.find(string): string',
    (value: string, pattern: string) => new RegExp(pattern, 'u').exec(value)?.[0] ?? '',
  )
  .registerFunction('isURL(string): bool', (value: string) => URL.canParse(value));

type Program = (context: Record<string, unknown>) => unknown;
const programs = new Map<string, Program>();

function program(rule: string): Program {
  const found = programs.get(rule);
  if (found !== undefined) return found;
  // Rules come from installed CRDs; the bound only guards against a long life with many versions of them.
  if (programs.size > 1000) programs.clear();
  const made = environment.parse(rule) as unknown as Program;
  programs.set(rule, made);
  return made;
}

/** Why a rule cannot be read; empty when it can. */
export function celFault(rule: string): string {
  try {
    program(rule);
    return '';
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
  }
}

/** JSON → CEL values: integers and time stamps are their own types there. */
function toCel(value: unknown, schema: Schema | undefined): unknown {
  if (typeof value === 'number')
    return schema?.type === 'integer' || (schema?.type !== 'number' && Number.isInteger(value)) ? BigInt(value) : value;
  if (typeof value === 'string' && schema?.format === 'date-time') return new Date(value);
  if (Array.isArray(value)) return value.map((item: unknown) => toCel(item, schema?.items));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toCel(item, fieldSchema(schema, key))]));
}

const usesOld = (rule: ValidationRule): boolean => /\boldSelf\b/.test(rule.rule);

function check(rule: ValidationRule, self: unknown, old: unknown, path: string): Cause[] {
  const field = `${path}${rule.fieldPath ?? ''}`;
  const cause = (message: string): Cause => ({
    reason: rule.reason ?? 'FieldValueInvalid',
    field: field === '' ? '<nil>' : field,
    message: `Invalid value: ${shown(self)}: ${message}`,
  });
  try {
    if (program(rule.rule)({ self, oldSelf: old }) === true) return [];
    return [cause(said(rule, self, old))];
  } catch (error) {
    return [
      cause(`rule evaluation failed: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`),
    ];
  }
}

function said(rule: ValidationRule, self: unknown, old: unknown): string {
  if (rule.messageExpression !== undefined) {
    const message = program(rule.messageExpression)({ self, oldSelf: old });
    if (typeof message === 'string' && message.trim() !== '') return message;
  }
  return rule.message ?? `failed rule: ${rule.rule}`;
}

/** A real server shows only the type of objects and lists here. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return '"array"';
  if (typeof value === 'object' && value !== null && !(value instanceof Date)) return '"object"';
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** Runs the rules of a schema and all below it. Transition rules run only where an old value is there to compare. */
export function celFaults(value: unknown, old: unknown, schema: Schema, path = ''): Cause[] {
  const causes: Cause[] = [];
  const rules = schema['x-kubernetes-validations'] ?? [];
  if (rules.length > 0 && value !== null) {
    const self = toCel(value, schema);
    const before = old === undefined ? undefined : toCel(old, schema);
    for (const rule of rules)
      if (!usesOld(rule) || before !== undefined) causes.push(...check(rule, self, before, path));
  }
  if (Array.isArray(value) && schema.items !== undefined) {
    const items = schema.items;
    value.forEach((item: unknown, index) =>
      causes.push(...celFaults(item, twin(item, old, schema), items, `${path}[${index}]`)),
    );
  }
  if (isRecord(value))
    for (const [key, item] of Object.entries(value)) {
      const field = fieldSchema(schema, key);
      const here = path === '' ? key : `${path}.${key}`;
      if (field !== undefined) causes.push(...celFaults(item, isRecord(old) ? old[key] : undefined, field, here));
    }
  return causes;
}

const ruled = new WeakMap<Schema, boolean>();

/** Whether a schema has rules anywhere. */
export function hasRules(schema: Schema): boolean {
  const known = ruled.get(schema);
  if (known !== undefined) return known;
  const below = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items === undefined ? [] : [schema.items]),
    ...(isRecord(schema.additionalProperties) ? [schema.additionalProperties as Schema] : []),
  ];
  const found = (schema['x-kubernetes-validations'] ?? []).length > 0 || below.some(hasRules);
  ruled.set(schema, found);
  return found;
}

/** The item of the old list with the same keys; lists without keys have no history. */
function twin(item: unknown, old: unknown, schema: Schema): unknown {
  const keys = schema['x-kubernetes-list-map-keys'];
  if (!Array.isArray(old) || keys === undefined || !isRecord(item)) return undefined;
  return old.find((other: unknown) => isRecord(other) && keys.every((key) => other[key] === item[key]));
}
