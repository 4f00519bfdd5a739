/**
 * The part of SPDY/3.1 that kubectl's port-forward needs, as a server: streams that the client opens, pings, goaway. Bounded:
 * frames, header blocks and the number of streams. No flow-control windows: the clients (moby/spdystream) keep none.
 * Source: draft-mbelshe-httpbis-spdy-00, sections 2.2 to 2.6.
 */
import { Duplex } from 'node:stream';
import { constants, createDeflate, createInflate } from 'node:zlib';
import { SPDY_DICTIONARY } from './spdyDictionary.js';

export interface SpdyStream {
  /** Names in lower case. */
  headers: Record<string, string>;
  /** Readable ends with the client's FIN; ending the writable sends ours. */
  data: Duplex;
}

export interface SpdyConnection {
  /** Takes bytes from the wire, in order. Resolves when they are dealt with: do not read on before. */
  receive(bytes: Buffer): Promise<void>;
  /** Ends all streams. */
  close(): void;
}

export class SpdyError extends Error {
  override readonly name = 'SpdyError';
}

const SYN_STREAM = 1;
const SYN_REPLY = 2;
const RST_STREAM = 3;
const PING = 6;
const GOAWAY = 7;
const VERSION = 3;
const FLAG_FIN = 1;
const REFUSED_STREAM = 3;
const CANCEL = 5;

const MAX_FRAME = 1024 * 1024;
const MAX_HEADERS = 4 * 1024;
const MAX_STREAMS = 256;
const MAX_DATA = 32 * 1024;

export function createSpdy(options: {
  /** Writes to the wire; resolves when more may be written. */
  send(bytes: Buffer): Promise<void>;
  onStream(stream: SpdyStream): void;
}): SpdyConnection {
  const { send, onStream } = options;
  const headers = createHeaderCodec();
  const streams = new Map<number, Duplex>();
  let rest = Buffer.alloc(0);

  const open = (id: number): Duplex => {
    const data = new Duplex({
      allowHalfOpen: true,
      read() {
        this.emit('wanted');
      },
      write(chunk: Buffer, _encoding, done) {
        sendData(id, chunk).then(() => done(), done);
      },
      final(done) {
        send(dataFrame(id, Buffer.alloc(0), FLAG_FIN)).then(() => done(), done);
      },
      destroy(error, done) {
        const known = streams.delete(id);
        // A stream that broke is told; one that ended on both sides is known to have.
        if (known && error != null) send(controlFrame(RST_STREAM, u32(id, CANCEL))).catch(() => undefined);
        done(error);
      },
    });
    data.on('error', () => undefined);
    streams.set(id, data);
    return data;
  };
  const sendData = async (id: number, chunk: Buffer): Promise<void> => {
    for (let at = 0; at < chunk.length; at += MAX_DATA) await send(dataFrame(id, chunk.subarray(at, at + MAX_DATA), 0));
  };

  const onSynStream = async (flags: number, body: Buffer): Promise<void> => {
    const id = body.readUInt32BE(0) & 0x7fffffff;
    const block = body.subarray(10);
    // Inflated even for a refused stream: the compression state is the connection's.
    const named = await headers.read(block);
    if (streams.has(id) || streams.size >= MAX_STREAMS) return send(controlFrame(RST_STREAM, u32(id, REFUSED_STREAM)));
    const data = open(id);
    await send(controlFrame(SYN_REPLY, Buffer.concat([u32(id), await headers.empty()])));
    if ((flags & FLAG_FIN) !== 0) data.push(null);
    onStream({ headers: named, data });
  };
  const onControl = async (type: number, flags: number, body: Buffer): Promise<void> => {
    switch (type) {
      case SYN_STREAM:
        return await onSynStream(flags, body);
      case RST_STREAM:
        return void streams.get(body.readUInt32BE(0) & 0x7fffffff)?.destroy();
      case PING:
        // Even numbers would be answers to pings of ours; there are none.
        return body.readUInt32BE(0) % 2 === 1 ? await send(controlFrame(PING, body.subarray(0, 4))) : undefined;
      case GOAWAY:
        return;
      default:
        // SETTINGS, WINDOW_UPDATE and the rest change nothing here.
        return;
    }
  };
  const onData = async (id: number, flags: number, body: Buffer): Promise<void> => {
    const stream = streams.get(id);
    if (stream === undefined || stream.readableEnded || stream.destroyed) return;
    if (body.length > 0 && !stream.push(body)) await wanted(stream);
    if ((flags & FLAG_FIN) !== 0 && !stream.destroyed) stream.push(null);
  };

  return {
    async receive(bytes) {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= 8) {
        const length = rest.readUIntBE(5, 3);
        if (length > MAX_FRAME) throw new SpdyError(`a frame of ${length} bytes`);
        if (rest.length < 8 + length) return;
        const first = rest.readUInt32BE(0);
        const flags = rest[4] ?? 0;
        const body = rest.subarray(8, 8 + length);
        rest = rest.subarray(8 + length);
        if (first >>> 31 === 0) await onData(first, flags, body);
        else if (((first >>> 16) & 0x7fff) !== VERSION) throw new SpdyError('not SPDY/3');
        else await onControl(first & 0xffff, flags, body);
      }
    },
    close() {
      for (const data of [...streams.values()]) data.destroy();
      headers.close();
    },
  };
}

/** Until the stream's reader wants more, or the stream is gone. */
function wanted(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      stream.off('wanted', go).off('close', go);
      resolve();
    };
    stream.on('wanted', go).on('close', go);
  });
}

function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32BE(value, index * 4));
  return bytes;
}

export function controlFrame(type: number, body: Buffer, flags = 0): Buffer {
  const head = u32(((0x8000 | VERSION) << 16) >>> 0, 0);
  head.writeUInt16BE(type, 2);
  head[4] = flags;
  head.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([head, body]);
}

export function dataFrame(id: number, body: Buffer, flags: number): Buffer {
  const head = u32(id, 0);
  head[4] = flags;
  head.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([head, body]);
}

/** Header blocks are one zlib stream in each direction, for the life of the connection. */
export function createHeaderCodec() {
  const inflate = createInflate({ dictionary: SPDY_DICTIONARY });
  const deflate = createDeflate({ dictionary: SPDY_DICTIONARY });
  inflate.on('error', () => undefined);
  deflate.on('error', () => undefined);

  return {
    read(block: Buffer): Promise<Record<string, string>> {
      if (block.length > MAX_HEADERS) throw new SpdyError('a header block that is too large');
      return new Promise((resolve, reject) => {
        const failed = (error: Error): void =>
          reject(new SpdyError('a header block that cannot be read', { cause: error }));
        inflate.once('error', failed);
        inflate.write(block, () => {
          inflate.off('error', failed);
          const bytes = inflate.read() as Buffer | null;
          try {
            resolve(parseHeaders(bytes ?? Buffer.alloc(0)));
          } catch (error) {
            failed(error as Error);
          }
        });
      });
    },
    write(pairs: Record<string, string>): Promise<Buffer> {
      const parts = Object.entries(pairs).flatMap(([name, value]) =>
        [name, value].flatMap((text) => [u32(Buffer.byteLength(text)), Buffer.from(text)]),
      );
      return new Promise((resolve, reject) => {
        deflate.once('error', reject);
        deflate.write(Buffer.concat([u32(Object.keys(pairs).length), ...parts]));
        deflate.flush(constants.Z_SYNC_FLUSH, () => {
          deflate.off('error', reject);
          resolve((deflate.read() as Buffer | null) ?? Buffer.alloc(0));
        });
      });
    },
    empty(): Promise<Buffer> {
      return this.write({});
    },
    close() {
      inflate.destroy();
      deflate.destroy();
    },
  };
}

function parseHeaders(bytes: Buffer): Record<string, string> {
  let at = 0;
  const number = (): number => {
    const value = bytes.readUInt32BE(at);
    at += 4;
    return value;
  };
  const text = (): string => {
    const length = number();
    if (at + length > bytes.length) throw new RangeError('a header longer than its block');
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  const headers: Record<string, string> = {};
  for (let left = number(); left > 0; left--) {
    const name = text().toLowerCase();
    headers[name] = text();
  }
  return headers;
}
