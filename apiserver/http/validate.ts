/** Input by zod, refusals in the form of FastAPI: 422 with a list of `{type, loc, msg, input}`. */
import { z } from 'zod';
import { conversationHex } from '../../contracts/names.js';
import { ApiError, type FieldIssue } from './errors.js';

export type Where = 'query' | 'body' | 'path' | 'header';

/** Throws ApiError `validation`. */
export function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, where: Where): z.infer<Schema> {
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw new ApiError('validation', { issues: parsed.error.issues.map((issue) => issueOf(issue, where)) });
}

function issueOf(issue: z.core.$ZodIssue, where: Where): FieldIssue {
  const loc = [where, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  if (issue.code === 'invalid_type' && issue.input === undefined)
    return { type: 'missing', loc, msg: 'Field required', input: null };
  return { type: TYPES[issue.code] ?? 'value_error', loc, msg: issue.message, input: shown(issue.input) };
}

const TYPES: Partial<Record<z.core.$ZodIssue['code'], string>> = {
  invalid_type: 'type_error',
  too_big: 'less_than_equal',
  too_small: 'greater_than_equal',
  invalid_format: 'string_pattern_mismatch',
  invalid_value: 'enum',
  invalid_union: 'union_tag_invalid',
};

/** Echoes scalars only: an object may hold a secret, and no answer should be as large as the request. */
function shown(input: unknown): unknown {
  if (typeof input === 'string') return input.slice(0, 200);
  return typeof input === 'object' ? null : input;
}

const text = z.string().max(2000);

/** Paths with `:id` and `:name`; what the handler makes of it says whether it is one. */
export const idPath = z.object({ id: text });
export const namedPath = z.object({ name: text });

/** A path of that host only: `//elsewhere` would leave it. */
export const localPathSchema = z
  .string()
  .max(4000)
  .regex(/^\/(?![/\\])/, 'Input should be a path')
  .default('/');

/** A repeated query parameter, as a list. */
export const repeated = z.union([text, z.array(text)]).transform((value) => (Array.isArray(value) ? value : [value]));

/** `limit` of a page. */
export const limit = (byDefault = 100, max = 100) =>
  z
    .string()
    .regex(/^-?[0-9]{1,9}$/, 'Input should be a valid integer')
    .transform(Number)
    .refine((value) => value > 0, 'Input should be greater than 0')
    .refine((value) => value <= max, `Input should be less than or equal to ${max}`)
    .default(byDefault);

export const pageId = text.optional();

export const queryFlag = z
  .enum(['true', 'false', '1', '0'], { error: 'Input should be a valid boolean' })
  .transform((value) => value === 'true' || value === '1');

/** ISO 8601 with or without zone; without means UTC. */
export const moment = text
  .refine((value) => !Number.isNaN(Date.parse(value)), 'Input should be a valid datetime')
  .transform((value) => new Date(/([zZ]|[+-]\d\d:?\d\d)$/.test(value) || !value.includes('T') ? value : `${value}Z`))
  // Years that the database's timestamps and their text form both have.
  .refine((value) => value.getUTCFullYear() >= 1 && value.getUTCFullYear() <= 9999, 'Input should be a valid datetime');

const HEX = /^[0-9a-f]{32}$/;
const UUID = /^([0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/i;

/** A conversation or task id in both spellings, as hex; undefined when it is none. */
export function hexId(value: string): string | undefined {
  const hex = conversationHex(value);
  return UUID.test(value) && HEX.test(hex) ? hex : undefined;
}

export const uuid = text.regex(UUID, 'Input should be a valid UUID').transform(conversationHex);

/** `{id}` of a path. Throws 400. */
export function pathId(value: string): string {
  const id = hexId(value);
  if (id === undefined) throw new ApiError('bad_conversation_id');
  return id;
}

/** `ids` of a batch call, as hex. Throws 400 as the recorded server does. */
export function batchIds(values: string[], max: number): string[] {
  if (values.length > max) throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${max}.` });
  const wrong = values.filter((value) => hexId(value) === undefined);
  if (wrong.length > 0) {
    const list = wrong.map((value) => `'${value.slice(0, 100)}'`).join(', ');
    throw new ApiError('bad_ids', { text: `Invalid UUID format for ids: [${list}]` });
  }
  return values.map((value) => conversationHex(value));
}
