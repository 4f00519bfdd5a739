/**
 * Reading built-in kinds in protobuf: kubectl's typed commands (`create secret`, `auth can-i`, …) send nothing else. Answers are
 * JSON, which the same clients accept. Source: the Kubernetes API's wire format ("k8s\0" and runtime.Unknown).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../process/root.js';
import { badRequest } from './errors.js';
import { list, record, type Json } from './object.js';

/** JSON name ('' when the fields belong to the parent), type, and `repeated` or `map`. */
type Field = [name: string, type: string, label?: string];

interface Table {
  kinds: Record<string, string>;
  messages: Record<string, Record<string, Field>>;
}

let table: Table | undefined;
const load = (): Table =>
  (table ??= JSON.parse(readFileSync(join(packageRoot(), 'local/api/schemas/protobuf.json'), 'utf8')) as Table);

export const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const MAGIC = Buffer.from('k8s\0', 'latin1');
const DELETE_OPTIONS = 'apis.meta.v1.DeleteOptions';

interface Part {
  number: number;
  value: bigint | Buffer;
}

function varint(bytes: Buffer, start: number): [bigint, number] {
  let value = 0n;
  for (let index = 0; index < 10; index += 1) {
    const byte = bytes[start + index];
    if (byte === undefined) break;
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) return [BigInt.asIntN(64, value), start + index + 1];
  }
  throw badRequest('the body is no valid protobuf');
}

function* partsOf(bytes: Buffer): Generator<Part> {
  let at = 0;
  while (at < bytes.length) {
    const [tag, afterTag] = varint(bytes, at);
    const number = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    const [size, start] = wire === 0 || wire === 2 ? varint(bytes, afterTag) : [wire === 1 ? 8n : 4n, afterTag];
    if (wire === 0) {
      at = start;
      yield { number, value: size };
      continue;
    }
    const end = start + Number(size);
    if (![1, 2, 5].includes(wire) || end > bytes.length || end < start)
      throw badRequest('the body is no valid protobuf');
    at = end;
    yield { number, value: bytes.subarray(start, end) };
  }
}

const MOST_DEPTH = 50;

function scalar(type: string, value: bigint | Buffer): unknown {
  if (typeof value === 'bigint') return type === 'bool' ? value !== 0n : Number(value);
  if (type === 'bytes') return value.toString('base64');
  if (type === 'double') return value.readDoubleLE(0);
  return type === 'float' ? value.readFloatLE(0) : value.toString('utf8');
}

const zeroOf = (type: string): unknown => (type === 'string' || type === 'bytes' ? '' : type === 'bool' ? false : 0);

function decode(type: string, value: bigint | Buffer, depth = 0): unknown {
  if (!type.includes('.')) return scalar(type, value);
  if (depth > MOST_DEPTH || typeof value === 'bigint') throw badRequest('the body is no valid protobuf');
  return simple(type, message(type, value, depth));
}

function message(type: string, bytes: Buffer, depth: number): Json {
  const fields = load().messages[type] ?? {};
  const out: Json = {};
  for (const part of partsOf(bytes)) {
    const field = fields[String(part.number)];
    if (field === undefined) continue;
    const [name, of, label] = field;
    if (name === '') Object.assign(out, record(decode(of, part.value, depth + 1)));
    else if (label === 'repeated') out[name] = [...list(out[name]), decode(of, part.value, depth + 1)];
    else if (label === 'map') out[name] = { ...record(out[name]), ...entry(of, part.value, depth) };
    else {
      const value = decode(of, part.value, depth + 1);
      if (!absent(type, value)) out[name] = value;
    }
  }
  return out;
}

function entry(type: string, value: bigint | Buffer, depth: number): Json {
  if (typeof value === 'bigint') throw badRequest('the body is no valid protobuf');
  let key = '';
  let item: unknown = type.includes('.') ? simple(type, {}) : zeroOf(type);
  for (const part of partsOf(value)) {
    if (part.number === 1) key = String(scalar('string', part.value));
    if (part.number === 2) item = decode(type, part.value, depth + 1);
  }
  return { [key]: item };
}

/** Messages that JSON writes as one value. */
function simple(type: string, value: Json): unknown {
  switch (type) {
    case 'api.resource.Quantity':
      return value['string'] ?? '0';
    case 'util.intstr.IntOrString':
      return value['type'] === 1 ? (value['strVal'] ?? '') : (value['intVal'] ?? 0);
    case 'apis.meta.v1.Time':
      return value['seconds'] === undefined
        ? null
        : new Date(Number(value['seconds']) * 1000).toISOString().replace('.000Z', 'Z');
    case 'apis.meta.v1.MicroTime':
      return value['seconds'] === undefined ? null : micro(value);
    case 'apis.meta.v1.FieldsV1':
      return JSON.parse(Buffer.from(String(value['Raw'] ?? 'e30='), 'base64').toString()) as unknown;
    default:
      return value;
  }
}

const micro = (value: Json): string => {
  const seconds = new Date(Number(value['seconds']) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(Math.trunc(Number(value['nanos'] ?? 0) / 1000)).padStart(6, '0')}Z`;
};

/** Here Go's JSON leaves zeros out, and the wire format cannot tell them from absent. */
const ZERO_IS_ABSENT = new Set(
  ['Probe', 'ServicePort', 'ContainerPort', 'ServiceSpec']
    .map((name) => `core.v1.${name}`)
    .concat('apis.meta.v1.ObjectMeta'),
);

const absent = (type: string, value: unknown): boolean =>
  value === null || value === '' || (ZERO_IS_ABSENT.has(type) && (value === 0 || value === false));

/** The object in a protobuf body. Throws 400 when it is none, or of a kind that is not known here. */
export function decodeProtobuf(body: Buffer): Json {
  if (!body.subarray(0, 4).equals(MAGIC)) throw badRequest('the body is no Kubernetes protobuf');
  let apiVersion = '';
  let kind = '';
  let raw: Buffer = Buffer.alloc(0);
  for (const { number, value } of partsOf(body.subarray(4))) {
    if (typeof value === 'bigint') continue;
    if (number === 2) raw = value;
    if (number !== 1) continue;
    for (const part of partsOf(value)) {
      if (part.number === 1) apiVersion = String(scalar('string', part.value));
      if (part.number === 2) kind = String(scalar('string', part.value));
    }
  }
  const type = kind === 'DeleteOptions' ? DELETE_OPTIONS : load().kinds[`${apiVersion}/${kind}`];
  if (type === undefined)
    throw badRequest(`${kind} in version "${apiVersion}" is not read in protobuf here; send JSON`);
  return { ...record(decode(type, raw)), apiVersion, kind };
}
