/** All conversations of the server: made, found, listed, forked, deleted; owned by lease, recovered after a crash. */
import { randomUUID } from 'node:crypto';
import { cp, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Message } from '../../contracts/agent/events.js';
import type { Logger } from '../../process/log.js';
import type { ServerConfig } from '../config.js';
import { HttpError } from '../http/errors.js';
import { parseUuid } from '../http/uuid.js';
import type { AgentRuntime, Clock } from '../seam.js';
import type { Webhooks } from '../webhooks/webhooks.js';
import { agentFromSettings, toolModules } from './agent.js';
import { openConversation, type Conversation } from './conversation.js';
import { AVAILABLE, conversationInfo, folderName } from './info.js';
import { createLeaseKeeper } from './lease.js';
import { ensureFolder, LOG, readRecord, writeRecord, type ConversationRecord } from './record.js';
import type { ForkRequest, StartRequest } from './requests.js';
import { createRunner, createRunSlots, runLimitReached, type Runner } from './runner.js';
import type { PathMap } from './workspace.js';
import { recoverRun } from './recover.js';
import { prepareWorkspace } from '../services/repository.js';
import { createMutex } from './mutex.js';

/** A conversation that this server owns. */
export interface Live {
  conversation: Conversation;
  runner: Runner;
}

export interface Conversations {
  /** Reads what is in the folder, takes the leases, repairs what a crash left. */
  start(): Promise<void>;
  /** `created` is false when the id was there already. */
  create(request: StartRequest): Promise<{ record: ConversationRecord; created: boolean }>;
  /** The record, also of conversations that another server owns. */
  record(id: string): ConversationRecord | undefined;
  records(): ConversationRecord[];
  /** Undefined when it is unknown or another server's. */
  live(id: string): Promise<Live | undefined>;
  fork(source: Live, request: ForkRequest): Promise<ConversationRecord>;
  remove(id: string): Promise<boolean>;
  message(live: Live, message: Message, how: { run: boolean; sender?: string }): Promise<void>;
  /** ConversationInfo; `runtime` false in answers to POST, fork, navigate and in webhooks. */
  info(record: ConversationRecord, options?: { runtime?: boolean; includeSkills?: boolean }): Record<string, unknown>;
  announce(record: ConversationRecord): void;
  runtime(): Promise<AgentRuntime>;
  readonly runningCount: number;
  close(): Promise<void>;
}

export interface ConversationsOptions {
  config: () => ServerConfig;
  paths: PathMap;
  webhooks: Webhooks;
  runtime: () => Promise<AgentRuntime>;
  touch: () => void;
  log: Logger;
  clock: Clock;
}

interface Entry {
  record: ConversationRecord;
  folder: string;
  owned: boolean;
  open: Promise<Live> | undefined;
}

const ALREADY_THERE = (id: string) => new HttpError(409, `Conversation with id ${id} already exists`);

export function createConversations(options: ConversationsOptions): Conversations {
  const { clock, log, paths, webhooks } = options;
  const entries = new Map<string, Entry>();
  const slots = createRunSlots(() => options.config().maxConcurrentRuns);
  const leases = createLeaseKeeper({ ttlMs: () => options.config().leaseTtlSeconds * 1000, now: () => clock.now() });
  const creating = createMutex();
  const secretKeys = () => [options.config().secretKey].filter((key): key is string => key !== null);
  const root = () => options.config().conversationsPath;
  let renewal: NodeJS.Timeout | undefined;
  // A server whose conversations never ran has no agent to load, nor terminals to close.
  let runtimeUsed = false;
  const runtime = () => {
    runtimeUsed = true;
    return options.runtime();
  };
  let closing = false;

  const info: Conversations['info'] = (record, how = {}) =>
    conversationInfo(record, {
      persistenceDir: join(root(), folderName(record.id)),
      runtime: how.runtime === false ? null : AVAILABLE,
      ...(how.includeSkills === undefined ? {} : { includeSkills: how.includeSkills }),
    });
  const announce = (record: ConversationRecord) => webhooks.announce(info(record, { runtime: false }));

  const openEntry = async (entry: Entry): Promise<Live> => {
    const workspaceDir = paths.toLocal(entry.record.workspace.working_dir);
    await prepareWorkspace(workspaceDir, { git: paths.toClient(workspaceDir).startsWith('/workspace/'), log });
    const conversation = await openConversation({
      record: entry.record,
      dataDir: entry.folder,
      workspaceDir,
      secretKey: () => options.config().secretKey,
      environment: () => options.config().commandEnv,
      touch: options.touch,
      log: log.child({ conversation: entry.record.id }),
      clock,
    });
    const runner = createRunner({
      conversation,
      runtime,
      slots,
      notify: () => announce(conversation.record),
    });
    await webhooks.follow(conversation);
    return { conversation, runner };
  };
  const live = async (id: string): Promise<Live | undefined> => {
    const entry = entries.get(id);
    if (entry === undefined || !entry.owned || closing) return undefined;
    entry.open ??= openEntry(entry);
    try {
      return await entry.open;
    } catch (error) {
      entry.open = undefined;
      throw error;
    }
  };
  const adopt = async (record: ConversationRecord): Promise<Entry> => {
    const folder = join(root(), folderName(record.id));
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const entry: Entry = { record, folder, owned: await leases.acquire(folder), open: undefined };
    await writeRecord(folder, record, options.config().secretKey);
    entries.set(record.id, entry);
    return entry;
  };
  /** Takes back a conversation that could not be opened: a refused request leaves nothing behind. */
  const discard = async (id: string) => {
    const entry = entries.get(id);
    entries.delete(id);
    if (entry !== undefined) await rm(entry.folder, { recursive: true, force: true });
  };
  const requireLive = async (id: string): Promise<Live> => {
    const found = await live(id);
    if (found === undefined) throw new HttpError(404);
    return found;
  };

  /** Takes a conversation over that is free, and repairs it when its last owner died in a run. */
  const take = async (entry: Entry) => {
    entry.owned = await leases.acquire(entry.folder);
    if (!entry.owned) return;
    const size = await stat(join(entry.folder, LOG)).then(
      (found) => found.size,
      () => 0,
    );
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
      if (read.lostSecrets) log.warn({ conversation: id }, 'secrets cannot be read: another OH_SECRET_KEY wrote them');
      const entry: Entry = { record: read.record, folder, owned: false, open: undefined };
      entries.set(id, entry);
      await take(entry);
    } catch (error) {
      log.error({ err: error, conversation: id }, 'cannot read a conversation');
    }
  };
  const renew = async () => {
    for (const entry of entries.values()) {
      if (!entry.owned) {
        const fresh = await readRecord(entry.folder, secretKeys());
        if (fresh !== undefined) entry.record = fresh.record;
        await take(entry);
      } else if (!(await leases.renew(entry.folder))) {
        log.error({ conversation: entry.record.id }, 'another server took this conversation over');
        entry.owned = false;
        await drop(entry, { save: false });
      }
    }
  };
  const drop = async (entry: Entry, how = { save: true }) => {
    const opened = await entry.open?.catch(() => undefined);
    entry.open = undefined;
    if (opened === undefined) return;
    await opened.runner.stop('silent');
    await webhooks.unfollow(entry.record.id);
    if (runtimeUsed) await (await options.runtime()).close(opened.conversation);
    await opened.conversation.shut(how);
  };
  const message: Conversations['message'] = async (target, text, how) => {
    await target.runner.message(text, how);
    autotitle(target);
  };
  const titled = new Set<string>();
  const autotitle = (target: Live) => {
    const { record } = target.conversation;
    if (!record.autotitle || record.title !== null || titled.has(record.id)) return;
    titled.add(record.id);
    void (async () => {
      const title = await (
        await runtime()
      ).generateTitle(target.conversation, { maxLength: 50, signal: AbortSignal.timeout(60_000) });
      if (record.title !== null || title === '') return;
      await target.conversation.setTitle(title);
      announce(record);
    })().catch((error: unknown) => log.warn({ err: error, conversation: record.id }, 'no title could be made'));
  };

  return {
    async start() {
      await ensureFolder(root());
      for (const name of await readdir(root())) await load(name);
      const every = Math.max(1000, (options.config().leaseTtlSeconds * 1000) / 3);
      renewal = setInterval(() => {
        if (!closing) renew().catch((error: unknown) => log.error({ err: error }, 'could not renew leases'));
      }, every).unref();
    },
    create: (request) =>
      creating(async () => {
        const known = request.conversation_id == null ? undefined : entries.get(request.conversation_id);
        if (known !== undefined) return { record: known.record, created: false };
        if (request.initial_message != null && !slots.free()) throw runLimitReached();
        const record = newRecord(request, clock.now() * 1000);
        await adopt(record);
        if (record.parentId !== null) {
          const parent = await live(record.parentId);
          await parent?.conversation.update((r) => r.childIds.push(record.id));
        }
        const opened = await requireLive(record.id).catch(async (error: unknown) => {
          await discard(record.id);
          throw new HttpError(400, `The workspace cannot be used: ${(error as Error).message}`, { cause: error });
        });
        announce(record);
        if (request.initial_message != null) await message(opened, userMessage(request.initial_message), { run: true });
        return { record, created: true };
      }),
    record: (id) => entries.get(id)?.record,
    records: () => [...entries.values()].map((entry) => entry.record),
    live,
    async fork(source, request) {
      const { conversation } = source;
      const id = request.id ?? randomUUID();
      if (entries.has(id)) throw ALREADY_THERE(id);
      const eventId = request.from_event_id ?? null;
      if (eventId !== null && conversation.events.index.find(eventId) === undefined)
        throw new HttpError(404, `Unknown from_event_id: ${eventId}`);
      await conversation.flush();
      const now = clock.now() * 1000;
      const record: ConversationRecord = {
        ...structuredClone(conversation.record),
        id,
        createdAt: now,
        updatedAt: now,
        title: request.title ?? null,
        tags: request.tags ?? {},
        status: 'idle',
        lastUserMessageId: null,
        leafId: eventId ?? conversation.record.leafId,
        forkedFrom: { conversationId: conversation.id, eventId },
        childIds: [],
        ...(request.reset_metrics ? { stats: { usage_to_metrics: {} } } : {}),
      };
      const folder = join(root(), folderName(id));
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await cp(join(conversation.dataDir, LOG), join(folder, LOG));
      await adopt(record);
      await requireLive(id);
      announce(record);
      return record;
    },
    async remove(id) {
      const entry = entries.get(id);
      if (entry === undefined || !entry.owned) return false;
      const opened = await live(id);
      if (opened !== undefined) opened.conversation.record.status = 'deleting';
      announce(entry.record);
      await webhooks.flush(2000);
      await drop(entry);
      entries.delete(id);
      await rm(entry.folder, { recursive: true, force: true });
      return true;
    },
    message,
    info,
    announce,
    runtime,
    get runningCount() {
      return [...entries.values()].filter((entry) => entry.record.status === 'running').length;
    },
    async close() {
      closing = true;
      clearInterval(renewal);
      const owned = [...entries.values()].filter((entry) => entry.owned);
      for (const entry of owned) {
        const opened = await entry.open?.catch(() => undefined);
        await opened?.runner.stop('paused');
      }
      await webhooks.flush(5000);
      for (const entry of owned)
        await drop(entry)
          .then(() => leases.release(entry.folder))
          .catch((error: unknown) => log.error({ err: error, conversation: entry.record.id }, 'could not close'));
    },
  };
}

/** A client's message without what only says what to do with it. */
export function userMessage(given: NonNullable<StartRequest['initial_message']>): Message {
  return { role: 'user', content: given.content, thinking_blocks: [] };
}

function newRecord(request: StartRequest, now: number): ConversationRecord {
  const agent = request.agent ?? (request.agent_settings == null ? null : agentFromSettings(request.agent_settings));
  if (agent === null) throw new HttpError(422, 'One of agent, agent_settings or agent_profile_id must be given');
  return {
    id: request.conversation_id ?? randomUUID(),
    createdAt: now,
    updatedAt: now,
    agent,
    secrets: request.secrets ?? {},
    workspace: { working_dir: request.workspace.working_dir, kind: request.workspace.kind },
    maxIterations: request.max_iterations,
    stuckDetection: request.stuck_detection,
    confirmationPolicy: request.confirmation_policy ?? { kind: 'NeverConfirm' },
    securityAnalyzer: request.security_analyzer ?? null,
    hookConfig: request.hook_config ?? null,
    title: null,
    autotitle: request.autotitle,
    tags: request.tags ?? {},
    userId: request.user_id ?? null,
    clientTools: request.client_tools ?? [],
    toolModules: toolModules(agent, request.tool_module_qualnames ?? {}),
    agentState: {},
    activatedSkills: [],
    blockedActions: {},
    blockedMessages: {},
    forkedFrom: null,
    parentId: request.parent_conversation_id ?? null,
    childIds: [],
    status: 'idle',
    lastUserMessageId: null,
    leafId: null,
    stats: { usage_to_metrics: {} },
    logLength: 0,
    plugins: request.plugins ?? [],
  };
}
