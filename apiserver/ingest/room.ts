/**
 * A sandbox that the operator paused because its owner started another one: its conversations say so, in the form that
 * OpenHands' frontend shows. The notice's id is made of the pause, so that however many replicas write it, it is there once.
 */
import { createHash } from 'node:crypto';
import { conditionOf, type Sandbox, type SandboxCondition } from '../../contracts/resources.js';
import type { PrismaClient } from '../db/generated/client.js';
import { isoNaive } from '../http/times.js';
import type { Logger } from '../../process/log.js';
import type { SandboxDirectory } from '../sandboxes/directory.js';
import type { IncomingEvent, Ingest } from './ingest.js';

export const TOO_MANY = 'AGENT_ERROR$TOO_MANY_CONVERSATIONS';

/** The pause that made room for another sandbox; undefined when it runs, or was paused for another reason. */
export function roomMade(sandbox: Sandbox | undefined): SandboxCondition | undefined {
  const paused = sandbox === undefined ? undefined : conditionOf(sandbox, 'Paused');
  return paused?.status === 'True' && paused.reason === 'TooManySandboxes' ? paused : undefined;
}

export function noticeOf(sandbox: Sandbox, paused: SandboxCondition): IncomingEvent {
  const at = new Date(paused.lastTransitionTime);
  const hash = createHash('sha256')
    .update(`${sandbox.metadata.uid ?? ''}\n${paused.lastTransitionTime}`)
    .digest('hex');
  return {
    id: hash.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    kind: 'ConversationErrorEvent',
    source: 'environment',
    timestamp: isoNaive(at),
    code: TOO_MANY,
    detail: `This conversation was paused, because another one needed its place: ${paused.message}. Open it to go on.`,
  };
}

/** Answers how to stop. */
export function tellRoomMade(needs: {
  directory: Pick<SandboxDirectory, 'listen'>;
  prisma: Pick<PrismaClient, 'conversation'>;
  ingest: Pick<Ingest, 'events'>;
  log: Logger;
}): () => void {
  const tell = async (sandbox: Sandbox, paused: SandboxCondition): Promise<void> => {
    const rows = await needs.prisma.conversation.findMany({
      where: { sandboxId: sandbox.metadata.name },
      select: { id: true },
      take: 100,
    });
    for (const { id } of rows) await needs.ingest.events(sandbox, id, [noticeOf(sandbox, paused)]);
  };
  return needs.directory.listen((now, before) => {
    const paused = roomMade(now);
    if (now === undefined || paused === undefined || roomMade(before) !== undefined) return;
    tell(now, paused).catch((error: unknown) =>
      needs.log.warn({ err: error, sandbox: now.metadata.name }, 'a conversation was not told why it was paused'),
    );
  });
}
