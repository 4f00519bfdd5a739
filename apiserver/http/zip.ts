/** A zip file of texts, deflated (PKWARE APPNOTE 6.3.3: local headers, central directory, end record). For small archives in memory. */
import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipEntry {
  name: string;
  text: string;
}

/** UTF-8 names. */
const FLAGS = 0x0800;
const DEFLATE = 8;
const VERSION = 20;
/** 1980-01-01, the format's first day: archives of the same content are the same bytes. */
const DATE = 0x0021;

export function zipOf(entries: ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, text } of entries) {
    const raw = Buffer.from(text, 'utf8');
    const packed = deflateRawSync(raw);
    const label = Buffer.from(name, 'utf8');
    const common = fields(
      [2, VERSION],
      [2, FLAGS],
      [2, DEFLATE],
      [2, 0],
      [2, DATE],
      [4, crc32(raw)],
      [4, packed.length],
      [4, raw.length],
      [2, label.length],
      [2, 0],
    );
    parts.push(fields([4, 0x04034b50]), common, label, packed);
    directory.push(
      fields([4, 0x02014b50], [2, VERSION]),
      common,
      fields([2, 0], [2, 0], [2, 0], [4, 0], [4, offset]),
      label,
    );
    offset += 4 + common.length + label.length + packed.length;
  }
  const central = Buffer.concat(directory);
  const end = fields(
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, entries.length],
    [2, entries.length],
    [4, central.length],
    [4, offset],
    [2, 0],
  );
  return Buffer.concat([...parts, central, end]);
}

/** Little-endian numbers of 2 or 4 bytes. */
function fields(...values: [size: 2 | 4, value: number][]): Buffer {
  return Buffer.concat(
    values.map(([size, value]) => {
      const bytes = Buffer.alloc(size);
      bytes.writeUIntLE(value, 0, size);
      return bytes;
    }),
  );
}
