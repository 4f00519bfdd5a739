/**
 * One conversation: its record, its log, and what the agent sees of it. Everything that changes it goes through here.
 * Events first, record later: the record may lag behind the log by what `logLength` says, and is caught up at opening.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { DEFAULT_SOURCE, type AgentEvent, type ExecutionStatus, type NewEvent } from '../../contracts/agent/events.js';
import type { Metrics } from '../../contracts/agent/stats.js';
import type { Logger } from '../../process/log.js';
import { openLog, type EventLog } from '../log/log.js';
import { ROOT } from '../log/index.js';
import type { AgentConversation, Children, Clock, ModelUsage, Profiles } from '../seam.js';
import { agentCredentials, redactAgent, withLlm } from './agent.js';
import { withoutNulls } from './forms.js';
import type { GoalStatus } from './goal.js';
import { fullState } from './info.js';
import { MASK } from './llm.js';
import { createMutex } from './mutex.js';
import { LOG, writeRecord, type ConversationRecord } from './record.js';
import { createSecrets } from './secrets.js';
import { addUsage, costOf, totalsOf } from './stats.js';
import { createStamper, localTime } from './times.js';

/** Says what reaches sockets only: no place in the log. */
export type TransientListener = (event: Record<string, unknown>) => void;

export interface Conversation extends AgentConversation {
  readonly record: ConversationRecord;
  readonly events: EventLog;
  /** Changes the record and writes it; resolves when it is on disk. `announce` names the state keys that sockets hear of. */
  update(change: (record: ConversationRecord) => void, announce?: StateKey[]): Promise<void>;
  setStatus(status: ExecutionStatus): Promise<void>;
  /** Takes over the statistics of a sub-agent, in place of its former ones, and announces them. */
  adopt(usageId: string, metrics: Metrics): Promise<void>;
  onTransient(listener: TransientListener): () => void;
  /** To all sockets now, and not to the log. */
  tell(event: NewEvent): void;
  /** Makes an event that is sent, never stored. */
  transient(event: NewEvent): Record<string, unknown>;
  /** The `full_state` update of this moment. */
  stateEvent(): Record<string, unknown>;
  /** Sends it to all sockets. */
  publishState(): void;
  /** Writes the record now if it changed. */
  flush(): Promise<void>;
  /** Closes the log, after writing the record unless somebody else owns the folder now. */
  shut(options?: { save: boolean }): Promise<void>;
  /** Called once when the conversation ends here: deleted, taken over, or the server stops. */
  onShut(listener: () => void): () => void;
}

export type StateKey =
  'tags' | 'goal' | 'confirmation_policy' | 'security_analyzer' | 'agent_state' | 'agent' | 'secret_registry';

export interface ConversationOptions {
  record: ConversationRecord;
  dataDir: string;
  workspaceDir: string;
  secretKey: () => string | null;
  environment: () => Record<string, string>;
  /** The server's own keys, which no event may show. */
  hidden: () => readonly string[];
  /** Called whenever something happens: resets the idle time. */
  touch: () => void;
  log: Logger;
  clock: Clock;
  children: Children;
  profiles: Profiles;
}

/** The record is written at the latest this long after an event changed it. */
const LAG_MS = 2000;

const isChained = (kind: string): boolean => kind !== 'ConversationStateUpdateEvent';

/** Opens a conversation's log and catches its record up with it. */
export async function openConversation(options: ConversationOptions): Promise<Conversation> {
  const { record } = options;
  const known = record.logLength;
  const events = await openLog({
    path: join(options.dataDir, LOG),
    onLine: (line) => {
      if (line.offset >= known) catchUp(record, line.type, line.json);
    },
  });
  if (events.repaired > 0) options.log.warn({ bytes: events.repaired }, 'cut a torn line off the event log');
  if (events.damaged > 0) options.log.error({ lines: events.damaged }, 'passed over damaged lines of the event log');
  const behind = record.logLength !== events.length;
  record.logLength = events.length;
  return createConversation(options, events, behind);
}

/** Applies a line that the record does not know of: the process died between the two. */
function catchUp(record: ConversationRecord, type: 'E' | 'U', json: string): void {
  if (type === 'U') {
    const { usage, at } = JSON.parse(json) as { usage: ModelUsage; at: number };
    record.stats = addUsage(record.stats, usage, { atSeconds: at, budget: record.maxBudget });
    return;
  }
  const event = JSON.parse(json) as AgentEvent;
  if (event.kind !== 'ConversationStateUpdateEvent') {
    record.leafId = event.id;
    if (event.kind === 'MessageEvent' && event.source === 'user') record.lastUserMessageId = event.id;
    return;
  }
  if (event.key === 'execution_status') record.status = event.value as ExecutionStatus;
  if (event.key === 'goal' && event.value !== null) record.goal = event.value as GoalStatus;
}

/** `behind`: the record on disk does not know all of the log. */
function createConversation(options: ConversationOptions, events: EventLog, behind: boolean): Conversation {
  const { record, dataDir, workspaceDir, clock, log } = options;
  const stamp = createStamper(() => clock.now());
  const exclusive = createMutex();
  const whileTools = createMutex();
  const writeTurn = createMutex();
  const usageTurn = createMutex();
  const transients = new Set<TransientListener>();
  const ends = new Set<() => void>();
  const secrets = createSecrets(() => record.secrets, {
    hidden: () => [...options.hidden(), ...agentCredentials(record.agent)],
  });
  let dirty = behind;
  let pending = 0;
  /** Last event of the branch, counting those that are still being written. */
  let tip = record.leafId;
  let timer: NodeJS.Timeout | undefined;
  let shut = false;

  const save = async () => {
    clearTimeout(timer);
    timer = undefined;
    await writeTurn(async () => {
      if (!dirty || shut) return;
      dirty = false;
      record.logLength = events.length;
      try {
        await writeRecord(dataDir, record, options.secretKey());
      } catch (error) {
        dirty = true;
        throw error;
      }
    });
  };
  const changed = () => {
    dirty = true;
    record.updatedAt = stamp();
    options.touch();
    timer ??= setTimeout(() => {
      save().catch((error: unknown) => log.error({ err: error }, 'could not write the conversation record'));
    }, LAG_MS).unref();
  };
  const complete = (event: NewEvent, micros: number): Record<string, unknown> => {
    const { kind, source, id, ...body } = event;
    return withoutNulls({
      id: id ?? randomUUID(),
      timestamp: localTime(micros),
      source: source ?? DEFAULT_SOURCE[kind],
      ...body,
      kind,
    });
  };
  const append = async (event: NewEvent): Promise<AgentEvent> => {
    const { id, timestamp, source, ...body } = complete(event, stamp());
    const parent = tip ?? (events.index.size === 0 && pending === 0 ? undefined : ROOT);
    const whole = {
      id,
      timestamp,
      source,
      ...(parent === undefined ? {} : { parent_id: parent }),
      ...body,
    } as AgentEvent;
    if (isChained(whole.kind)) tip = whole.id;
    pending++;
    try {
      await events.append(whole);
      if (isChained(whole.kind)) record.leafId = whole.id;
    } catch (error) {
      // What was to follow it fails with it: the disk is full or gone.
      tip = record.leafId;
      throw error;
    } finally {
      pending--;
    }
    changed();
    if (whole.kind === 'MessageEvent' && whole.source === 'user') {
      record.lastUserMessageId = whole.id;
      await announce('last_user_message_id', whole.id);
    }
    return whole;
  };
  const announce = (key: string, value: unknown) => append({ kind: 'ConversationStateUpdateEvent', key, value });
  const stateEvent = () =>
    complete({ kind: 'ConversationStateUpdateEvent', key: 'full_state', value: fullState(record, dataDir) }, stamp());
  const update: Conversation['update'] = async (change, keys = []) => {
    const leaf = record.leafId;
    change(record);
    if (record.leafId !== leaf) tip = record.leafId;
    changed();
    for (const key of keys) await announce(key, stateValue(record, key));
    await save();
  };
  const tell = (event: NewEvent) => {
    const whole = complete(event, stamp());
    for (const listener of transients) listener(whole);
  };
  const leafSeq = () => (record.leafId === null ? undefined : events.index.find(record.leafId));

  return {
    id: record.id,
    record,
    events,
    workspaceDir,
    dataDir,
    log,
    clock,
    secrets,
    children: options.children,
    profiles: options.profiles,
    exclusive,
    whileTools,
    append,
    update,
    commandEnvironment: options.environment,
    settings: () => ({
      agent: record.agent,
      maxIterations: record.maxIterations,
      maxBudget: record.maxBudget ?? null,
      stuckDetection: record.stuckDetection,
      confirmationPolicy: record.confirmationPolicy,
      securityAnalyzer: record.securityAnalyzer,
      hookConfig: record.hookConfig,
      title: record.title,
      autotitle: record.autotitle,
    }),
    status: () => record.status,
    publish: tell,
    tell,
    transient: (event) => complete(event, stamp()),
    stateEvent,
    publishState() {
      const whole = stateEvent();
      for (const listener of transients) listener(whole);
    },
    onTransient(listener) {
      transients.add(listener);
      return () => transients.delete(listener);
    },
    async *history() {
      const leaf = leafSeq();
      const path = leaf === undefined ? [] : events.index.branch(leaf);
      for (let at = 0; at < path.length; at += 64)
        for (const text of await events.read(path.slice(at, at + 64))) yield JSON.parse(text) as AgentEvent;
    },
    async historyAfter(eventId) {
      const seq = events.index.find(eventId);
      const leaf = leafSeq();
      const path = seq === undefined || leaf === undefined ? undefined : events.index.branchAfter(leaf, seq);
      return path === undefined ? undefined : (await events.read(path)).map((text) => JSON.parse(text) as AgentEvent);
    },
    leafId: () => record.leafId,
    spent: () => costOf(record.stats),
    recordUsage: (usage) =>
      usageTurn(async () => {
        const at = clock.now() / 1000;
        const counted = () => addUsage(record.stats, usage, { atSeconds: at, budget: record.maxBudget });
        // Both lines in one write. The record counts the call when its line is there, and not before.
        const told = announce('stats', totalsOf(counted()));
        await Promise.all([events.appendUsage({ usage, at }).then(() => (record.stats = counted())), told]);
      }),
    async adopt(usageId, metrics) {
      await update((r) => (r.stats = { usage_to_metrics: { ...r.stats.usage_to_metrics, [usageId]: metrics } }));
      await announce('stats', totalsOf(record.stats));
    },
    agentState: () => record.agentState,
    setAgentState: (patch) => update((r) => (r.agentState = { ...r.agentState, ...patch }), ['agent_state']),
    switchLlm: (llm) => update((r) => (r.agent = withLlm(r.agent, llm)), ['agent']),
    setTitle: (title) => update((r) => (r.title = title)),
    block: (what, id, reason) =>
      update((r) => {
        const list = what === 'action' ? r.blockedActions : r.blockedMessages;
        list[id] = reason;
      }),
    activateSkills: (names) => update((r) => (r.activatedSkills = [...new Set([...r.activatedSkills, ...names])])),
    async setStatus(status) {
      if (record.status === status) return;
      const before = record.status;
      record.status = status;
      try {
        // The log says it; the record follows.
        await announce('execution_status', status);
      } catch (error) {
        record.status = before;
        throw error;
      }
    },
    flush: save,
    onShut(listener) {
      ends.add(listener);
      return () => ends.delete(listener);
    },
    async shut(how = { save: true }) {
      if (shut) return;
      dirty &&= how.save;
      await save().catch((error: unknown) => log.error({ err: error }, 'could not write the conversation record'));
      shut = true;
      for (const listener of ends) listener();
      clearTimeout(timer);
      await events.close();
    },
  };
}

/** What a state update says of this key. */
function stateValue(record: ConversationRecord, key: StateKey): unknown {
  switch (key) {
    case 'goal':
      return record.goal ?? null;
    case 'tags':
      return record.tags;
    case 'confirmation_policy':
      return record.confirmationPolicy;
    case 'security_analyzer':
      return record.securityAnalyzer;
    case 'agent_state':
      return record.agentState;
    case 'agent':
      return withoutNulls(redactAgent(record.agent, MASK));
    case 'secret_registry':
      return null;
  }
}
