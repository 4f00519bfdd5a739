/**
 * JSON as Python's `json` module writes it and complains about it: the wire shows both (arguments of tool calls are
 * re-serialised, unparseable ones carry the parser's message).
 */

/** `json.dumps` with default separators, non-ASCII kept. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).filter(([, each]) => each !== undefined);
    return `{${fields.map(([key, each]) => `${JSON.stringify(key)}: ${pythonJson(each)}`).join(', ')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

/** `repr` of a list of strings. */
export const pythonList = (items: string[]): string => `[${items.map(pythonString).join(', ')}]`;

export function pythonString(value: string): string {
  const body = value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
  return value.includes("'") && !value.includes('"') ? `"${body}"` : `'${body.replaceAll("'", "\\'")}'`;
}

/** `repr` of a JSON value, as error messages show it; long ones are shortened in the middle. */
export function pythonRepr(value: unknown): string {
  const whole = reprOf(value);
  return whole.length <= 50 ? whole : `${whole.slice(0, 25)}...${whole.slice(-24)}`;
}
function reprOf(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return pythonString(value);
  if (Array.isArray(value)) return `[${value.map(reprOf).join(', ')}]`;
  if (typeof value === 'object')
    return `{${Object.entries(value)
      .map(([key, each]) => `${pythonString(key)}: ${reprOf(each)}`)
      .join(', ')}}`;
  return String(value);
}

export function pythonType(value: unknown): string {
  if (value === null || value === undefined) return 'NoneType';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float';
  const names: Record<string, string> = { boolean: 'bool', string: 'str', object: 'dict' };
  return names[typeof value] ?? typeof value;
}

class Fault extends Error {
  constructor(
    message: string,
    readonly at: number,
  ) {
    super(message);
  }
}

/** The message of `json.loads` for a text that is no JSON; undefined when it is. */
export function pythonJsonError(source: string): string | undefined {
  try {
    const end = skip(source, value(source, skip(source, 0)));
    if (end < source.length) throw new Fault('Extra data', end);
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const before = source.slice(0, error.at);
    const line = before.split('\n').length;
    const column = error.at - before.lastIndexOf('\n');
    return `${error.message}: line ${line} column ${column} (char ${error.at})`;
  }
}

const skip = (source: string, from: number): number => {
  let at = from;
  while (' \t\n\r'.includes(source[at] ?? 'x')) at++;
  return at;
};

function value(source: string, at: number, depth = 0): number {
  if (depth > 500) throw new Fault('Too many nested values', at);
  const first = source[at];
  if (first === '"') return string(source, at);
  if (first === '{') return object(source, at, depth);
  if (first === '[') return array(source, at, depth);
  const plain = /^(?:true|false|null|NaN|Infinity|-Infinity|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/.exec(
    source.slice(at, at + 400),
  );
  if (plain === null) throw new Fault('Expecting value', at);
  return at + plain[0].length;
}

function string(source: string, begin: number): number {
  for (let at = begin + 1; at < source.length; at++) {
    const char = source[at] ?? '';
    if (char === '"') return at + 1;
    if (char < ' ') throw new Fault('Invalid control character at', at);
    if (char !== '\\') continue;
    const escaped = source[++at];
    if (escaped === undefined) throw new Fault('Unterminated string starting at', begin);
    if (escaped === 'u') {
      if (!/^[0-9a-fA-F]{4}$/.test(source.slice(at + 1, at + 5))) throw new Fault('Invalid \\uXXXX escape', at);
      at += 4;
    } else if (!'"\\/bfnrt'.includes(escaped)) throw new Fault('Invalid \\escape', at - 1);
  }
  throw new Fault('Unterminated string starting at', begin);
}

function object(source: string, begin: number, depth: number): number {
  let at = skip(source, begin + 1);
  if (source[at] === '}') return at + 1;
  for (;;) {
    if (source[at] !== '"') throw new Fault('Expecting property name enclosed in double quotes', at);
    at = skip(source, string(source, at));
    if (source[at] !== ':') throw new Fault("Expecting ':' delimiter", at);
    at = skip(source, value(source, skip(source, at + 1), depth + 1));
    if (source[at] === '}') return at + 1;
    if (source[at] !== ',') throw new Fault("Expecting ',' delimiter", at);
    const comma = at;
    at = skip(source, at + 1);
    if (source[at] === '}') throw new Fault('Illegal trailing comma before end of object', comma);
  }
}

function array(source: string, begin: number, depth: number): number {
  let at = skip(source, begin + 1);
  if (source[at] === ']') return at + 1;
  for (;;) {
    at = skip(source, value(source, at, depth + 1));
    if (source[at] === ']') return at + 1;
    if (source[at] !== ',') throw new Fault("Expecting ',' delimiter", at);
    const comma = at;
    at = skip(source, at + 1);
    if (source[at] === ']') throw new Fault('Illegal trailing comma before end of array', comma);
  }
}
