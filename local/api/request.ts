/** Reading a request: what it asks for, of which resource, in which form. */
import type { IncomingMessage } from 'node:http';
import { parse as parseYaml } from 'yaml';
import { decodeProtobuf, PROTOBUF } from './protobuf.js';
import { badRequest, NoSuchPath, notAcceptable, tooLarge } from './errors.js';
import { isRecord, type Json } from './object.js';

/** What a path under /api/v1 or /apis/g/v names. */
export interface Target {
  group: string;
  version: string;
  namespace: string;
  plural: string;
  name: string;
  subresource: string;
}

/** Reads a resource path; undefined for a path that is none. */
export function parseTarget(path: string): Target | undefined {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decode);
  const core = parts[0] === 'api';
  const [group = '', version = ''] = core ? ['', parts[1]] : [parts[1], parts[2]];
  let rest = parts.slice(core ? 2 : 3);
  if (rest.length === 0) return undefined;
  let namespace = '';
  const scoped =
    rest[0] === 'namespaces' &&
    rest.length >= 3 &&
    !(core && (rest[2] === 'status' || rest[2] === 'finalize') && rest.length === 3);
  if (scoped) {
    namespace = rest[1] ?? '';
    rest = rest.slice(2);
  }
  const [plural = '', name = '', subresource = '', ...more] = rest;
  return more.length > 0 ? undefined : { group, version, namespace, plural, name, subresource };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    throw new NoSuchPath('malformed path', { cause: error });
  }
}

export type Form = { as: 'json' | 'yaml'; shape: 'object' | 'table' | 'metadata' };

/** The form of the answer that the client likes best and that there is. */
export function negotiate(accept: string | undefined): Form {
  const ranges = (accept ?? '*/*')
    .split(',')
    .map((range) => range.trim())
    .filter((range) => range !== '');
  for (const range of ranges.length === 0 ? ['*/*'] : ranges) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const given = Object.fromEntries(parameters.map((parameter) => parameter.split('=')));
    const as = type === 'application/yaml' ? 'yaml' : 'json';
    if (!['application/json', 'application/yaml', 'application/*', '*/*'].includes(type)) continue;
    if (given['as'] === undefined) return { as, shape: 'object' };
    if (given['g'] !== 'meta.k8s.io' || !['v1', 'v1beta1'].includes(given['v'] ?? '')) continue;
    if (given['as'] === 'Table') return { as, shape: 'table' };
    if (['PartialObjectMetadata', 'PartialObjectMetadataList'].includes(given['as'] ?? ''))
      return { as, shape: 'metadata' };
  }
  throw notAcceptable(['application/json', 'application/yaml']);
}

/** A real server's limit of a request body. */
export const MOST_BYTES = 3 * 1024 * 1024;

export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MOST_BYTES) throw tooLarge(MOST_BYTES);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Far above any object, far below what recursion over one can take. A real server stops at 10000. */
const MOST_NESTING = 500;

function isTooDeep(value: unknown): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_NESTING) return true;
    level = level.flatMap((one): unknown[] => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return false;
}

const YAML_TYPES = ['application/yaml', 'application/apply-patch+yaml'];

/** Parses a body of JSON, YAML or Kubernetes protobuf. */
export function decodeBody(body: Buffer, contentType: string): unknown {
  if (contentType === PROTOBUF) return decodeProtobuf(body);
  try {
    const text = body.toString('utf8');
    const value: unknown = YAML_TYPES.includes(contentType)
      ? parseYaml(text, { maxAliasCount: 100 })
      : JSON.parse(text);
    if (isTooDeep(value)) throw new Error('exceeded max depth');
    return value;
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw badRequest(`the object provided is unrecognized: ${why}`);
  }
}

export function decodeObject(body: Buffer, contentType: string): Json {
  const value = decodeBody(body, contentType);
  if (!isRecord(value)) throw badRequest('the object provided is unrecognized: it is no object');
  return value;
}

/** `true`, `1` and an empty value are true, as in Go's parser of query parameters. */
export const flag = (query: URLSearchParams, name: string): boolean =>
  ['true', '1', ''].includes(query.get(name) ?? 'false');
