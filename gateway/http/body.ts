/**
 * Where a body ends. Bodies are moved as they come; only their framing is followed, so that a connection is reused exactly
 * when both sides agree that the message is over.
 */
import { BadMessage, parseFields } from './message.js';

export interface Body {
  kind: 'none' | 'length' | 'chunked' | 'close';
  done: boolean;
  /** Bytes left of the body (length) or of the current chunk. */
  left: number;
  /** State of the chunked reader. */
  state: number;
  /** Length of the chunk-size line or trailer so far. */
  seen: number;
  /** Trailer section with its closing empty line, held back until it is whole and checked. */
  trailer: string;
  /** After advance(): index in the chunk up to which bytes may be passed on (they end before a trailer). */
  passed: number;
  /** 400 for requests, 502 for responses. */
  status: number;
  /** Told of each piece of the content, without framing; for the rare bodies that are changed on their way. */
  content: ((start: number, end: number) => void) | undefined;
}

const body = (kind: Body['kind'], left: number, status: number): Body => ({
  kind,
  done: kind === 'none',
  left,
  state: SIZE_FIRST,
  seen: 0,
  trailer: '',
  passed: 0,
  status,
  content: undefined,
});

const SIZE_FIRST = 0;
const SIZE = 1;
const EXTENSION = 2;
const SIZE_LF = 3;
const DATA = 4;
const DATA_CR = 5;
const DATA_LF = 6;
const TRAILER = 7;

const MAX_SIZE_LINE = 256;
const MAX_TRAILER = 8 * 1024;

export const noBody = (): Body => body('none', 0, 400);
export const lengthBody = (length: number, status: number): Body =>
  length === 0 ? noBody() : body('length', length, status);
export const chunkedBody = (status: number): Body => body('chunked', 0, status);
/** Ends with the connection (old servers). */
export const closeBody = (): Body => body('close', 0, 502);

/**
 * Follows the body through chunk[start…] and returns the index after its last byte there. Throws BadMessage when chunked
 * framing is broken; what was passed on before stays passed on, so the caller must then cut the connection.
 */
export function advance(body: Body, chunk: Buffer, start: number): number {
  switch (body.kind) {
    case 'none':
      return (body.passed = start);
    case 'close':
      body.content?.(start, chunk.length);
      return (body.passed = chunk.length);
    case 'length': {
      const end = Math.min(chunk.length, start + body.left);
      body.left -= end - start;
      body.done = body.left === 0;
      body.content?.(start, end);
      return (body.passed = end);
    }
    case 'chunked':
      return advanceChunked(body, chunk, start);
  }
}

function advanceChunked(body: Body, chunk: Buffer, start: number): number {
  let at = start;
  while (at < chunk.length && !body.done) {
    if (body.state === DATA) {
      const step = Math.min(body.left, chunk.length - at);
      body.content?.(at, at + step);
      body.left -= step;
      at += step;
      if (body.left === 0) body.state = DATA_CR;
    } else if (body.state === TRAILER) {
      return readTrailer(body, chunk, at);
    } else {
      step(body, chunk[at] ?? 0);
      at++;
    }
  }
  return (body.passed = at);
}

/** One byte of framing between chunks. */
function step(body: Body, byte: number): void {
  switch (body.state) {
    case SIZE_FIRST:
    case SIZE:
      return readSize(body, byte);
    case EXTENSION:
      if (byte === 0x0d) body.state = SIZE_LF;
      else if (isControl(byte) || ++body.seen > MAX_SIZE_LINE) throw broken(body, 'malformed chunk extension');
      return;
    case SIZE_LF:
      if (byte !== 0x0a) throw broken(body, 'malformed chunk line');
      body.seen = 0;
      body.state = body.left === 0 ? TRAILER : DATA;
      return;
    case DATA_CR:
      if (byte !== 0x0d) throw broken(body, 'chunk longer than its size');
      body.state = DATA_LF;
      return;
    case DATA_LF:
      if (byte !== 0x0a) throw broken(body, 'chunk longer than its size');
      body.state = SIZE_FIRST;
      return;
  }
}

const isControl = (byte: number) => (byte < 0x20 && byte !== 0x09) || byte === 0x7f;

function readSize(body: Body, byte: number): void {
  const digit = hexDigit(byte);
  if (digit >= 0) {
    // Eight digits are 4 GiB: more than any real chunk, and far from where numbers lose precision.
    if (++body.seen > 8) throw broken(body, 'chunk too large');
    body.left = body.left * 16 + digit;
    body.state = SIZE;
  } else if (body.state === SIZE && byte === 0x0d) body.state = SIZE_LF;
  else if (body.state === SIZE && byte === 0x3b) body.state = EXTENSION;
  else throw broken(body, 'malformed chunk size');
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Collects the trailer section; done at its empty line. Returns the index after the last byte used. */
function readTrailer(body: Body, chunk: Buffer, start: number): number {
  let from = start;
  body.passed = start;
  for (let at = from; at < chunk.length; at++) {
    const byte = chunk[at] ?? 0;
    if (byte !== 0x0a) continue;
    body.trailer += chunk.toString('latin1', from, at + 1);
    from = at + 1;
    if (body.trailer.length > MAX_TRAILER) throw broken(body, 'trailer too large');
    if (body.trailer === '\r\n' || body.trailer.endsWith('\n\r\n')) {
      checkTrailer(body);
      body.done = true;
      return at + 1;
    }
  }
  body.trailer += chunk.toString('latin1', from);
  if (body.trailer.length > MAX_TRAILER) throw broken(body, 'trailer too large');
  return chunk.length;
}

/** Names that would change routing, framing or rights when a server merges trailers into the head. */
const NOT_IN_TRAILERS =
  /^(?:host|content-.*|transfer-encoding|connection|upgrade|trailer|te|authorization|cookie|set-cookie|location|expect|range|forwarded|proxy-.*|x-forwarded-.*|x-real-ip|x-session-api-key|x-init-api-key|x-api-key|access-control-.*|origin|strict-transport-security|x-frame-options)$/;

function checkTrailer(body: Body): void {
  const text = body.trailer.slice(0, -2);
  if (/[^\r]\n|^\n|\r[^\n]|\n[\t ]|^[\t ]|[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text))
    throw broken(body, 'forbidden character in a trailer');
  for (const field of parseFields(text, 0, body.status))
    if (NOT_IN_TRAILERS.test(field.name)) throw broken(body, 'field not allowed in a trailer');
}

const broken = (body: Body, message: string) => new BadMessage(body.status, message);
