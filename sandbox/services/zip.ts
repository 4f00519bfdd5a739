/** A ZIP file as a stream: memory for one entry at a time. */
import { Zip, ZipDeflate } from 'fflate';

export interface ZipEntry {
  name: string;
  data: Buffer;
}

/** The format's first day (local time): times of entries say nothing here. */
const NO_DATE = new Date(1980, 0, 1);

export async function* createZip(entries: AsyncIterable<ZipEntry>): AsyncGenerator<Buffer> {
  const ready: Buffer[] = [];
  const zip = new Zip((error, chunk) => {
    if (error !== null) throw error;
    ready.push(Buffer.from(chunk));
  });
  for await (const { name, data } of entries) {
    const entry = new ZipDeflate(name);
    entry.mtime = NO_DATE;
    zip.add(entry);
    entry.push(data, true);
    yield* ready.splice(0);
  }
  zip.end();
  yield* ready;
}
