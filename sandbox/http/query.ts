/** Query parameters, read one by one with the errors that FastAPI has for them. */
import { ValidationError, type Problem } from './errors.js';
import { orList } from './validate.js';
import { parseUuid, uuidProblem } from './uuid.js';

export type Query = Record<string, string | string[] | undefined>;

const fail = (problem: Problem): never => {
  throw new ValidationError([problem]);
};
const one = (query: Query, name: string): string | undefined => {
  const value = query[name];
  return Array.isArray(value) ? value.at(-1) : value;
};

export const optionalText = one;

export function requiredText(query: Query, name: string): string {
  return one(query, name) ?? fail({ type: 'missing', loc: ['query', name], msg: 'Field required', input: null });
}

export function texts(query: Query, name: string): string[] {
  const value = query[name];
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

export function optionalInt(
  query: Query,
  name: string,
  bounds: { gt?: number; ge?: number; le?: number } = {},
): number | undefined {
  const input = one(query, name);
  if (input === undefined) return undefined;
  const loc = ['query', name];
  if (!/^\s*[-+]?[0-9]{1,15}\s*$/.test(input))
    fail({
      type: 'int_parsing',
      loc,
      msg: 'Input should be a valid integer, unable to parse string as an integer',
      input,
    });
  const value = Number(input);
  const { gt, ge, le } = bounds;
  if (gt !== undefined && value <= gt)
    fail({ type: 'greater_than', loc, msg: `Input should be greater than ${gt}`, input, ctx: { gt } });
  if (ge !== undefined && value < ge)
    fail({
      type: 'greater_than_equal',
      loc,
      msg: `Input should be greater than or equal to ${ge}`,
      input,
      ctx: { ge },
    });
  if (le !== undefined && value > le)
    fail({ type: 'less_than_equal', loc, msg: `Input should be less than or equal to ${le}`, input, ctx: { le } });
  return value;
}

/** Size of a page: 1 to 100, 100 when not given. */
export const pageLimit = (query: Query): number => optionalInt(query, 'limit', { gt: 0, le: 100 }) ?? 100;

export function optionalChoice<Choice extends string>(
  query: Query,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  const input = one(query, name);
  if (input === undefined) return undefined;
  const found = choices.find((choice) => choice === input);
  if (found !== undefined) return found;
  const expected = orList(choices.map((choice) => `'${choice}'`));
  return fail({ type: 'enum', loc: ['query', name], msg: `Input should be ${expected}`, input, ctx: { expected } });
}

export function optionalFlag(query: Query, name: string): boolean | undefined {
  const input = one(query, name);
  if (input === undefined) return undefined;
  if (/^(true|1|yes|on|t|y)$/i.test(input)) return true;
  if (/^(false|0|no|off|f|n)$/i.test(input)) return false;
  return fail({
    type: 'bool_parsing',
    loc: ['query', name],
    msg: 'Input should be a valid boolean, unable to interpret input',
    input,
  });
}

const WHEN = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[-+]\d\d:?\d\d)?)?$/i;

/** Microseconds since 1970 of an ISO time; without a zone it is this server's local time. Undefined when it is none. */
export function parseTime(text: string): number | undefined {
  const parts = WHEN.exec(text.trim());
  if (parts === null) {
    return /^\d{1,13}(\.\d+)?$/.test(text) ? Math.round(Number(text) * 1e6) : undefined;
  }
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone] = parts;
  const fields = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const micros = Number(fraction.padEnd(6, '0').slice(0, 6) || '0');
  const ms =
    zone === undefined
      ? new Date(fields[0], fields[1] - 1, fields[2], fields[3], fields[4], fields[5]).getTime()
      : Date.UTC(fields[0], fields[1] - 1, fields[2], fields[3], fields[4], fields[5]) - offsetOf(zone);
  return Number.isNaN(ms) ? undefined : ms * 1000 + micros;
}

function offsetOf(zone: string): number {
  if (/^z$/i.test(zone)) return 0;
  const sign = zone.startsWith('-') ? -1 : 1;
  const digits = zone.slice(1).replace(':', '');
  return sign * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))) * 60_000;
}

/** A time of a query, in microseconds. */
export function optionalTime(query: Query, name: string): number | undefined {
  const input = one(query, name);
  if (input === undefined) return undefined;
  const time = parseTime(input);
  if (time !== undefined) return time;
  const error = input.length < 10 ? 'input is too short' : 'invalid character in year';
  return fail({
    type: 'datetime_from_date_parsing',
    loc: ['query', name],
    msg: `Input should be a valid datetime or date, ${error}`,
    input,
    ctx: { error },
  });
}

/** A list of UUIDs (`?ids=a&ids=b`); at least one is required. */
export function requiredUuids(query: Query, name: string): string[] {
  const given = texts(query, name);
  if (given.length === 0) fail({ type: 'missing', loc: ['query', name], msg: 'Field required', input: null });
  return given.map((text, at) => parseUuid(text) ?? fail(uuidProblem(text, ['query', name, at])));
}
