/** A zip file of texts, in memory: for small archives. */
import { strToU8, zipSync } from 'fflate';

export interface ZipEntry {
  name: string;
  text: string;
}

/** The format's first day (local time): archives of the same content are the same bytes. */
const NO_DATE = new Date(1980, 0, 1);

export function zipOf(entries: ZipEntry[]): Buffer {
  const files = Object.fromEntries(entries.map(({ name, text }) => [name, strToU8(text)]));
  return Buffer.from(zipSync(files, { mtime: NO_DATE }));
}
