/** What clients do with conversations as a whole: make, find, fork, delete them, and talk to them. */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Message } from '../../contracts/agent/events.js';
import type { Logger } from '../../process/log.js';
import type { ServerConfig } from '../config.js';
import { HttpError } from '../http/errors.js';
import type { AgentRuntime, Clock } from '../seam.js';
import type { Extensions } from '../services/installed/index.js';
import { localPlugins } from '../services/plugins/local.js';
import { launchFor } from '../services/agent-profiles/launch.js';
import type { Settings } from '../services/settings.js';
import type { ProfileStore } from '../services/profiles.js';
import type { Webhooks } from '../webhooks/webhooks.js';
import { createChildren } from './children.js';
import { createHoldings, type Live } from './holdings.js';
import { AVAILABLE, conversationInfo, folderName } from './info.js';
import { createMutex } from './mutex.js';
import { forkedRecord, newRecord, userMessage } from './new-record.js';
import { LOG, type ConversationRecord } from './record.js';
import { bringPlugins, withPlugins, type Brought } from './plugins.js';
import type { ForkRequest, StartRequest } from './requests.js';
import { createRunSlots, runLimitReached } from './runner.js';
import type { PathMap } from './workspace.js';

export type { Live } from './holdings.js';

export interface Conversations {
  /** Reads what is in the folder, takes the leases, repairs what a crash left. */
  start(): Promise<void>;
  /** `created` is false when the id was there already. */
  create(request: StartRequest): Promise<{ record: ConversationRecord; created: boolean }>;
  /** The record, also of conversations that another server owns. */
  record(id: string): ConversationRecord | undefined;
  /** Those that clients made; sub-agents' are found by their parent. */
  records(): ConversationRecord[];
  /** Undefined when it is unknown or another server's. */
  live(id: string): Promise<Live | undefined>;
  fork(source: Live, request: ForkRequest): Promise<ConversationRecord>;
  /** False when it is unknown or another server's. */
  remove(id: string): Promise<boolean>;
  message(live: Live, message: Message, how: { run: boolean; sender?: string }): Promise<void>;
  /** ConversationInfo; `runtime` false in answers to POST, fork, navigate and in webhooks. */
  info(record: ConversationRecord, options?: { runtime?: boolean; includeSkills?: boolean }): Record<string, unknown>;
  /** Tells the conversation webhook. */
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
  profiles: ProfileStore;
  settings: Settings;
  extensions: Extensions;
  touch: () => void;
  log: Logger;
  clock: Clock;
}

/** Time that a deletion, or the end of the server, gives webhooks to take what waits. */
const LAST_WORD_MS = { deletion: 2000, end: 5000 };
const TITLE_MS = 60_000;
const TITLE_LENGTH = 50;

export function createConversations(options: ConversationsOptions): Conversations {
  const { clock, log, webhooks } = options;
  const slots = createRunSlots(() => options.config().maxConcurrentRuns);
  const creating = createMutex();
  const titled = new Set<string>();

  const info: Conversations['info'] = (record, how = {}) =>
    conversationInfo(record, {
      persistenceDir: join(options.config().conversationsPath, folderName(record.id)),
      runtime: how.runtime === false ? null : AVAILABLE,
      ...(how.includeSkills === undefined ? {} : { includeSkills: how.includeSkills }),
    });
  const announce = (record: ConversationRecord) => {
    if (record.task === undefined) webhooks.announce(info(record, { runtime: false }));
  };
  const children = (id: string) => createChildren({ ...options, holdings: () => holdings }, id);
  const holdings = createHoldings({ ...options, slots, announce, children });
  const { record, live } = holdings;
  const records = () => holdings.records().filter((known) => known.task === undefined);

  const message: Conversations['message'] = async (target, text, how) => {
    // Who speaks takes over from a goal.
    await target.goal.stop();
    await target.runner.message(text, how);
    const { record: known } = target.conversation;
    if (!known.autotitle || known.title !== null || titled.has(known.id)) return;
    titled.add(known.id);
    entitle(target).catch((error: unknown) =>
      log.warn({ err: error, conversation_id: known.id }, 'no title could be made'),
    );
  };
  const entitle = async ({ conversation }: Live) => {
    const runtime = await options.runtime();
    const signal = AbortSignal.timeout(TITLE_MS);
    const { titleProfile } = conversation.record;
    const llm = titleProfile === undefined ? undefined : await options.profiles.find(titleProfile);
    const title = await runtime.generateTitle(conversation, {
      maxLength: TITLE_LENGTH,
      signal,
      ...(llm === undefined ? {} : { llm: { ...llm, usage_id: 'title' } }),
    });
    if (conversation.record.title !== null || title === '') return;
    await conversation.setTitle(title);
    announce(conversation.record);
  };
  /** Sub-agents end with the conversation that they worked for. */
  const removeTasks = async ({ childIds }: ConversationRecord) => {
    for (const id of childIds) {
      const known = record(id);
      if (known?.task === undefined) continue;
      const opened = await live(id);
      await opened?.runner.stop('silent');
      await removeTasks(known);
      if (opened !== undefined) await holdings.remove(id);
    }
  };
  const create = async (request: StartRequest, plugins: readonly Brought[]) => {
    const known = request.conversation_id == null ? undefined : record(request.conversation_id);
    if (known !== undefined) return { record: known, created: false };
    if (request.initial_message != null && !slots.free()) throw runLimitReached();
    const profiles = await options.profiles.current();
    const { extensions } = options;
    const local = await localPlugins({ projectDir: null, home: extensions.home(), installed: extensions.plugins });
    const launch = launchFor(request, await options.settings.read());
    const made = withPlugins(newRecord(request, { now: clock.now() * 1000, known: profiles, launch }), plugins, local);
    const opened = await holdings.add(made);
    const parent = made.parentId === null ? undefined : await live(made.parentId);
    await parent?.conversation.update((r) => r.childIds.push(made.id));
    announce(made);
    if (request.initial_message != null) await message(opened, userMessage(request.initial_message), { run: true });
    return { record: made, created: true };
  };

  return {
    start: () => holdings.start(),
    async create(request) {
      // A repository may take a minute; who creates others does not wait for it.
      const isNew = request.conversation_id == null || record(request.conversation_id) === undefined;
      const how = { config: options.config(), paths: options.paths, secrets: request.secrets ?? {} };
      const plugins = isNew ? await bringPlugins(request.plugins ?? [], how) : [];
      return creating(() => create(request, plugins));
    },
    record,
    records,
    live,
    async fork({ conversation }, request) {
      if (request.id != null && record(request.id) !== undefined)
        throw new HttpError(409, `Conversation with id ${request.id} already exists`);
      const eventId = request.from_event_id;
      if (eventId != null && conversation.events.index.find(eventId) === undefined)
        throw new HttpError(404, `Unknown from_event_id: ${eventId}`);
      await conversation.flush();
      const forked = forkedRecord(conversation.record, request, clock.now() * 1000);
      await holdings.add(forked, (folder) => cp(join(conversation.dataDir, LOG), join(folder, LOG)));
      announce(forked);
      return forked;
    },
    async remove(id) {
      const opened = await live(id);
      if (opened === undefined) return false;
      await opened.goal.stop();
      await opened.runner.stop('silent');
      opened.conversation.record.status = 'deleting';
      announce(opened.conversation.record);
      await webhooks.flush(LAST_WORD_MS.deletion);
      await removeTasks(opened.conversation.record);
      await holdings.remove(id);
      return true;
    },
    message,
    info,
    announce,
    runtime: options.runtime,
    get runningCount() {
      return records().filter((known) => known.status === 'running').length;
    },
    close: () => holdings.close(() => webhooks.flush(LAST_WORD_MS.end)),
  };
}
