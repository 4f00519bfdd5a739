/**
 * Messages that were written while a conversation could not take them: before it was started (`task-<id>`) and while its
 * sandbox slept. Delivered in order once it can; each exactly once as far as the agent's log can tell.
 */
import { z } from 'zod';
import { conversationDashed } from '../../contracts/names.js';
import { isReady } from '../../contracts/resources.js';
import type { Clock } from '../../kube/types.js';
import type { Logger } from '../../process/log.js';
import { endpointOf, type AgentEndpoint, type AgentHttp } from '../agent/http.js';
import type { PendingMessage, PrismaClient } from '../db/generated/client.js';
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
  directory: SandboxDirectory;
  agents: AgentHttp;
  secret: string;
  clock: Clock;
  log: Logger;
}

const SWEEP_MS = 30_000;
/** Messages for something that never came to be. */
const KEEP_MS = 7 * 24 * 3_600_000;
const SWEEP_LIMIT = 1_000;

export function createPendingDelivery(options: PendingOptions): PendingDelivery {
  const { prisma, directory, agents, secret, clock, log } = options;
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
    const waiting = await prisma.pendingMessage.findMany({
      where: { target: conversationId, ownerId: conversation?.ownerId ?? '' },
      orderBy: { seq: 'asc' },
    });
    for (const message of waiting) {
      const arrived = message.attemptedAt !== null && (await isThere(agents, agent, conversationId, message));
      if (!arrived) await send(agent, conversationId, message);
      await prisma.pendingMessage.deleteMany({ where: { id: message.id } });
    }
  };
  const send = async (agent: AgentEndpoint, conversationId: string, message: PendingMessage): Promise<void> => {
    await prisma.pendingMessage.updateMany({ where: { id: message.id }, data: { attemptedAt: new Date(clock.now()) } });
    await agents.json(agent, {
      method: 'POST',
      path: `/api/conversations/${conversationDashed(conversationId)}/events`,
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

const logSchema = z.object({
  items: z.array(
    z.looseObject({
      source: z.string().nullish(),
      llm_message: z.looseObject({ content: z.array(z.looseObject({ text: z.string().optional() })) }).nullish(),
    }),
  ),
});

/** Whether a message that was being sent when the process died got through: the agent's newest messages tell. */
async function isThere(
  agents: AgentHttp,
  agent: AgentEndpoint,
  conversationId: string,
  message: PendingMessage,
): Promise<boolean> {
  const query = 'kind=MessageEvent&source=user&limit=20&sort_order=TIMESTAMP_DESC';
  const body = await agents.json(agent, {
    path: `/api/conversations/${conversationDashed(conversationId)}/events/search?${query}`,
  });
  const textOf = (content: unknown) => JSON.stringify((content as { text?: string }[]).map(({ text }) => text ?? ''));
  const wanted = textOf(message.content);
  return logSchema
    .parse(body)
    .items.some(
      (event) => event.source === 'user' && event.llm_message != null && textOf(event.llm_message.content) === wanted,
    );
}
