/** Validation of what clients send: zod checks, and its findings are told in the words that FastAPI's clients know. */
import type { z } from 'zod';
import { ValidationError, type Problem } from './errors.js';
import { jsonProblem } from './json.js';
import { parseUuid, uuidProblem } from './uuid.js';

/** Says in a zod `refine`/`superRefine` what pydantic would say: put it into `params`. */
export interface PydanticParams {
  pydantic: { type: string; msg: string; ctx?: Record<string, unknown> };
}
/** `params` for a check that pydantic reports as a ValueError. */
export const valueError = (message: string): { params: PydanticParams; message: string } => ({
  message,
  params: { pydantic: { type: 'value_error', msg: `Value error, ${message}`, ctx: { error: message } } },
});

/** The body as bytes, as the content-type parser leaves it; undefined when there was none. */
export interface RawBody {
  text: string;
  json: boolean;
}

/** Parses and checks a body; throws ValidationError. `optional` bodies may be missing (then `{}` is checked). */
export function parseBody<Schema extends z.ZodType>(
  raw: RawBody | undefined,
  schema: Schema,
  options: { optional?: boolean } = {},
): z.infer<Schema> {
  return check(jsonBody(raw, options), schema, ['body']);
}

function jsonBody(raw: RawBody | undefined, options: { optional?: boolean }): unknown {
  if (raw === undefined || raw.text === '') {
    if (options.optional) return {};
    throw new ValidationError([{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]);
  }
  if (!raw.json)
    throw new ValidationError([
      {
        type: 'model_attributes_type',
        loc: ['body'],
        msg: 'Input should be a valid dictionary or object to extract fields from',
        input: raw.text.slice(0, 1000),
      },
    ]);
  try {
    const value: unknown = JSON.parse(raw.text);
    return value === null && options.optional ? {} : value;
  } catch {
    throw new ValidationError([jsonProblem(raw.text)]);
  }
}

/** Checks a value; `loc` says where it came from. Throws ValidationError. */
export function check<Schema extends z.ZodType>(value: unknown, schema: Schema, loc: Problem['loc']): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ValidationError(parsed.error.issues.flatMap((issue) => problemsOf(issue, value, loc)));
}

function problemsOf(issue: z.core.$ZodIssue, root: unknown, loc: Problem['loc']): Problem[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  const at = [...loc, ...path];
  const input = valueAt(root, path);
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      type: 'extra_forbidden',
      loc: [...at, key],
      msg: 'Extra inputs are not permitted',
      input: valueAt(input, [key]),
    }));
  if (input === undefined && path.length > 0)
    return [{ type: 'missing', loc: at, msg: 'Field required', input: valueAt(root, path.slice(0, -1)) ?? null }];
  return [{ ...told(issue, input), loc: at, input: input ?? null }];
}

function told(issue: z.core.$ZodIssue, input: unknown): Omit<Problem, 'loc' | 'input'> {
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] ?? { type: 'value_error', msg: issue.message };
    case 'too_small':
      return tooSmall(issue);
    case 'too_big':
      return tooBig(issue);
    case 'invalid_value': {
      const expected = orList(issue.values.map((value) => `'${String(value)}'`));
      return { type: 'enum', msg: `Input should be ${expected}`, ctx: { expected } };
    }
    case 'custom': {
      const params = (issue.params ?? {}) as Partial<PydanticParams>;
      return params.pydantic ?? { type: 'value_error', msg: issue.message };
    }
    default:
      return typeof input === 'string' ? { type: 'value_error', msg: issue.message } : (TYPES['object'] as Told);
  }
}

type Told = Omit<Problem, 'loc' | 'input'>;
const TYPES: Record<string, Told> = {
  string: { type: 'string_type', msg: 'Input should be a valid string' },
  number: { type: 'float_type', msg: 'Input should be a valid number' },
  int: { type: 'int_type', msg: 'Input should be a valid integer' },
  boolean: { type: 'bool_type', msg: 'Input should be a valid boolean' },
  array: { type: 'list_type', msg: 'Input should be a valid list' },
  record: { type: 'dict_type', msg: 'Input should be a valid dictionary' },
  object: {
    type: 'model_attributes_type',
    msg: 'Input should be a valid dictionary or object to extract fields from',
  },
};

function tooSmall(issue: z.core.$ZodIssueTooSmall): Told {
  const bound = Number(issue.minimum);
  if (issue.origin === 'string')
    return {
      type: 'string_too_short',
      msg: `String should have at least ${bound} character${bound === 1 ? '' : 's'}`,
      ctx: { min_length: bound },
    };
  return issue.inclusive
    ? { type: 'greater_than_equal', msg: `Input should be greater than or equal to ${bound}`, ctx: { ge: bound } }
    : { type: 'greater_than', msg: `Input should be greater than ${bound}`, ctx: { gt: bound } };
}

function tooBig(issue: z.core.$ZodIssueTooBig): Told {
  const bound = Number(issue.maximum);
  if (issue.origin === 'string')
    return {
      type: 'string_too_long',
      msg: `String should have at most ${bound} character${bound === 1 ? '' : 's'}`,
      ctx: { max_length: bound },
    };
  return issue.inclusive
    ? { type: 'less_than_equal', msg: `Input should be less than or equal to ${bound}`, ctx: { le: bound } }
    : { type: 'less_than', msg: `Input should be less than ${bound}`, ctx: { lt: bound } };
}

/** `'a', 'b' or 'c'` */
export function orList(words: string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

function valueAt(root: unknown, path: (string | number)[]): unknown {
  return path.reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null ? (value as Record<string | number, unknown>)[step] : undefined,
    root,
  );
}

/** A UUID of a path; throws ValidationError. */
export function pathUuid(text: string, name: string): string {
  const uuid = parseUuid(text);
  if (uuid === undefined) throw new ValidationError([uuidProblem(text, ['path', name])]);
  return uuid;
}
