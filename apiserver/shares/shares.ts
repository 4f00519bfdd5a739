/**
 * Share links: who has one may read a conversation, and open the ports that it names. The database knows them all, by a
 * digest of their secret; the Sandbox's spec.shares has those that open ports, for the gateways.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Conversation, PrismaClient, Share } from '../db/generated/client.js';
import { ownedBy } from '../db/owned.js';
import type { Deps } from '../deps.js';
import { ApiError } from '../http/errors.js';
import { hexId } from '../http/validate.js';
import { digestOf } from '../identity/credentials.js';
import { sameShares, sharesOfSpec } from './ports.js';

/** Of one sandbox: as many as its resource may hold. */
export const MAX_SHARES = 32;
/** Header in which the holder of a link shows its secret. It stands behind the `#` of the link, which browsers send nobody. */
export const SHARE_HEADER = 'x-sandlot-share';
export const sharedHeaders = z.object({ [SHARE_HEADER]: z.string().max(100).optional() });

/** 192 random bits, so that a plain digest cannot be guessed back. */
export const newShareSecret = (): string => randomBytes(24).toString('base64url');

type Needs = Pick<Deps, 'control' | 'directory' | 'clock'> & { db: { prisma: PrismaClient } };

/** Shares of all conversations in one sandbox that are not over. */
export async function liveShares({ db, clock }: Needs, sandboxId: string): Promise<Share[]> {
  const rows = await db.prisma.conversation.findMany({ where: { sandboxId }, select: { id: true } });
  const where = { conversationId: { in: rows.map(({ id }) => id) }, expiresAt: { gt: new Date(clock.now()) } };
  return await db.prisma.share.findMany({ where });
}

const MAX_WRITES = 5;

/**
 * Makes the Sandbox's spec.shares what the database says, without `except`. Looks again after each write: of two replicas that
 * write at once, the later one sees what both have stored. Throws ApiError, but for a sandbox that is gone.
 */
export async function tellSandbox(deps: Needs, sandboxId: string, except?: string): Promise<void> {
  const wanted = async () =>
    sharesOfSpec(
      (await liveShares(deps, sandboxId)).filter(({ id }) => id !== except),
      new Date(deps.clock.now()),
    );
  let shares = await wanted();
  let told = deps.directory.get(sandboxId)?.spec.shares;
  for (let writes = 0; writes < MAX_WRITES && !sameShares(told, shares); writes += 1) {
    if (deps.directory.get(sandboxId) === undefined) return;
    try {
      told = (await deps.control.setShares(sandboxId, shares)).spec.shares;
    } catch (error) {
      if (error instanceof ApiError && error.code === 'not_found') return;
      throw error;
    }
    shares = await wanted();
  }
}

/** Ends a share at once. Its ports first: were they last, a cluster that does not answer would leave them open unseen. */
export async function revokeShare(deps: Needs, conversation: Conversation, id: string): Promise<void> {
  await tellSandbox(deps, conversation.sandboxId, id);
  await deps.db.prisma.share.deleteMany({ where: { id, ownerId: conversation.ownerId } });
  // Another replica may have written it back in between.
  await tellSandbox(deps, conversation.sandboxId);
}

export interface Shared {
  conversation: Conversation;
  /** The link that opened it; undefined for one that is public. */
  share: Share | undefined;
}

/** `last_used_at` is as fine as this. */
const USED_MS = 60_000;

/** A conversation for whoever shows a good link, or for everybody when it is public; undefined otherwise, without saying why. */
export async function findShared(
  { db: { prisma }, clock }: Needs,
  id: string,
  secret: string | undefined,
): Promise<Shared | undefined> {
  const hex = hexId(id);
  if (hex === undefined) return undefined;
  const conversation = await prisma.conversation.findUnique({ where: { id: hex } });
  if (conversation === null) return undefined;
  const { ownerId } = conversation;
  const owner = await prisma.user.findUnique({ where: { id: ownerId }, select: { disabledAt: true } });
  if (owner === null || owner.disabledAt !== null) return undefined;
  const now = new Date(clock.now());
  const share =
    secret === undefined || secret === ''
      ? null
      : await ownedBy(prisma, ownerId).share.findFirst({
          where: { hash: digestOf(secret), conversationId: hex, expiresAt: { gt: now } },
        });
  if (share === null) return conversation.public === true ? { conversation, share: undefined } : undefined;
  if (share.lastUsedAt === null || now.getTime() - share.lastUsedAt.getTime() > USED_MS)
    await prisma.share.updateMany({ where: { id: share.id }, data: { lastUsedAt: now } });
  return { conversation, share };
}
