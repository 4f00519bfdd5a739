/** What a terminal printed, as plain text: bounded, without control sequences. */
import { createWriteStream, mkdirSync, readdirSync, rmSync, statSync, type WriteStream } from 'node:fs';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const OSC = /\u001b[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?/g;
const CSI = /\u001b\[[0-?]*[ -/]*[@-~]?/g;
const ESCAPE = /\u001b[ -/]*[0-~]?/g;
const BACKSPACED = /[^\n\b]\u0008/g;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f\u0080-\u009f]/g;

/** Of a line that was rewritten by carriage returns (a progress bar), what was seen last. */
function lastWritten(line: string): string {
  if (!line.includes('\r')) return line;
  return line.split('\r').findLast((part) => part !== '') ?? '';
}

/** Plain text of raw terminal output. Pure. */
export function plainText(raw: string): string {
  let out = raw;
  if (out.includes('\u001b')) out = out.replace(OSC, '').replace(CSI, '').replace(ESCAPE, '');
  if (out.includes('\r')) out = out.replace(/\r+\n/g, '\n').split('\n').map(lastWritten).join('\n');
  while (out.includes('\b') && BACKSPACED.test(out)) out = out.replace(BACKSPACED, '');
  return out.replace(CONTROL, '');
}

export interface Capture {
  /** Adds raw output. False: the caller should pause the source until `onDrain`. */
  add(chunk: string): boolean;
  onDrain(listener: () => void): void;
  /** Plain text so far, at most `limit` characters: beginning and end, with a note between. */
  text(): string;
  /** Resolves when the file, if any, is written. */
  close(): Promise<void>;
}

/** Longest wait for the file's last bytes. */
const FLUSH_MS = 5000;
const KEEP = 64 * 1024;
const SPILL_MAX = 16 * 1024 * 1024;
/** Files of full outputs that are kept; the oldest go first. */
const SPILL_FILES = 20;

/** Makes the folder, and takes the oldest outputs out of it. */
function makeRoom(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const files = readdirSync(folder).filter((name) => /^terminal-.*\.txt$/.test(name));
  const dated = files
    .map((name) => ({ name, time: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.time - a.time);
  for (const { name } of dated.slice(SPILL_FILES - 1)) rmSync(join(folder, name), { force: true });
}

/**
 * Collects the output of one command. Memory is bounded whatever the length; what exceeds the limit also goes
 * to `spillPath`, up to 16 MiB.
 */
export function createCapture(options: { limit: number; spillPath: string }): Capture {
  let head = '';
  let tail = '';
  let total = 0;
  let spilled = 0;
  let spill: WriteStream | undefined;
  let spillBroken = false;
  let drained: () => void = () => undefined;

  const writeSpill = (chunk: string): boolean => {
    if (spillBroken || spilled >= SPILL_MAX) return true;
    if (spill === undefined) {
      try {
        makeRoom(dirname(options.spillPath));
      } catch {
        spillBroken = true;
        return true;
      }
      spill = createWriteStream(options.spillPath, { mode: 0o600 });
      spill.on('error', () => {
        spillBroken = true;
        drained();
      });
      spill.on('drain', () => drained());
      spill.write(head + tail);
      spilled = head.length + tail.length;
    }
    spilled += chunk.length;
    return spill.write(chunk);
  };

  return {
    add(chunk) {
      total += chunk.length;
      const flowing = total > options.limit ? writeSpill(chunk) : true;
      const room = Math.max(0, KEEP - head.length);
      head += chunk.slice(0, room);
      const rest = chunk.slice(room);
      if (rest !== '') {
        tail += rest;
        if (tail.length > 2 * KEEP) tail = tail.slice(-KEEP);
      }
      return flowing;
    },
    onDrain: (listener) => void (drained = listener),
    text() {
      const whole = total <= head.length + tail.length;
      if (whole) {
        const plain = plainText(head + tail).trimEnd();
        if (plain.length <= options.limit) return plain;
      }
      const half = Math.floor(options.limit / 2);
      const begin = plainText(whole ? head + tail : head).slice(0, half);
      const end = plainText(whole ? head + tail : tail)
        .trimEnd()
        .slice(-half);
      const where =
        spillBroken || spill === undefined
          ? ''
          : ` The full output is in ${options.spillPath}${total > SPILL_MAX ? ' (its first 16 MiB)' : ''}.`;
      return `${begin}\n[… output shortened: ${total} characters in all.${where}]\n${end}`;
    },
    close: async () => {
      const stream = spill;
      if (stream === undefined || spillBroken || stream.closed) return;
      stream.end();
      await Promise.race([once(stream, 'close').catch(() => undefined), sleep(FLUSH_MS, undefined, { ref: false })]);
    },
  };
}
