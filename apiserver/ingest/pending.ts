/**
 * Messages that were written while a conversation could not take them: before it was started (`task-<id>`) and while its
 * sandbox slept. Delivered in order once it can, by one API server at a time; each exactly once as far as the agent's log
 * can tell.
 */
import { z } from 'zod';
import { conversationDashed } from '../../contracts/names.js';
import { isReady } from '../../contracts/resources.js';
import type { Clock } from '../../kube/types.js';
import type { Logger } from '../../process/log.js';
import { endpointOf, type AgentEndpoint, type AgentHttp } from '../agent/http.js';
import type { PendingMessage, PrismaClient } from '../db/generated/client.js';
import type { Leases } from '../db/leases.js';
import type { SandboxDirectory } from '../sandboxes/directory.js';

export interface PendingDelivery {
  /** Delivers what waits for a conversation, if its sandbox runs. Never rejects. */
  deliver(conversationId: string): Promise<void>;
  /** Messages of a start become messages of its conversation. */
  adopt(taskId: string, conversationId: string): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

export interface PendingOptions {
  prisma: PrismaClient;
  leases: Leases;
  directory: SandboxDirectory;
  agents: AgentHttp;
  secret: string;
  clock: Clock;
  log: Logger;
}

/** Longer than what is done between two takes: two calls of 15 s. */
const LEASE_MS = 35_000;
const SWEEP_MS = 10_000;
/** Messages for something that never came to be. */
const KEEP_MS = 7 * 24 * 3_600_000;
const SWEEP_LIMIT = 1_000;

export function createPendingDelivery(options: PendingOptions): PendingDelivery {
  const { prisma, leases, directory, agents, secret, clock, log } = options;
  const delivering = new Map<string, Promise<void>>();
  const stopping = new AbortController();
  let unlisten = () => {};
  let loop = Promise.resolve();

  const deliverAll = async (conversationId: string): Promise<void> => {
    const conversation = await prisma.conversation.findUnique({ where: { id: conversationId } });
    const sandbox = conversation === null ? undefined : directory.get(conversation.sandboxId);
    if (sandbox === undefined || !isReady(sandbox)) return;
    const agent = endpointOf(sandbox, secret);
    if (agent === undefined) return;
    const nextWaiting = () =>
      prisma.pendingMessage.findFirst({
        where: { target: conversationId, ownerId: conversation?.ownerId ?? '' },
        orderBy: { seq: 'asc' },
      });
    if ((await nextWaiting()) === null) return;
    const lease = `pending/${conversationId}`;
    // Asked for before each message: whoever lost it, having been stopped for long, sends no further one.
    while (!stopping.signal.aborted && (await leases.take(lease, LEASE_MS))) {
      const message = await nextWaiting();
      if (message === null) return await leases.release(lease);
      const arrived = await isThere(agents, agent, message);
      if (!arrived && !(await leases.take(lease, LEASE_MS))) return;
      if (!arrived) await send(agent, message);
      await prisma.pendingMessage.deleteMany({ where: { id: message.id } });
    }
  };
  const send = async (agent: AgentEndpoint, message: PendingMessage): Promise<void> => {
    const {
      items: [last],
    } = await userMessages(agents, agent, { conversationId: message.target, limit: 1 });
    await prisma.pendingMessage.updateMany({
      where: { id: message.id },
      data: { attemptedAt: new Date(clock.now()), sentAfter: last?.id ?? '' },
    });
    await agents.json(agent, {
      method: 'POST',
      path: `/api/conversations/${conversationDashed(message.target)}/events`,
      body: { role: 'user', content: message.content, run: true },
      signal: stopping.signal,
    });
  };

  /** Whoever comes while one is at it has their message seen by a second round. */
  const deliver = async (id: string): Promise<void> => {
    const before = delivering.get(id) ?? Promise.resolve();
    const mine = before
      .then(() => deliverAll(id))
      .catch((error: unknown) => log.info({ err: error, conversation_id: id }, 'messages wait for another try'));
    delivering.set(id, mine);
    await mine;
    if (delivering.get(id) === mine) delivering.delete(id);
  };

  const sweep = async (): Promise<void> => {
    const old = new Date(clock.now() - KEEP_MS);
    await prisma.pendingMessage.deleteMany({ where: { createdAt: { lt: old } } });
    await leases.sweep();
    const targets = await prisma.pendingMessage.findMany({
      distinct: ['target'],
      select: { target: true },
      take: SWEEP_LIMIT,
    });
    for (const { target } of targets) {
      if (target.startsWith('task-')) await adoptReady(target);
      else await deliver(target);
    }
  };
  const adopt = async (taskId: string, conversationId: string): Promise<void> => {
    await prisma.pendingMessage.updateMany({ where: { target: `task-${taskId}` }, data: { target: conversationId } });
  };
  /** A message that was written in the moment in which its start became READY. */
  const adoptReady = async (target: string): Promise<void> => {
    const task = await prisma.startTask.findUnique({ where: { id: target.slice('task-'.length) } });
    if (task?.status !== 'READY') return;
    await adopt(task.id, task.conversationId);
    await deliver(task.conversationId);
  };

  return {
    deliver,
    adopt,
    start() {
      const deliverSandbox = async (sandboxId: string) => {
        const rows = await prisma.conversation.findMany({
          where: { sandboxId },
          select: { id: true },
          take: SWEEP_LIMIT,
        });
        for (const { id } of rows) await deliver(id);
      };
      unlisten = directory.listen((now, before) => {
        const woke = now !== undefined && isReady(now) && before !== undefined && !isReady(before);
        if (woke)
          deliverSandbox(now.metadata.name).catch((error: unknown) =>
            log.warn({ err: error }, 'cannot deliver messages'),
          );
      });
      const run = async () => {
        await directory.synced;
        while (!stopping.signal.aborted) {
          await sweep().catch((error: unknown) => log.warn({ err: error }, 'cannot sweep pending messages'));
          await clock.sleep(SWEEP_MS, stopping.signal).catch(() => undefined);
        }
      };
      loop = run();
    },
    async stop() {
      unlisten();
      stopping.abort();
      await Promise.all([loop, ...delivering.values()]);
    },
  };
}

const contentSchema = z.array(z.looseObject({ text: z.string().optional() }));
const logSchema = z.object({
  items: z.array(
    z.looseObject({ id: z.string(), llm_message: z.looseObject({ content: contentSchema }).nullish().catch(null) }),
  ),
  next_page_id: z.string().max(500).nullish(),
});
type UserMessage = z.infer<typeof logSchema>['items'][number];

const PAGE = 100;
/** While a lease of a dead process runs out, its user may go on with the agent directly: 10,000 messages of that. */
const MAX_PAGES = 100;

interface Looked {
  conversationId: string;
  limit?: number;
  pageId?: string | null | undefined;
}

/** A page of the user's messages in the agent's log, newest first. */
async function userMessages(agents: AgentHttp, agent: AgentEndpoint, { conversationId, limit = PAGE, pageId }: Looked) {
  const query = new URLSearchParams({
    kind: 'MessageEvent',
    source: 'user',
    limit: String(limit),
    sort_order: 'TIMESTAMP_DESC',
    ...(pageId == null ? {} : { page_id: pageId }),
  });
  const path = `/api/conversations/${conversationDashed(conversationId)}/events/search?${query.toString()}`;
  return logSchema.parse(await agents.json(agent, { path }));
}

/** Whether a message that was being sent when a process died got through: looks back to the last one before it. */
async function isThere(agents: AgentHttp, agent: AgentEndpoint, message: PendingMessage): Promise<boolean> {
  if (message.attemptedAt === null) return false;
  const textOf = (content: unknown) => JSON.stringify(contentSchema.parse(content).map(({ text }) => text ?? ''));
  const wanted = textOf(message.content);
  const same = ({ llm_message }: UserMessage) => llm_message != null && textOf(llm_message.content) === wanted;
  let pageId: string | null | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const { items, next_page_id } = await userMessages(agents, agent, { conversationId: message.target, pageId });
    const before = items.findIndex(({ id }) => id === message.sentAfter);
    if ((before === -1 ? items : items.slice(0, before)).some(same)) return true;
    if (before !== -1 || next_page_id == null) return false;
    pageId = next_page_id;
  }
  return false;
}
