/**
 * The append-only log of one conversation. An append resolves when the line is in the file (a killed process loses
 * nothing that was acknowledged); the file is flushed to the disk within SYNC_MS (a power cut loses at most that).
 * Events are read from disk by index; only a short tail of them stays in memory, and of logs that lately were used.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { createFilePool, type PooledFile } from './files.js';
import { createIndex, entryOf, type EventIndex, type IndexedEvent } from './index.js';
import { createScanner, encodeLine, JSON_AT, type LineType } from './line.js';

export interface EventLog {
  readonly index: EventIndex;
  /** Bytes of whole lines in the file. */
  readonly length: number;
  /** Damaged lines that were passed over when the file was opened. */
  readonly damaged: number;
  /** Bytes of a torn last line that were cut off at opening. */
  readonly repaired: number;
  /** Writes an event; resolves with its sequence number. Events get their places in the order of the calls. */
  append(event: IndexedEvent): Promise<number>;
  /** Writes a record of a model call. */
  appendUsage(record: unknown): Promise<void>;
  /** JSON texts of these events, in this order. */
  read(seqs: readonly number[]): Promise<string[]>;
  /** Calls back after each event, in order, when it is in the file. Returns the way to stop. */
  subscribe(listener: (seq: number, json: string) => void): () => void;
  close(): Promise<void>;
}

export interface OpenOptions {
  path: string;
  /** Called for each line in the file that starts at or behind `from`, at opening. */
  onLine?: (line: { type: LineType; json: string; offset: number }) => void;
}

const SYNC_MS = 1000;
const TAIL = 64;
/** Characters of them in all; a longer event is read from the disk by whoever is late for it. */
const TAIL_CHARACTERS = 1 << 20;
const CHUNK = 1 << 20;
/** Events are read together when they lie this near to each other. */
const GAP = 4096;

interface Pending {
  data: Buffer;
  jsonLength: number;
  json: string;
  event?: IndexedEvent;
  done: (seq: number) => void;
  failed: (error: unknown) => void;
}

/** Logs that lately were used stay open: the conversations that somebody works with, and few more. */
const MAX_OPEN = 64;
const pool = createFilePool(MAX_OPEN);

/** Opens the log, making the file when there is none; cuts a torn last line off. */
export async function openLog(options: OpenOptions): Promise<EventLog> {
  const file = await open(options.path, 'a+', 0o600);
  const index = createIndex();
  const scanner = createScanner((line) => {
    if (line.type === 'E') index.add(entryOf(JSON.parse(line.json) as IndexedEvent, line, index));
    options.onLine?.(line);
  });
  const size = await scan(file, scanner.push);
  const { end, damaged } = scanner.finish();
  if (end < size) await file.truncate(end);
  return createEventLog({ path: options.path, file }, { index, length: end, damaged, repaired: size - end });
}

async function scan(file: FileHandle, push: (chunk: Buffer) => void): Promise<number> {
  const buffer = Buffer.alloc(CHUNK);
  let at = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK, at);
    if (bytesRead === 0) return at;
    push(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}

function createEventLog(
  from: { path: string; file: FileHandle },
  opened: { index: EventIndex; length: number; damaged: number; repaired: number },
): EventLog {
  const { index } = opened;
  let length = opened.length;
  let queue: Pending[] = [];
  let writing: Promise<void> | undefined;
  let syncTimer: NodeJS.Timeout | undefined;
  let closed = false;
  const tail = new Map<number, string>();
  const listeners = new Set<(seq: number, json: string) => void>();
  let tailCharacters = 0;
  const file = pool.add(from.path, from.file, () => {
    tail.clear();
    tailCharacters = 0;
  });
  const remember = (seq: number, json: string) => {
    tail.set(seq, json);
    tailCharacters += json.length;
    for (const [oldest, text] of tail) {
      if (tail.size <= TAIL && tailCharacters <= TAIL_CHARACTERS) return;
      tail.delete(oldest);
      tailCharacters -= text.length;
    }
  };

  const place = (pending: Pending) => {
    const offset = length + JSON_AT;
    length += pending.data.length;
    if (pending.event === undefined) return pending.done(-1);
    const seq = index.add(entryOf(pending.event, { offset, length: pending.jsonLength }, index));
    remember(seq, pending.json);
    for (const listener of listeners) listener(seq, pending.json);
    pending.done(seq);
  };
  const drain = async () => {
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      try {
        const [first] = batch;
        const one = batch.length === 1 && first !== undefined;
        const data = one ? first.data : Buffer.concat(batch.map((pending) => pending.data));
        await file.use((handle) => writeAll(handle, data));
      } catch (error) {
        // A half-written line must not stand in front of the next one.
        await file.use((handle) => handle.truncate(length)).catch(() => undefined);
        for (const pending of batch) pending.failed(error);
        continue;
      }
      for (const pending of batch) place(pending);
      syncTimer ??= setTimeout(() => {
        syncTimer = undefined;
        file.use((handle) => handle.datasync()).catch(() => undefined);
      }, SYNC_MS).unref();
    }
    writing = undefined;
  };
  const write = (type: LineType, value: unknown, event?: IndexedEvent) =>
    new Promise<number>((done, failed) => {
      if (closed) return failed(new Error('the log is closed'));
      const json = JSON.stringify(value);
      const data = encodeLine(type, json);
      queue.push({
        data,
        json,
        jsonLength: data.length - JSON_AT - 1,
        done,
        failed,
        ...(event === undefined ? {} : { event }),
      });
      writing ??= drain();
    });

  return {
    index,
    get length() {
      return length;
    },
    damaged: opened.damaged,
    repaired: opened.repaired,
    append: (event) => write('E', event, event),
    appendUsage: async (record) => void (await write('U', record)),
    read: (seqs) => readEvents(file, index, tail, seqs),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      if (closed) return;
      closed = true;
      await writing;
      clearTimeout(syncTimer);
      await file.use((handle) => handle.datasync()).catch(() => undefined);
      await file.close();
    },
  };
}

async function writeAll(file: FileHandle, data: Buffer): Promise<void> {
  for (let at = 0; at < data.length;) {
    const { bytesWritten } = await file.write(data, at, data.length - at, null);
    if (bytesWritten === 0) throw new Error('the disk took nothing');
    at += bytesWritten;
  }
}

async function readEvents(
  file: PooledFile,
  index: EventIndex,
  tail: Map<number, string>,
  seqs: readonly number[],
): Promise<string[]> {
  const texts = new Map<number, string>();
  const missing = [...new Set(seqs)].filter((seq) => {
    const text = tail.get(seq);
    if (text !== undefined) texts.set(seq, text);
    return text === undefined;
  });
  missing.sort((a, b) => a - b);
  for (let from = 0; from < missing.length;) {
    const start = index.get(missing[from] ?? 0).offset;
    let to = from;
    let end = start;
    for (; to < missing.length; to++) {
      const entry = index.get(missing[to] ?? 0);
      if (to > from && (entry.offset - end > GAP || entry.offset - start > CHUNK)) break;
      end = entry.offset + entry.length;
    }
    const buffer = Buffer.alloc(end - start);
    await file.use((handle) => handle.read(buffer, 0, buffer.length, start));
    for (; from < to; from++) {
      const seq = missing[from] ?? 0;
      const entry = index.get(seq);
      texts.set(seq, buffer.toString('utf8', entry.offset - start, entry.offset - start + entry.length));
    }
  }
  return seqs.map((seq) => texts.get(seq) ?? '');
}
