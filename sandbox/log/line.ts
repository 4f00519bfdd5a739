/**
 * Lines of a conversation's log: `<crc32, 8 hex digits> <E|U> <JSON>\n`. E is an event as sockets send it (no nulls), U a
 * record of one model call for the statistics. A line counts when its checksum does; a torn last line is cut off.
 */
import { crc32 } from 'node:zlib';

export type LineType = 'E' | 'U';
export interface LogLine {
  type: LineType;
  /** Byte offset of the JSON within the file, and its length. */
  offset: number;
  length: number;
  json: string;
}

/** Digits of the checksum. */
const CHECKSUM = 8;
const HEAD = 11;
const NEWLINE = 10;
const SPACE = 32;

export function encodeLine(type: LineType, json: string): Buffer {
  // Filled in place: a line may be megabytes, and a copy of it for each part is.
  const line = Buffer.allocUnsafe(HEAD + Buffer.byteLength(json) + 1);
  line.write(json, HEAD);
  line.write(`${type} `, CHECKSUM + 1, 'latin1');
  line[line.length - 1] = NEWLINE;
  const checksum = crc32(line.subarray(CHECKSUM + 1, -1))
    .toString(16)
    .padStart(CHECKSUM, '0');
  line.write(`${checksum} `, 0, 'latin1');
  return line;
}

/** Where the JSON begins within an encoded line. */
export const JSON_AT = HEAD;

/** One line without its line end; undefined when it is damaged. */
export function decodeLine(line: Buffer, offset: number): LogLine | undefined {
  if (line.length < HEAD || line[8] !== SPACE) return undefined;
  const body = line.subarray(9);
  if (line.toString('latin1', 0, 8) !== crc32(body).toString(16).padStart(8, '0')) return undefined;
  const type = line.toString('latin1', 9, 10);
  if (type !== 'E' && type !== 'U') return undefined;
  return { type, offset: offset + HEAD, length: line.length - HEAD, json: line.toString('utf8', HEAD) };
}

export interface ScanResult {
  /** Bytes up to the end of the last whole line. */
  end: number;
  /** Damaged lines in the middle, which were passed over. */
  damaged: number;
}

/** Splits a stream of chunks into lines and hands over the good ones; what follows the last line end is not counted. */
export function createScanner(onLine: (line: LogLine) => void): {
  push(chunk: Buffer): void;
  finish(): ScanResult;
} {
  let rest: Buffer[] = [];
  let offset = 0;
  let good = 0;
  let damaged = 0;
  let trailing = 0;
  const take = (line: Buffer) => {
    const decoded = decodeLine(line, offset);
    offset += line.length + 1;
    if (decoded === undefined) {
      trailing++;
      return;
    }
    damaged += trailing;
    trailing = 0;
    good = offset;
    onLine(decoded);
  };
  return {
    push(chunk) {
      let from = 0;
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
        const piece = chunk.subarray(from, at);
        take(rest.length === 0 ? piece : Buffer.concat([...rest, piece]));
        rest = [];
        from = at + 1;
      }
      if (from < chunk.length) rest.push(Buffer.from(chunk.subarray(from)));
    },
    finish: () => ({ end: good, damaged }),
  };
}
