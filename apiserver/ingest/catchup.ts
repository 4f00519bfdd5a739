/**
 * Closes gaps between an agent's own log and what is stored here. Webhooks bring events within a second or so, but a
 * webhook can get lost: this server was down and the agent gave up, or the agent was killed with events in its buffer.
 * A conversation is looked at again whenever that may have happened: at start, when its sandbox becomes ready, after
 * webhooks, and while it runs. Reading is resumed from `caughtUpTo`, a time up to which nothing is missing.
 */
import { z } from 'zod';
import { conversationDashed } from '../../contracts/names.js';
import { isReady, type Sandbox } from '../../contracts/resources.js';
import type { Clock } from '../../kube/types.js';
import type { Logger } from '../../process/log.js';
import { AgentError, endpointOf, type AgentEndpoint, type AgentHttp } from '../agent/http.js';
import type { Conversation, PrismaClient } from '../db/generated/client.js';
import type { Leases } from '../db/leases.js';
import { eventTime } from '../http/times.js';
import type { ApiMetrics } from '../metrics.js';
import type { SandboxDirectory } from '../sandboxes/directory.js';
import { discover } from './discover.js';
import { eventSchema, infoSchema, type ConversationInfo, type Ingest } from './ingest.js';

export interface CatchUp {
  /** This conversation may have a gap. Cheap; the reading comes later. */
  mark(conversationId: string): void;
  /** This sandbox has a conversation that is not known here. Cheap; the asking comes later. */
  markSandbox(name: string): void;
  /** Reads one conversation's log to its end now. Rejects when the agent does not answer. */
  now(conversationId: string, signal?: AbortSignal): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

export interface CatchUpOptions {
  prisma: PrismaClient;
  leases: Leases;
  directory: SandboxDirectory;
  agents: AgentHttp;
  ingest: Ingest;
  secret: string;
  clock: Clock;
  log: Logger;
  metrics: ApiMetrics;
}

/** Webhooks are given this long to bring events themselves. */
const TICK_MS = 5_000;
const PARALLEL = 4;
const PAGE = 100;
/** Pages of one pass; a longer log is read on in the next. */
const MAX_PAGES = 200;
const IDS_AT_ONCE = 1_000;
/** Runs out only for whoever dies in between. */
const LEASE_MS = 30_000;

/** An event that cannot be stored must not keep those after it from being fetched. */
const pageSchema = z.object({
  items: z.array(eventSchema.nullable().catch(null)).transform((items) => items.filter((event) => event !== null)),
  next_page_id: z.string().max(500).nullish(),
});

export function createCatchUp(options: CatchUpOptions): CatchUp {
  const { prisma, leases, directory, agents, ingest, secret, clock, log, metrics } = options;
  const dirty = new Set<string>();
  /** Sandboxes that became ready, whose conversations are still to be marked as dirty. */
  const returned = new Set<string>();
  /** Sandboxes that may have conversations that are not known here. */
  const unlisted = new Set<string>();
  const reading = new Map<string, Promise<void>>();
  const stopping = new AbortController();
  let loop = Promise.resolve();
  let unlisten = () => {};

  const readPages = async (
    sandbox: Sandbox,
    conversation: Conversation,
    agent: AgentEndpoint,
    signal: AbortSignal,
  ): Promise<void> => {
    let from = conversation.caughtUpTo;
    let pageId: string | null | undefined;
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const body = await agents.json(agent, { path: searchPath(conversation.id, from, pageId), signal });
      const page = pageSchema.parse(body);
      const missed = await ingest.events(sandbox, conversation.id, page.items);
      if (missed === undefined) return;
      if (missed > 0) log.info({ conversation_id: conversation.id, events: missed }, 'caught up on events');
      metrics.events('catchup', missed);
      pageId = page.next_page_id;
      const last = page.items.at(-1);
      const reached = last === undefined ? undefined : eventTime(last.timestamp);
      if (reached !== undefined && reached !== conversation.caughtUpTo)
        await prisma.conversation.updateMany({ where: { id: conversation.id }, data: { caughtUpTo: reached } });
      if (pageId == null) return;
      from = conversation.caughtUpTo;
    }
    dirty.add(conversation.id);
  };

  const read = async (id: string, signal: AbortSignal): Promise<void> => {
    const conversation = await prisma.conversation.findUnique({ where: { id } });
    const sandbox = conversation === null ? undefined : directory.get(conversation.sandboxId);
    const agent = sandbox === undefined ? undefined : endpointOf(sandbox, secret);
    if (conversation === null || sandbox === undefined || agent === undefined) return;
    const info = await agents.json(agent, { path: `/api/conversations/${conversationDashed(id)}`, signal });
    await readPages(sandbox, conversation, agent, signal);
    const parsed = infoSchema.safeParse(info);
    if (!parsed.success) return;
    await ingest.conversation(sandbox, parsed.data);
    // It goes on working, so it may have a gap again.
    if (isBusy(parsed.data)) dirty.add(id);
  };

  /** One reading a conversation at a time; who comes later gets one of their own, begun after theirs. */
  const once = async (id: string, signal: AbortSignal): Promise<void> => {
    const before = reading.get(id);
    if (before !== undefined) await endedOrAborted(before, signal);
    const running = read(id, signal).finally(() => {
      if (reading.get(id) === running) reading.delete(id);
    });
    reading.set(id, running);
    await running;
  };

  /** One reading a conversation for all API servers. While another is at it, its turn here comes later. */
  const alone = async (id: string): Promise<void> => {
    const lease = `catchup/${id}`;
    if (!(await leases.take(lease, LEASE_MS))) return void dirty.add(id);
    try {
      await once(id, stopping.signal);
    } finally {
      await leases.release(lease);
    }
  };

  const markReturned = async (): Promise<void> => {
    const sandboxIds = [...returned].slice(0, IDS_AT_ONCE);
    const where = { sandboxId: { in: sandboxIds } };
    const rows = sandboxIds.length === 0 ? [] : await prisma.conversation.findMany({ where, select: { id: true } });
    for (const { id } of rows) dirty.add(id);
    for (const id of sandboxIds) {
      returned.delete(id);
      unlisted.add(id);
    }
  };

  const list = async (name: string): Promise<void> => {
    const sandbox = directory.get(name);
    if (sandbox === undefined) return;
    const found = await discover({ prisma, agents, ingest, secret }, sandbox, stopping.signal);
    if (found.length > 0)
      log.info({ sandbox: name, conversations: found }, 'found conversations that nobody announced');
    for (const id of found) dirty.add(id);
  };

  /** Takes what is marked and does it, a few at a time. What fails for a reason of ours is marked again. */
  const drain = async (marked: Set<string>, work: (id: string) => Promise<void>): Promise<void> => {
    const ids = [...marked].slice(0, IDS_AT_ONCE);
    for (const id of ids) marked.delete(id);
    const next = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined && !stopping.signal.aborted; id = ids.pop()) {
        const current = id;
        await work(current).catch((error: unknown) => {
          // An agent that does not answer is going or coming; when it becomes ready it is looked at again.
          if (!(error instanceof AgentError)) marked.add(current);
          log.debug({ err: error, id: current }, 'cannot catch up now');
        });
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, next));
  };

  return {
    mark: (id) => void dirty.add(id),
    markSandbox: (name) => void unlisted.add(name),
    now: (id, signal = stopping.signal) => once(id, signal),
    start() {
      const begin = async () => {
        await directory.synced;
        for (const sandbox of directory.list()) if (isReady(sandbox)) returned.add(sandbox.metadata.name);
        while (!stopping.signal.aborted) {
          await markReturned().catch((error: unknown) => log.warn({ err: error }, 'cannot catch up now, trying again'));
          await Promise.all([drain(unlisted, list), drain(dirty, alone)]);
          await clock.sleep(TICK_MS, stopping.signal).catch(() => undefined);
        }
      };
      unlisten = directory.listen((now, before) => {
        const becameReady = now !== undefined && isReady(now) && (before === undefined || !isReady(before));
        if (becameReady) returned.add(now.metadata.name);
      });
      loop = begin().catch((error: unknown) => log.error({ err: error }, 'catching up has stopped'));
    },
    async stop() {
      unlisten();
      stopping.abort();
      await loop;
    },
  };
}

/** Oldest first, from the known time on (events of that very time once more: others may share it). */
function searchPath(id: string, from: string | null, pageId: string | null | undefined): string {
  const query = new URLSearchParams({ limit: String(PAGE), sort_order: 'TIMESTAMP' });
  if (from !== null) query.set('timestamp__gte', from);
  if (pageId != null) query.set('page_id', pageId);
  return `/api/conversations/${conversationDashed(id)}/events/search?${query.toString()}`;
}

/** Waits for other work, however it ends, but not beyond the signal: then rejects with its reason. */
async function endedOrAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const done = new AbortController();
  const abort = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true, signal: done.signal });
  });
  await Promise.race([work.catch(() => undefined), abort]);
  done.abort();
  signal.throwIfAborted();
}

function isBusy(info: ConversationInfo): boolean {
  return info.execution_status === 'running';
}
