/**
 * Lets a user's start in, or not. Counting and writing happen under one lock a user, so that however many requests arrive at
 * the same time, at however many replicas, no more get in than may. The operator holds the same limit by itself; here it is
 * told before anything is made.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Prisma, PrismaClient, StartTask } from '../db/generated/client.js';
import { ApiError } from '../http/errors.js';
import { FINAL } from './tasks.js';

export interface Limits {
  /** Sandboxes of one owner that run at a time; 0: any number. */
  perOwner: number;
  ofOwners: ReadonlyMap<string, number>;
  /** What happens over it: PauseLeastActive lets everybody in, and the operator makes room. */
  overOwnerLimit: 'Refuse' | 'PauseLeastActive';
}

export interface Wanted {
  data: Prisma.StartTaskUncheckedCreateInput;
  /** Whether the client named the conversation's id. */
  chosenId: boolean;
  /** Whether it will make a sandbox of its own. */
  needsPlace: boolean;
  /** Sandboxes of the owner that run or come up, by id. */
  running: ReadonlySet<string>;
  limits: Limits;
}

/** Of one user; each holds a sandbox and a connection to it. */
const MAX_UNFINISHED = 100;
/** About how long a person takes to pause something. */
const RETRY_SECONDS = 30;

/** The task that was written, or the one that the same key wrote before. Throws ApiError. */
export async function admit(prisma: PrismaClient, wanted: Wanted): Promise<{ task: StartTask; again: boolean }> {
  const { ownerId } = wanted.data;
  return await prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(hashtext(${`start/${ownerId}`}))`;
    const before = await earlier(tx, wanted);
    if (before !== null) return { task: before, again: true };
    // Not by owner: an id that anybody has cannot be had again, and nothing else is told of it.
    const { conversationId } = wanted.data;
    if (wanted.chosenId && (await tx.conversation.count({ where: { id: conversationId } })) > 0)
      throw new ApiError('conversation_exists');
    const open = await tx.startTask.findMany({
      where: { ownerId, status: { notIn: FINAL as string[] } },
      select: { conversationId: true, sandboxId: true },
      take: MAX_UNFINISHED,
    });
    if (open.length >= MAX_UNFINISHED) throw new ApiError('too_many_starts');
    refuseOverLimit(wanted, open);
    return { task: await tx.startTask.create({ data: wanted.data }), again: false };
  });
}

async function earlier(tx: Prisma.TransactionClient, { data }: Wanted): Promise<StartTask | null> {
  const { ownerId, idempotencyKey } = data;
  if (idempotencyKey == null) return null;
  const found = await tx.startTask.findFirst({ where: { ownerId, idempotencyKey } });
  // Through JSON and back, as the database has it.
  if (found !== null && !isDeepStrictEqual(found.request, JSON.parse(JSON.stringify(data.request))))
    throw new ApiError('key_reused');
  return found;
}

function refuseOverLimit(
  { data, needsPlace, running, limits }: Wanted,
  open: { conversationId: string; sandboxId: string | null }[],
): void {
  const limit = limits.ofOwners.get(data.ownerId) ?? limits.perOwner;
  if (!needsPlace || limit === 0 || limits.overOwnerLimit !== 'Refuse') return;
  // A start's sandbox has its conversation's id; what is not there yet counts as well.
  const places = new Set([...running, ...open.map(({ conversationId, sandboxId }) => sandboxId ?? conversationId)]);
  if (places.size < limit) return;
  throw new ApiError('too_many_sandboxes', {
    text: `You have ${places.size} sandboxes that run, and ${limit} may. Pause or delete one of them, then start again.`,
    extra: { reason: 'OwnerLimitReached', limit, running: places.size },
    retryAfter: RETRY_SECONDS,
  });
}
