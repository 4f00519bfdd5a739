/** WebSocket frames (RFC 6455) as far as a gateway needs them: where one ends, and whether it carried data. */
import { createHash } from 'node:crypto';

/** Follows one direction of a WebSocket without keeping its bytes. */
export interface Frames {
  /** Payload bytes left of the current frame. */
  left: number;
  /** Header bytes seen of the next frame. */
  header: number;
  opcode: number;
  length: number;
  /** Bytes of the extended length and of the mask still to come. */
  extended: number;
  mask: number;
  /** A close frame has begun: nothing may follow it. */
  closing: boolean;
}

export const newFrames = (): Frames => ({
  left: 0,
  header: 0,
  opcode: 0,
  length: 0,
  extended: 0,
  mask: 0,
  closing: false,
});

/** Between two frames: the only moment at which a frame of our own may be put in. */
export const atBoundary = (frames: Frames): boolean => frames.left === 0 && frames.header === 0;

/** Goes on through `chunk`; true when a data frame (not ping, pong or close) began in it or went on. */
export function follow(frames: Frames, chunk: Buffer): boolean {
  let data = frames.left > 0 && frames.opcode < 8;
  let at = 0;
  while (at < chunk.length) {
    if (frames.left > 0) {
      const step = Math.min(frames.left, chunk.length - at);
      frames.left -= step;
      at += step;
    } else if (readHeader(frames, chunk[at++] ?? 0)) {
      data ||= frames.opcode < 8;
    }
  }
  return data;
}

/** One byte of a frame header; true when the header is complete. */
function readHeader(frames: Frames, byte: number): boolean {
  if (frames.header === 0) {
    frames.opcode = byte & 0x0f;
    frames.closing ||= frames.opcode === 8;
    frames.header = 1;
    return false;
  }
  if (frames.header === 1) {
    const short = byte & 0x7f;
    frames.extended = short === 127 ? 8 : short === 126 ? 2 : 0;
    frames.length = frames.extended === 0 ? short : 0;
    frames.mask = byte & 0x80 ? 4 : 0;
    frames.header = 2;
  } else if (frames.extended > 0) {
    frames.length = frames.length * 256 + byte;
    frames.extended--;
  } else frames.mask--;
  if (frames.extended > 0 || frames.mask > 0) return false;
  frames.left = frames.length;
  frames.header = 0;
  return true;
}

/** A close frame as a server sends it. */
export function closeFrame(code: number, reason: string): Buffer {
  const text = Buffer.from(reason);
  const frame = Buffer.alloc(4 + text.length);
  frame[0] = 0x88;
  frame[1] = 2 + text.length;
  frame.writeUInt16BE(code, 2);
  text.copy(frame, 4);
  return frame;
}

/** Sec-WebSocket-Accept for a valid Sec-WebSocket-Key; undefined for an invalid one. */
export function acceptOf(key: string | undefined): string | undefined {
  if (key === undefined || !/^[A-Za-z0-9+/]{22}==$/.test(key)) return undefined;
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

export const MAX_FIRST_FRAME = 16 * 1024;

/**
 * The session key in the first frame, `{"type":"auth","session_api_key":…}`; `more` while the frame is not whole, `bad` for
 * everything that agent servers would refuse.
 */
export function keyInFirstFrame(bytes: Buffer): { key: string } | 'more' | 'bad' {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return first === undefined || first === 0x81 ? 'more' : 'bad';
  // One whole text frame, masked as clients must, without extensions since none was agreed on.
  if (first !== 0x81 || (second & 0x80) === 0) return 'bad';
  const short = second & 0x7f;
  if (short === 127) return 'bad';
  const start = short === 126 ? 4 : 2;
  if (bytes.length < start + 4) return 'more';
  const length = short === 126 ? bytes.readUInt16BE(2) : short;
  if (length > MAX_FIRST_FRAME) return 'bad';
  const end = start + 4 + length;
  if (bytes.length < end) return 'more';
  return keyIn(unmasked(bytes.subarray(start, start + 4), bytes.subarray(start + 4, end)));
}

function unmasked(mask: Buffer, payload: Buffer): string {
  return Buffer.from(payload.map((byte, index) => byte ^ (mask[index & 3] ?? 0))).toString('utf8');
}

function keyIn(text: string): { key: string } | 'bad' {
  try {
    const frame = JSON.parse(text) as { type?: unknown; session_api_key?: unknown } | null;
    return frame?.type === 'auth' && typeof frame.session_api_key === 'string' ? { key: frame.session_api_key } : 'bad';
  } catch {
    return 'bad';
  }
}
