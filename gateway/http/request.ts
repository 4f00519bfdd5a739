import { BadMessage, contentLength, headText, ownCopy, parseFields, tokens, type Field } from './message.js';
import { isTraceParent, newTraceParent } from './trace.js';

/** A request head that has passed every check. */
export interface RequestHead {
  method: string;
  /** As it came: `/path?query`. */
  target: string;
  path: string;
  /** Without the question mark. */
  query: string;
  /** Minor version of HTTP/1. */
  minor: 0 | 1;
  fields: Field[];
  /** Lower case, with port. */
  host: string;
  /** Bytes of the body when its length is announced. */
  length: number | undefined;
  chunked: boolean;
  /** Whether the client wants to use the connection again. */
  keepAlive: boolean;
  /** The client holds its body back until it hears `100 Continue`. */
  expectsContinue: boolean;
  /** A WebSocket handshake. Other upgrades are ignored, as RFC 9110 allows. */
  websocket: boolean;
  /** Fields that the client called hop-by-hop by naming them in Connection. */
  nominated: string[];
  origin: string | undefined;
  /** All Cookie fields, joined. */
  cookie: string | undefined;
  authorization: string | undefined;
  /** X-Session-API-Key. */
  sessionKey: string | undefined;
  accept: string | undefined;
  /** A valid traceparent: the client's own, or a new one. */
  trace: string;
  /** The client began the trace, so what it says of it in tracestate counts. */
  isTraced: boolean;
  fetchMode: string | undefined;
  fetchSite: string | undefined;
}

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP\/([0-9])\.([0-9])$/;
const HOST = /^(?:[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/;
const MAX_TARGET = 16 * 1024;

/**
 * Reads the head in bytes[start, end), which ends with the CRLF of its last field (the empty line not included).
 * Throws BadMessage with the status to answer.
 */
export function parseRequest(bytes: Buffer, start: number, end: number): RequestHead {
  const text = headText(bytes, start, end, 400);
  const lineEnd = text.indexOf('\r\n');
  const match = REQUEST_LINE.exec(text.slice(0, lineEnd));
  if (match === null) throw new BadMessage(400, 'malformed request line');
  const [, method = '', target = '', major, minor] = match;
  if (major !== '1' || (minor !== '0' && minor !== '1')) throw new BadMessage(505, 'only HTTP/1.0 and HTTP/1.1');
  checkTarget(method, target);
  const head = emptyHead(method, target, minor === '1' ? 1 : 0);
  head.path = pathOf(target);
  head.query = target.slice(head.path.length + 1);
  head.fields = parseFields(text, lineEnd + 2, 400);
  return interpret(head);
}

function emptyHead(method: string, target: string, minor: 0 | 1): RequestHead {
  return {
    method,
    target,
    path: '',
    query: '',
    minor,
    fields: [],
    host: '',
    length: undefined,
    chunked: false,
    keepAlive: minor === 1,
    expectsContinue: false,
    websocket: false,
    nominated: [],
    origin: undefined,
    cookie: undefined,
    authorization: undefined,
    sessionKey: undefined,
    accept: undefined,
    trace: '',
    isTraced: false,
    fetchMode: undefined,
    fetchSite: undefined,
  };
}

/** Origin form only: what an absolute form or an authority says could contradict Host, and no client of ours needs them. */
function checkTarget(method: string, target: string): void {
  if (method === 'CONNECT' || method === 'TRACE') throw new BadMessage(405, 'method not allowed');
  if (!target.startsWith('/')) throw new BadMessage(400, 'request target must be a path');
  if (target.length > MAX_TARGET) throw new BadMessage(414, 'request target too long');
  if (target.includes('#')) throw new BadMessage(400, 'fragment in the request target');
}

interface Raw {
  connection: string | undefined;
  transferEncoding: string | undefined;
  upgrade: string | undefined;
  expect: string | undefined;
  traces: number;
}

function interpret(head: RequestHead): RequestHead {
  const raw: Raw = {
    connection: undefined,
    transferEncoding: undefined,
    upgrade: undefined,
    expect: undefined,
    traces: 0,
  };
  for (const field of head.fields) take(head, raw, field);
  // Malformed or given twice it says nothing (W3C), and is no reason to refuse.
  head.isTraced = raw.traces === 1 && isTraceParent(head.trace);
  if (!head.isTraced) head.trace = newTraceParent();
  if (head.host === '') throw new BadMessage(400, 'no Host');
  if (raw.transferEncoding !== undefined) readTransferEncoding(head, raw.transferEncoding);
  if (raw.expect !== undefined) {
    if (raw.expect.toLowerCase() !== '100-continue') throw new BadMessage(417, 'unknown expectation');
    head.expectsContinue = head.minor === 1;
  }
  if (raw.connection !== undefined) readConnection(head, raw.connection, raw.upgrade);
  return head;
}

/** Fields that decide about framing, routing and rights may come once only: two of them mean two readings. */
function take(head: RequestHead, raw: Raw, { name, value }: Field): void {
  switch (name) {
    case 'host':
      if (head.host !== '' || !HOST.test((head.host = value.toLowerCase()))) throw new BadMessage(400, 'bad Host');
      break;
    case 'content-length':
      head.length = once(head.length, contentLength(value, 400), name);
      break;
    case 'transfer-encoding':
      raw.transferEncoding = once(raw.transferEncoding, value, name);
      break;
    case 'connection':
      raw.connection = raw.connection === undefined ? value : `${raw.connection},${value}`;
      break;
    case 'upgrade':
      raw.upgrade = once(raw.upgrade, value, name);
      break;
    case 'expect':
      raw.expect = once(raw.expect, value, name);
      break;
    case 'cookie':
      head.cookie = head.cookie === undefined ? value : `${head.cookie}; ${value}`;
      break;
    case 'origin':
      head.origin = once(head.origin, value, name);
      break;
    case 'authorization':
      head.authorization = once(head.authorization, value, name);
      break;
    case 'x-session-api-key':
      head.sessionKey = once(head.sessionKey, value, name);
      break;
    case 'accept':
      head.accept = head.accept === undefined ? value : `${head.accept},${value}`;
      break;
    case 'traceparent':
      head.trace = value;
      raw.traces++;
      break;
    case 'sec-fetch-mode':
      head.fetchMode = once(head.fetchMode, value, name);
      break;
    case 'sec-fetch-site':
      head.fetchSite = once(head.fetchSite, value, name);
      break;
  }
}

function once<T>(before: T | undefined, value: T, name: string): T {
  if (before !== undefined) throw new BadMessage(400, `${name} given twice`);
  return value;
}

function readTransferEncoding(head: RequestHead, value: string): void {
  if (head.length !== undefined) throw new BadMessage(400, 'both Content-Length and Transfer-Encoding');
  if (head.minor === 0) throw new BadMessage(400, 'Transfer-Encoding in HTTP/1.0');
  if (value.toLowerCase() !== 'chunked') throw new BadMessage(501, 'unknown transfer coding');
  head.chunked = true;
}

/** Removing one of these on a client's word would change framing, routing or rights. */
const END_TO_END = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'cookie',
  'authorization',
  'origin',
  'expect',
  'x-session-api-key',
]);

function readConnection(head: RequestHead, connection: string, upgrade: string | undefined): void {
  const options = tokens(connection);
  if (options.some((option) => END_TO_END.has(option)))
    throw new BadMessage(400, 'end-to-end field named in Connection');
  head.nominated = options;
  if (options.includes('close')) head.keepAlive = false;
  else if (head.minor === 0) head.keepAlive = options.includes('keep-alive');
  head.websocket =
    upgrade !== undefined &&
    head.minor === 1 &&
    head.method === 'GET' &&
    options.includes('upgrade') &&
    upgrade.toLowerCase() === 'websocket';
  if (head.websocket && (head.chunked || (head.length ?? 0) > 0))
    throw new BadMessage(400, 'WebSocket handshake with a body');
}

/** A target without its query. */
export function pathOf(target: string): string {
  const question = target.indexOf('?');
  return question < 0 ? target : target.slice(0, question);
}

/** First value of a field, for the rarer ones. */
export function fieldOf(head: { fields: Field[] }, name: string): string | undefined {
  return head.fields.find((field) => field.name === name)?.value;
}

/** Query parameter in which older clients show the session key. */
export const KEY_PARAMETER = 'session_api_key';

/** Decoded value of a query parameter; undefined when missing or malformed. No allocation when the name does not occur. */
export function queryOf(query: string, name: string): string | undefined {
  if (!query.includes(name)) return undefined;
  for (const part of query.split('&')) {
    if (!part.startsWith(`${name}=`)) continue;
    try {
      return decodeURIComponent(part.slice(name.length + 1).replaceAll('+', ' '));
    } catch {
      return undefined;
    }
  }
  return undefined;
}

/** A target without one query parameter. The rest stays as it was written. */
export function withoutParameter(target: string, name: string): string {
  const [path = '', ...rest] = target.split('?');
  const kept = rest
    .join('?')
    .split('&')
    .filter((part) => part !== name && !part.startsWith(`${name}=`));
  return kept.length === 0 ? path : `${path}?${kept.join('&')}`;
}

/** Whether a person waits for a page: then the answer is a page, otherwise JSON. */
export function isNavigation(head: RequestHead): boolean {
  if (head.method !== 'GET' || head.websocket) return false;
  if (head.fetchMode !== undefined) return head.fetchMode === 'navigate';
  return head.accept !== undefined && head.accept.includes('text/html');
}

/** Whether a person has sent a form, and waits for the page that answers it. */
export function isForm(head: RequestHead): boolean {
  if (head.method !== 'POST') return false;
  if (head.fetchMode !== undefined) return head.fetchMode === 'navigate';
  return head.accept !== undefined && head.accept.includes('text/html');
}

/**
 * What the log needs of a head whose connection goes on for hours. Its fields, and the text that they are slices of, are let
 * go: they are most of what an idle WebSocket would hold.
 */
export function headToKeep(head: RequestHead): RequestHead {
  return {
    ...emptyHead(ownCopy(head.method), '/', head.minor),
    path: ownCopy(head.path.slice(0, MAX_KEPT_PATH)),
    host: ownCopy(head.host),
    websocket: head.websocket,
    trace: ownCopy(head.trace),
  };
}
const MAX_KEPT_PATH = 512;
