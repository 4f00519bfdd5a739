/** Deletes a conversation and everything that is only its own: sandbox with workspace, events, start tasks, waiting messages. */
import type { Deps } from '../deps.js';
import type { Conversation, Prisma, PrismaClient } from '../db/generated/client.js';
import { conversationDashed } from '../../contracts/names.js';
import { endpointOf } from '../agent/http.js';
import { tellSandbox } from '../shares/shares.js';

type Needs = Pick<Deps, 'db' | 'clock' | 'control' | 'directory' | 'agents' | 'starts' | 'config' | 'log' | 'archive'>;

/**
 * Throws ApiError `cluster_unavailable` or `archive_unavailable` and keeps the rows when the sandbox could not be deleted or
 * the history not archived, so that it can be tried again.
 */
export async function removeConversation(deps: Needs, conversation: Conversation): Promise<void> {
  const { id, sandboxId } = conversation;
  const { prisma } = deps.db;
  await deps.starts.cancel(id);
  const others = await prisma.conversation.count({ where: { sandboxId, id: { not: id } } });
  await prisma.share.deleteMany({ where: { conversationId: id } });
  if (others === 0) await deps.control.remove(sandboxId);
  else {
    await tellSandbox(deps, sandboxId);
    await forgetInAgent(deps, conversation);
  }
  await deps.archive?.keep(conversation);
  const tasks = await prisma.startTask.findMany({ where: { conversationId: id }, select: { id: true } });
  const targets = [id, ...tasks.map((task) => `task-${task.id}`)];
  await prisma.$transaction([
    ...deleteHistory(prisma, id),
    prisma.pendingMessage.deleteMany({ where: { target: { in: targets } } }),
    prisma.startTask.deleteMany({ where: { conversationId: id } }),
  ]);
}

/** Its row first: whoever stores events holds a lock on it, so that what they stored is seen and goes too. */
export function deleteHistory(prisma: PrismaClient, conversationId: string): Prisma.PrismaPromise<unknown>[] {
  return [
    prisma.conversation.deleteMany({ where: { id: conversationId } }),
    prisma.event.deleteMany({ where: { conversationId } }),
  ];
}

/** The sandbox lives on for other conversations; its agent server drops this one. */
async function forgetInAgent(
  { directory, agents, config, log }: Needs,
  { id, sandboxId }: Conversation,
): Promise<void> {
  const sandbox = directory.get(sandboxId);
  const agent = sandbox === undefined ? undefined : endpointOf(sandbox, config.secrets[0]);
  if (agent === undefined) return;
  await agents
    .json(agent, { method: 'DELETE', path: `/api/conversations/${conversationDashed(id)}`, timeoutMs: 5_000 })
    .catch((error: unknown) =>
      log.warn({ err: error, conversation_id: id }, 'the agent server kept a deleted conversation'),
    );
}
