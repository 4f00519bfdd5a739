/**
 * Container logs: one file per run, each line `<RFC 3339> stdout|stderr F|P <text>` as container runtimes write them (P: the
 * line goes on in the next one). Bounded: when a file is full it becomes `<file>.1`, and an older one goes.
 */
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { EventEmitter, once } from 'node:events';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

export const MAX_LOG_BYTES = 10 * 1024 * 1024;
const MAX_LINE = 16 * 1024;
/** Above this the process that writes has to wait. */
const MAX_WAITING_BYTES = 1024 * 1024;

export interface LogWriter {
  readonly path: string;
  /** Takes all that the stream says. Resolves at its end. */
  consume(stream: Readable, name: 'stdout' | 'stderr'): Promise<void>;
  /** Told after every write, and at the end. */
  readonly changes: EventEmitter<{ change: [] }>;
  ended(): boolean;
  /** How often the file became `.1`. */
  rotations(): number;
  close(): Promise<void>;
}

export async function createLogWriter(
  path: string,
  options: { now: () => number; maxBytes?: number },
): Promise<LogWriter> {
  const { now, maxBytes = MAX_LOG_BYTES } = options;
  let file: FileHandle = await open(path, 'a', 0o600);
  let size = (await file.stat()).size;
  let waiting: string[] = [];
  let waitingBytes = 0;
  let writing: Promise<void> | undefined;
  let ended = false;
  let rotations = 0;
  const changes = new EventEmitter<{ change: [] }>();
  changes.setMaxListeners(1000);

  const rotate = async (): Promise<void> => {
    await file.close();
    await rm(`${path}.1`, { force: true });
    await rename(path, `${path}.1`);
    file = await open(path, 'a', 0o600);
    size = 0;
    rotations++;
  };
  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      const text = waiting.join('');
      waiting = [];
      waitingBytes = 0;
      const bytes = Buffer.from(text);
      if (size > 0 && size + bytes.length > maxBytes) await rotate();
      await file.write(bytes);
      size += bytes.length;
      changes.emit('change');
    }
  };
  const add = (name: string, text: string, flag: 'F' | 'P'): void => {
    const line = `${new Date(now()).toISOString()} ${name} ${flag} ${text}\n`;
    waiting.push(line);
    waitingBytes += line.length;
    // A full disk loses log lines, not the pod.
    writing ??= flush()
      .catch(() => undefined)
      .finally(() => (writing = undefined));
  };

  return {
    path,
    changes,
    ended: () => ended,
    rotations: () => rotations,
    async consume(stream, name) {
      const decoder = new StringDecoder('utf8');
      let rest = '';
      const take = (text: string): void => {
        rest += text;
        for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
          add(name, rest.slice(0, end), 'F');
          rest = rest.slice(end + 1);
        }
        for (; rest.length >= MAX_LINE; rest = rest.slice(MAX_LINE)) add(name, rest.slice(0, MAX_LINE), 'P');
      };
      try {
        for await (const chunk of stream) {
          take(decoder.write(chunk as Buffer));
          if (waitingBytes > MAX_WAITING_BYTES) await writing;
        }
      } catch {
        // A pipe that breaks is a pipe that ends.
      }
      rest += decoder.end();
      if (rest !== '') add(name, rest, 'F');
    },
    async close() {
      if (ended) return;
      while (writing !== undefined) await writing;
      ended = true;
      await file.close();
      changes.emit('change');
    },
  };
}

export interface LogQuery {
  follow: boolean;
  timestamps: boolean;
  /** Last lines only. */
  tailLines?: number | undefined;
  /** ms since 1970; lines before are left out. */
  since?: number | undefined;
  limitBytes?: number | undefined;
}

export interface LogLine {
  time: string;
  /** With its newline, unless it is a part of a line. */
  text: string;
}

export function parseLogLine(line: string): LogLine | undefined {
  const parts = /^(\S+) (?:stdout|stderr) ([FP]) (.*)$/s.exec(line);
  return parts === null
    ? undefined
    : { time: parts[1] ?? '', text: parts[2] === 'F' ? `${parts[3]}\n` : (parts[3] ?? '') };
}

/** What `kubectl logs` shows of one run. `writer` is there while the run lives; with `follow` the answer ends with it. */
export async function* readLog(
  path: string,
  query: LogQuery,
  context: { writer?: LogWriter | undefined; signal: AbortSignal },
): AsyncGenerator<string> {
  const { writer, signal } = context;
  let left = query.limitBytes ?? Number.POSITIVE_INFINITY;
  const cut = (line: LogLine): string => {
    const text = query.timestamps ? `${line.time} ${line.text}` : line.text;
    const given = text.slice(0, left);
    left -= given.length;
    return given;
  };
  const wanted = (line: LogLine): boolean => query.since === undefined || Date.parse(line.time) >= query.since;
  const cursor = createCursor(path);
  try {
    const old: LogLine[] = [];
    const tail = query.tailLines ?? Number.POSITIVE_INFINITY;
    for await (const line of cursor.available(writer)) {
      if (!wanted(line)) continue;
      old.push(line);
      if (old.length > tail) old.shift();
    }
    for (const line of old) if (left > 0) yield cut(line);
    while (query.follow && writer !== undefined && left > 0 && !signal.aborted) {
      const last = writer.ended();
      for await (const line of cursor.available(writer)) if (wanted(line) && left > 0) yield cut(line);
      if (last) return;
      await once(writer.changes, 'change', { signal }).catch(() => undefined);
    }
  } finally {
    await cursor.close();
  }
}

/** Reads on from where it was, through a rotation of the file. */
function createCursor(path: string) {
  let file: FileHandle | undefined;
  let rotation = 0;
  let first = true;
  let rest = Buffer.alloc(0);
  const chunk = Buffer.alloc(64 * 1024);

  async function* lines(handle: FileHandle): AsyncGenerator<LogLine> {
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) return;
      rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
      for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
        const line = parseLogLine(rest.subarray(0, end).toString('utf8'));
        rest = rest.subarray(end + 1);
        if (line !== undefined) yield line;
      }
    }
  }
  const opened = (name: string) => open(name, 'r').catch(() => undefined);

  return {
    async *available(writer: LogWriter | undefined): AsyncGenerator<LogLine> {
      if (first) {
        first = false;
        rotation = writer?.rotations() ?? 0;
        const older = await opened(`${path}.1`);
        try {
          if (older !== undefined) yield* lines(older);
        } finally {
          await older?.close();
        }
        file = await opened(path);
      }
      if (file !== undefined) yield* lines(file);
      const now = writer?.rotations() ?? rotation;
      if (now !== rotation) {
        // What the old handle still had was read above; more than one rotation between two looks loses the lines between.
        rotation = now;
        await file?.close();
        file = await opened(path);
        if (file !== undefined) yield* lines(file);
      }
    },
    close: async () => void (await file?.close()),
  };
}
