/** Commands that clients run beside the agent (`/api/bash/*`, `/sockets/bash-events`), with their history on disk. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { BashCommand, BashEvent, BashOutput } from '../../contracts/agent/bash.js';
import type { Logger } from '../../process/log.js';
import { serverKeys, type ServerConfig } from '../config.js';
import type { PathMap } from '../conversations/workspace.js';
import { createStreamMask, maskValues, urlCredentials } from '../masking.js';
import { createStamper, utcTime } from '../conversations/times.js';
import { hexOf, parseUuid } from '../http/uuid.js';
import { openLog, type EventLog } from '../log/log.js';
import type { Clock } from '../seam.js';
import { runShell, type ShellProcess } from './process.js';

export const bashRequest = z.looseObject({
  command: z.string(),
  cwd: z.string().nullish(),
  timeout: z.number().positive().max(86_400).default(300),
});
export type BashRequest = z.infer<typeof bashRequest>;

export interface BashFilter {
  kind?: 'BashCommand' | 'BashOutput' | undefined;
  /** Outputs of this command only. */
  commandId?: string | undefined;
  from?: number | undefined;
  until?: number | undefined;
  orderAbove?: number | undefined;
}

export interface BashService {
  /** Starts a command; `done` has its last output. */
  start(request: BashRequest): Promise<{ command: BashCommand; done: Promise<BashOutput> }>;
  /** False when it is unknown. */
  stop(commandId: string): Promise<boolean>;
  get(id: string): Promise<BashEvent | undefined>;
  search(
    filter: BashFilter,
    page: { descending: boolean; pageId?: string | undefined; limit: number },
  ): Promise<{ items: BashEvent[]; nextPageId: string | null }>;
  clear(): Promise<number>;
  log(): Promise<EventLog>;
  subscribe(listener: (json: string) => void): () => void;
  error(code: string, detail: string): Record<string, unknown>;
  close(): Promise<void>;
}

export interface BashOptions {
  config: () => ServerConfig;
  paths: PathMap;
  touch: () => void;
  clock: Clock;
  log: Logger;
}

const CHUNK = 1 << 20;
const MAX_RUNNING = 256;
/** A history larger than this is begun anew when nothing runs. */
const MAX_HISTORY = 256 << 20;
/** Bytes of events after which a page ends, whatever its limit says. */
const MAX_PAGE = 16 << 20;

interface Outline {
  commandId: string | null;
  order: number;
}

export function createBash(options: BashOptions): BashService {
  const { clock, paths } = options;
  const stamp = createStamper(() => clock.now());
  const running = new Map<string, ShellProcess>();
  const listeners = new Set<(json: string) => void>();
  let outlines: Outline[] = [];
  let opened: Promise<EventLog> | undefined;
  const file = () => join(options.config().bashEventsDir, 'events.log');

  const open = async (): Promise<EventLog> => {
    await mkdir(options.config().bashEventsDir, { recursive: true });
    outlines = [];
    const log = await openLog({ path: file(), onLine: (line) => void outlines.push(outlineOf(line.json)) });
    log.subscribe((_seq, json) => {
      outlines.push(outlineOf(json));
      options.touch();
      for (const listener of listeners) listener(json);
    });
    return log;
  };
  const history = () =>
    (opened ??= open().catch((error: unknown) => {
      opened = undefined;
      throw error;
    }));
  const clear = async () => {
    const log = await history();
    const count = log.index.size;
    opened = undefined;
    await log.close();
    await rm(file(), { force: true });
    return count;
  };
  const head = () => ({ id: hexOf(randomUUID()), timestamp: utcTime(stamp()) });
  const execute = async (
    command: BashCommand,
    { log, hidden }: { log: EventLog; hidden: readonly string[] },
  ): Promise<BashOutput> => {
    let order = 0;
    // A key that is split over two pieces is hidden too: the end of a piece waits while it may be the beginning of one.
    const masks = { stdout: createStreamMask(() => hidden), stderr: createStreamMask(() => hidden) };
    const shown = (stream: 'stdout' | 'stderr', text: string, last: boolean) => {
      const safe = masks[stream].push(text) + (last ? masks[stream].end() : '');
      return safe === '' ? null : safe;
    };
    const write = async (part: Pick<BashOutput, 'exit_code'> & { stdout: string; stderr: string }, last = false) => {
      const output: BashOutput = {
        ...head(),
        command_id: command.id,
        order: order++,
        exit_code: part.exit_code,
        stdout: shown('stdout', part.stdout, last),
        stderr: shown('stderr', part.stderr, last),
        kind: 'BashOutput',
      };
      await log.append(output);
      return output;
    };
    const config = options.config();
    const shell = runShell({
      command: command.command,
      cwd: command.cwd === null ? config.workspaceRoot : paths.toLocal(command.cwd),
      env: config.commandEnv,
      timeoutMs: command.timeout * 1000,
      chunkBytes: CHUNK,
      onChunk: async (chunk) => void (await write({ exit_code: null, ...chunk })),
    });
    running.set(command.id, shell);
    const { exitCode, stdout, stderr } = await shell.result;
    running.delete(command.id);
    return write({ exit_code: exitCode, stdout, stderr }, true);
  };

  return {
    async start(request) {
      if (running.size >= MAX_RUNNING) throw new Error(`${MAX_RUNNING} commands are running already`);
      if ((await history()).length > MAX_HISTORY && running.size === 0) await clear();
      const log = await history();
      await mkdir(options.config().workspaceRoot, { recursive: true });
      // What is kept and told shows no key: that of a clone stands in its URL.
      const hidden = [...serverKeys(options.config()), ...urlCredentials(request.command)];
      const command: BashCommand = {
        command: request.command,
        cwd: request.cwd ?? null,
        timeout: request.timeout,
        ...head(),
        kind: 'BashCommand',
      };
      const shown = { ...command, command: maskValues(command.command, hidden) };
      await log.append(shown);
      const done = execute(command, { log, hidden });
      done.catch((error: unknown) => options.log.error({ err: error }, 'a command was lost'));
      return { command: shown, done };
    },
    async stop(commandId) {
      const id = idOf(commandId);
      running.get(id)?.stop();
      return running.has(id) || (await history()).index.find(id) !== undefined;
    },
    async get(id) {
      const log = await history();
      const seq = log.index.find(idOf(id));
      if (seq === undefined) return undefined;
      return JSON.parse((await log.read([seq]))[0] ?? '') as BashEvent;
    },
    async search(filter, page) {
      const log = await history();
      const seqs = Array.from({ length: log.index.size }, (_, seq) => seq).filter((seq) =>
        matches(filter, log, seq, outlines[seq]),
      );
      if (page.descending) seqs.reverse();
      const first = page.pageId === undefined ? undefined : log.index.find(page.pageId.split('_').at(-1) ?? '');
      const start = first === undefined ? 0 : Math.max(0, seqs.indexOf(first));
      const shown = onePage(log, seqs.slice(start, start + page.limit));
      const items = (await log.read(shown)).map((text) => JSON.parse(text) as BashEvent);
      const next = seqs[start + shown.length];
      return { items, nextPageId: next === undefined ? null : pageIdOf(log, next) };
    },
    clear,
    log: history,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    error: (code, detail) => ({ ...head(), code, detail, kind: 'BashError' }),
    async close() {
      for (const shell of running.values()) shell.stop();
      await (await opened)?.close();
    },
  };
}

/** As many of them as fit; one at least. */
function onePage(log: EventLog, seqs: readonly number[]): number[] {
  let bytes = 0;
  const over = seqs.findIndex((seq) => (bytes += log.index.get(seq).length) > MAX_PAGE);
  return seqs.slice(0, over === -1 ? seqs.length : Math.max(1, over));
}

/** Ids may be given with dashes. */
const idOf = (text: string): string => hexOf(parseUuid(text) ?? text);

/** How the outputs that this server wrote begin: a megabyte is not parsed for two small fields. */
const OUTPUT_HEAD = /^\{"id":"[^"]*","timestamp":"[^"]*","command_id":"[^"\\]*","order":\d+(?=,)/;

function outlineOf(json: string): Outline {
  const [head] = OUTPUT_HEAD.exec(json.slice(0, 512)) ?? [];
  // Parsed, because a piece that is cut out of a text keeps all of it in memory.
  const event = JSON.parse(head === undefined ? json : `${head}}`) as Partial<BashOutput>;
  return { commandId: event.command_id ?? null, order: event.order ?? 0 };
}

function matches(filter: BashFilter, log: EventLog, seq: number, outline: Outline | undefined): boolean {
  const entry = log.index.get(seq);
  if (filter.kind !== undefined && entry.kind !== filter.kind) return false;
  if (filter.commandId !== undefined && outline?.commandId !== idOf(filter.commandId)) return false;
  if (filter.orderAbove !== undefined && (outline?.order ?? 0) <= filter.orderAbove) return false;
  if (filter.from !== undefined && entry.time < filter.from) return false;
  return filter.until === undefined || entry.time < filter.until;
}

/** `<20 digits>_<kind>_<id>` */
function pageIdOf(log: EventLog, seq: number): string {
  const { id, kind, time } = log.index.get(seq);
  return `${utcTime(time).replace(/\D/g, '')}_${kind}_${id}`;
}
