/** The conversations of a data folder: which of them this server owns, and those that it has opened. */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../process/log.js';
import { serverKeys, type ServerConfig } from '../config.js';
import { HttpError } from '../http/errors.js';
import { parseUuid } from '../http/uuid.js';
import type { AgentRuntime, Children, Clock, Profiles } from '../seam.js';
import { prepareWorkspace } from '../services/repository.js';
import type { Webhooks } from '../webhooks/webhooks.js';
import { openConversation, type Conversation } from './conversation.js';
import { createGoal, type Goal } from './goal.js';
import { folderName } from './info.js';
import { createLeaseKeeper } from './lease.js';
import { ensureFolder, LOG, readRecord, writeRecord, type ConversationRecord } from './record.js';
import { recoverRun } from './recover.js';
import { createRunner, UNLIMITED, type Runner, type RunSlots } from './runner.js';
import type { PathMap } from './workspace.js';

/** A conversation that this server owns. */
export interface Live {
  conversation: Conversation;
  runner: Runner;
  goal: Goal;
}

export interface Holdings {
  /** Reads what is in the folder, takes what is free, repairs what a crash left; then keeps the leases. */
  start(): Promise<void>;
  record(id: string): ConversationRecord | undefined;
  records(): ConversationRecord[];
  /** Undefined when it is unknown or another server's. */
  live(id: string): Promise<Live | undefined>;
  /** Takes a new conversation in and opens it; leaves nothing behind when that fails. `prepare` fills its folder before. */
  add(record: ConversationRecord, prepare?: (folder: string) => Promise<void>): Promise<Live>;
  /** Ends a conversation and removes its folder. */
  remove(id: string): Promise<void>;
  /** Ends all runs (they are paused), lets `last` work, then closes and gives the leases back. */
  close(last: () => Promise<void>): Promise<void>;
}

export interface HoldingsOptions {
  config: () => ServerConfig;
  paths: PathMap;
  webhooks: Webhooks;
  runtime: () => Promise<AgentRuntime>;
  slots: RunSlots;
  /** Tells the conversation webhook. */
  announce: (record: ConversationRecord) => void;
  touch: () => void;
  /** The sub-agents of a conversation. */
  children: (id: string) => Children;
  profiles: Profiles;
  log: Logger;
  clock: Clock;
}

interface Entry {
  record: ConversationRecord;
  folder: string;
  owned: boolean;
  open: Promise<Live> | undefined;
}

/** How often conversations of other servers are looked at. */
const LOOK_MS = 1000;

export function createHoldings(options: HoldingsOptions): Holdings {
  const { clock, log } = options;
  const entries = new Map<string, Entry>();
  const leases = createLeaseKeeper({ ttlMs: () => options.config().leaseTtlSeconds * 1000, now: () => clock.now() });
  const root = () => options.config().conversationsPath;
  const secretKeys = () => [options.config().secretKey].filter((key): key is string => key !== null);
  let renewal: NodeJS.Timeout | undefined;
  // A server whose conversations never ran has no agent to load, nor terminals to close.
  let runtimeUsed = false;
  const runtime = () => {
    runtimeUsed = true;
    return options.runtime();
  };
  let closing = false;

  const live = async (id: string): Promise<Live | undefined> => {
    const entry = entries.get(id);
    if (entry === undefined || !entry.owned || closing) return undefined;
    entry.open ??= open({ ...options, runtime }, entry);
    try {
      return await entry.open;
    } catch (error) {
      entry.open = undefined;
      throw error;
    }
  };
  const drop = async (entry: Entry, how = { save: true }) => {
    const opened = await entry.open?.catch(() => undefined);
    entry.open = undefined;
    if (opened === undefined) return;
    await opened.runner.stop('silent');
    await options.webhooks.unfollow(entry.record.id);
    if (runtimeUsed) await (await options.runtime()).close(opened.conversation, { lost: !how.save });
    await opened.conversation.shut(how);
  };
  /** Takes a conversation over that is free, and repairs it when its last owner died in a run. */
  const take = async (entry: Entry) => {
    entry.owned = await leases.acquire(entry.folder);
    if (!entry.owned) return;
    const size = await stat(join(entry.folder, LOG)).then((found) => found.size, () => 0); // prettier-ignore
    if (size === entry.record.logLength && entry.record.status !== 'running') return;
    const opened = await live(entry.record.id);
    if (opened?.conversation.status() === 'running') await recoverRun(opened.conversation, await runtime());
  };
  const load = async (name: string) => {
    const id = parseUuid(name);
    if (id === undefined || entries.has(id)) return;
    const folder = join(root(), name);
    try {
      const read = await readRecord(folder, secretKeys());
      if (read === undefined) return;
      if (read.lostSecrets)
        log.warn({ conversation_id: id }, 'secrets cannot be read: another OH_SECRET_KEY wrote them');
      const entry: Entry = { record: read.record, folder, owned: false, open: undefined };
      entries.set(id, entry);
      await take(entry);
    } catch (error) {
      log.error({ err: error, conversation_id: id }, 'cannot read a conversation');
    }
  };
  const keep = async (entry: Entry) => {
    if (!entry.owned) {
      // Its owner changes it: what is shown of it is read anew.
      const fresh = await readRecord(entry.folder, secretKeys());
      if (fresh !== undefined) entry.record = fresh.record;
      await take(entry);
    } else if (!(await leases.renew(entry.folder))) {
      log.error({ conversation_id: entry.record.id }, 'another server took this conversation over');
      entry.owned = false;
      await drop(entry, { save: false });
    }
  };
  let renewing = false;
  const renew = async (due: boolean) => {
    renewing = true;
    for (const entry of entries.values()) {
      if (entry.owned && !due) continue;
      await keep(entry).catch((error: unknown) =>
        log.error({ err: error, conversation_id: entry.record.id }, 'could not keep the lease'),
      );
    }
    renewing = false;
  };

  return {
    async start() {
      await ensureFolder(root());
      await inParallel(await readdir(root()), load);
      const every = Math.max(1000, (options.config().leaseTtlSeconds * 1000) / 3);
      let renewed = clock.monotonic();
      // A lease that runs out is noticed within a second: its owner's pod is gone, and somebody waits for this one.
      renewal = setInterval(() => {
        const due = clock.monotonic() - renewed >= every;
        if (due) renewed = clock.monotonic();
        if (!closing && !renewing) void renew(due);
      }, LOOK_MS).unref();
    },
    record: (id) => entries.get(id)?.record,
    records: () => [...entries.values()].map((entry) => entry.record),
    live,
    async add(record, prepare) {
      const folder = join(root(), folderName(record.id));
      await mkdir(folder, { recursive: true, mode: 0o700 });
      try {
        await prepare?.(folder);
        const owned = await leases.acquire(folder);
        await writeRecord(folder, record, options.config().secretKey);
        entries.set(record.id, { record, folder, owned, open: undefined });
        const opened = await live(record.id);
        if (opened === undefined) throw new HttpError(404);
        return opened;
      } catch (error) {
        entries.delete(record.id);
        await rm(folder, { recursive: true, force: true });
        throw error;
      }
    },
    async remove(id) {
      const entry = entries.get(id);
      if (entry === undefined) return;
      await drop(entry);
      entries.delete(id);
      await rm(entry.folder, { recursive: true, force: true });
    },
    async close(last) {
      closing = true;
      clearInterval(renewal);
      const owned = [...entries.values()].filter((entry) => entry.owned);
      for (const entry of owned) await (await entry.open?.catch(() => undefined))?.runner.stop('paused');
      await last();
      await inParallel(owned, (entry) =>
        drop(entry)
          .then(() => leases.release(entry.folder))
          .catch((error: unknown) => log.error({ err: error, conversation_id: entry.record.id }, 'could not close')),
      );
    },
  };
}

/** Files wait for the disk: some at a time get through thousands of folders soon, and take few descriptors. */
const PARALLEL = 16;

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

async function open(options: HoldingsOptions, entry: Entry): Promise<Live> {
  const { paths, log } = options;
  const workspaceDir = paths.toLocal(entry.record.workspace.working_dir);
  try {
    await prepareWorkspace(workspaceDir, { git: paths.toClient(workspaceDir).startsWith('/workspace/'), log });
  } catch (error) {
    throw new HttpError(400, `The workspace cannot be used: ${(error as Error).message}`, { cause: error });
  }
  const conversation = await openConversation({
    record: entry.record,
    dataDir: entry.folder,
    workspaceDir,
    secretKey: () => options.config().secretKey,
    environment: () => options.config().commandEnv,
    hidden: () => serverKeys(options.config()),
    touch: options.touch,
    log: log.child({ conversation_id: entry.record.id }),
    clock: options.clock,
    children: options.children(entry.record.id),
    profiles: options.profiles,
  });
  const slots = entry.record.task === undefined ? options.slots : UNLIMITED;
  const runner = createRunner({
    conversation,
    runtime: options.runtime,
    slots,
    notify: () => options.announce(conversation.record),
  });
  if (entry.record.task === undefined) await options.webhooks.follow(conversation);
  return { conversation, runner, goal: createGoal({ conversation, runner, runtime: options.runtime, slots }) };
}
