import type { Problem } from './errors.js';

const DASHED = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const HEX = /^[0-9a-f]{32}$/;

/** Any spelling of a UUID (dashes or none, braces, urn:uuid:) as lower-case with dashes; undefined when it is none. */
export function parseUuid(text: string): string | undefined {
  const plain = text
    .toLowerCase()
    .replace(/^urn:uuid:/, '')
    .replace(/^\{(.*)\}$/, '$1');
  if (DASHED.test(plain)) return plain;
  return HEX.test(plain) ? plain.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') : undefined;
}

export const hexOf = (uuid: string): string => uuid.replaceAll('-', '');

/** What FastAPI says of a text that is no UUID. */
export function uuidProblem(text: string, loc: Problem['loc']): Problem {
  const error = reasonOf(text);
  return { type: 'uuid_parsing', loc, msg: `Input should be a valid UUID, ${error}`, input: text, ctx: { error } };
}

function reasonOf(text: string): string {
  const wrong = [...text].findIndex((letter) => !/[0-9a-fA-F-]/.test(letter));
  if (wrong >= 0) return `invalid character: found \`${[...text][wrong]}\` at ${wrong}`;
  const groups = text.split('-');
  if (groups.length === 1) return `invalid length: expected length 32 for simple format, found ${text.length}`;
  if (groups.length !== 5) return `invalid group count: expected 5, found ${groups.length}`;
  const bad = groups.findIndex((group, at) => group.length !== [8, 4, 4, 4, 12][at]);
  return `invalid group length in group ${bad}: expected ${[8, 4, 4, 4, 12][bad]}, found ${groups[bad]?.length ?? 0}`;
}
