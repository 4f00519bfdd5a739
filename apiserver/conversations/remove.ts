/** Deletes a conversation and everything that is only its own: sandbox with workspace, events, start tasks, waiting messages. */
import type { Deps } from '../deps.js';
import type { Conversation, Prisma, PrismaClient } from '../db/generated/client.js';
import { conversationDashed } from '../../contracts/names.js';
import { ApiError } from '../http/errors.js';
import { endpointOf } from '../agent/http.js';
import { tellSandbox } from '../shares/shares.js';

type Needs = Pick<Deps, 'db' | 'clock' | 'control' | 'directory' | 'agents' | 'starts' | 'config' | 'log' | 'archive'>;

/** How often a history is archived anew because more of it came meanwhile; its sandbox is gone by the second time. */
const MAX_ARCHIVINGS = 10;

/**
 * Throws ApiError `archive_unavailable` before anything is deleted, or `cluster_unavailable` when the sandbox could not be;
 * the rows are kept then, so that it can be tried again.
 */
export async function removeConversation(deps: Needs, conversation: Conversation): Promise<void> {
  const { id, sandboxId } = conversation;
  const { prisma } = deps.db;
  await deps.starts.cancel(id);
  let archived = await archiveNow(deps, conversation);
  const others = await prisma.conversation.count({ where: { sandboxId, id: { not: id } } });
  await prisma.share.deleteMany({ where: { conversationId: id } });
  if (others === 0) await deps.control.remove(sandboxId);
  else {
    await tellSandbox(deps, sandboxId);
    await forgetInAgent(deps, conversation);
  }
  for (let times = 1; !(await deleteRows(prisma, conversation, archived)); times += 1) {
    if (times === MAX_ARCHIVINGS) throw new ApiError('archive_unavailable', { text: STILL_GROWS });
    archived = await archiveNow(deps, conversation);
  }
}

const STILL_GROWS = 'The conversation still gets events; delete it again in a moment.';

/** How many events were counted before its history was archived: with more than these, the archive is not all of it. */
async function archiveNow({ archive, db }: Needs, conversation: Conversation): Promise<number | undefined> {
  if (archive === undefined) return undefined;
  const { id } = conversation;
  const counted = await db.prisma.conversation.findUnique({ where: { id }, select: { eventCount: true } });
  await archive.keep(conversation);
  return counted?.eventCount;
}

/** False, and nothing is deleted, when the conversation has another number of events than `archived`. */
async function deleteRows(
  prisma: PrismaClient,
  { id: conversationId }: Conversation,
  archived: number | undefined,
): Promise<boolean> {
  return await prisma.$transaction(async (rows) => {
    const all = { where: { conversationId } };
    // Its row first, see below; what has stored events meanwhile has changed the count.
    const where = { id: conversationId, ...(archived === undefined ? {} : { eventCount: archived }) };
    const { count } = await rows.conversation.deleteMany({ where });
    if (count === 0 && (await rows.conversation.count({ where: { id: conversationId } })) > 0) return false;
    await rows.event.deleteMany(all);
    const tasks = await rows.startTask.findMany({ ...all, select: { id: true } });
    const targets = [conversationId, ...tasks.map((task) => `task-${task.id}`)];
    await rows.pendingMessage.deleteMany({ where: { target: { in: targets } } });
    await rows.startTask.deleteMany(all);
    return true;
  }, TRANSACTION);
}

/** A long history takes its time; the default of Prisma is 5 s. */
const TRANSACTION = { timeout: 120_000, maxWait: 30_000 };

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
