/** Label and field selectors of lists, watches and collection deletes. */
import { badRequest } from './errors.js';
import { qualifiedNameFault } from './quantity.js';
import type { Obj } from './object.js';

export type Matcher = (object: Obj) => boolean;

type Labels = Record<string, string>;
type Requirement = (labels: Labels) => boolean;

const own = (labels: Labels, key: string): string | undefined => (Object.hasOwn(labels, key) ? labels[key] : undefined);

/** Splits at commas outside brackets. */
function splitTop(selector: string): string[] {
  const out: string[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index < selector.length; index += 1) {
    const char = selector[index];
    if (char === '(') depth += 1;
    else if (char === ')') depth -= 1;
    else if (char === ',' && depth === 0) {
      out.push(selector.slice(start, index));
      start = index + 1;
    }
  }
  return [...out, selector.slice(start)].map((part) => part.trim());
}

const SET = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/;
const EQUALITY = /^([^\s=!]+)\s*(==|!=|=)\s*(\S*)$/;

function requirement(part: string): Requirement {
  const key = (name: string): string => {
    const fault = qualifiedNameFault(name);
    if (fault !== '')
      throw badRequest(`unable to parse requirement: <nil>: Invalid value: ${JSON.stringify(name)}: ${fault}`);
    return name;
  };
  const set = SET.exec(part);
  if (set !== null) {
    const name = key(set[1] ?? '');
    const values = (set[3] ?? '').split(',').map((value) => value.trim());
    return set[2] === 'in'
      ? (labels) => values.includes(own(labels, name) ?? '\0')
      : (labels) => !values.includes(own(labels, name) ?? '\0');
  }
  const equality = EQUALITY.exec(part);
  if (equality !== null) {
    const name = key(equality[1] ?? '');
    const value = equality[3] ?? '';
    return equality[2] === '!=' ? (labels) => own(labels, name) !== value : (labels) => own(labels, name) === value;
  }
  if (/^!\s*\S+$/.test(part)) {
    const name = key(part.slice(1).trim());
    return (labels) => own(labels, name) === undefined;
  }
  if (/^[^\s()<>]+$/.test(part)) {
    const name = key(part);
    return (labels) => own(labels, name) !== undefined;
  }
  throw badRequest(`unable to parse requirement: found '${part}', expected: in, notin, =, ==, !=, or a label key`);
}

/** Reads a label selector; throws the 400 of a real server for one that cannot be read. */
export function labelSelector(selector: string): Matcher {
  if (selector.trim() === '') return () => true;
  const all = splitTop(selector).map(requirement);
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return all.every((fits) => fits(labels));
  };
}

/** Kinds with fields of their own word it in another way than those with none. */
const unknownField = (name: string, known: string[]): string =>
  known.length > 2
    ? `field label not supported: ${name}`
    : `${JSON.stringify(name)} is not a known field selector: only ${known.map((one) => JSON.stringify(one)).join(', ')}`;

/** Reads a field selector over the fields that the resource offers; other fields are a 400. */
export function fieldSelector(
  selector: string,
  fields: (object: Obj) => Record<string, string>,
  known: string[],
): Matcher {
  if (selector.trim() === '') return () => true;
  const all = selector.split(',').map((part) => {
    const match = /^([^=!]+)(==|!=|=)(.*)$/.exec(part.trim());
    if (match === null) throw badRequest(`invalid selector: '${selector}'; can't understand '${part}'`);
    const [, name = '', sign, value = ''] = match;
    if (!known.includes(name)) throw badRequest(unknownField(name, known));
    return (values: Record<string, string>) => ((values[name] ?? '') === value) === (sign !== '!=');
  });
  return (object) => {
    const values = fields(object);
    return all.every((fits) => fits(values));
  };
}
