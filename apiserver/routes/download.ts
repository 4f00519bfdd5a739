import { conversationDashed } from '../../contracts/names.js';
import { metaOf, type Trajectory } from '../archive/trajectory.js';
import { findConversation } from '../conversations/find.js';
import type { Conversation } from '../db/generated/client.js';
import type { OwnedDb } from '../db/owned.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { hexId } from '../http/validate.js';
import { zipOf } from '../http/zip.js';

const MAX_EVENTS = 10_000;

/**
 * The stored history as a zip: one JSON file an event, in order, and meta.json. Needs no running sandbox; of a deleted
 * conversation it comes from the archive, as long as that keeps it.
 */
export function downloadRoutes(app: Api, deps: Deps): void {
  app.get<{ Params: { id: string } }>('/app-conversations/:id/download', async ({ params, owned, user }, reply) => {
    const { id, trajectory } = await findConversation(owned, params.id).then(
      async (conversation) => ({ id: conversation.id, trajectory: await stored(owned, conversation) }),
      (error: unknown) => archived(deps, { ownerId: user.id, wanted: params.id, error }),
    );
    const files = trajectory.events.map((event, index) => ({
      name: `event_${String(index).padStart(6, '0')}_${event.id.replace(/[^\w-]/g, '_')}.json`,
      text: event.body,
    }));
    return reply
      .type('application/zip')
      .header('content-disposition', `attachment; filename="conversation_${conversationDashed(id)}.zip"`)
      .send(zipOf([{ name: 'meta.json', text: JSON.stringify(trajectory.meta, null, 2) }, ...files]));
  });
}

async function stored(owned: OwnedDb, conversation: Conversation): Promise<Trajectory> {
  const events = await owned.event.findMany({
    where: { conversationId: conversation.id },
    orderBy: [{ timestamp: 'asc' }, { seq: 'asc' }],
    select: { id: true, body: true },
    take: MAX_EVENTS + 1,
  });
  if (events.length > MAX_EVENTS) throw new ApiError('too_many_events');
  return { meta: metaOf(conversation), events };
}

async function archived(
  { archive }: Deps,
  { ownerId, wanted, error }: { ownerId: string; wanted: string; error: unknown },
): Promise<{ id: string; trajectory: Trajectory }> {
  const id = hexId(wanted);
  if (id === undefined || !(error instanceof ApiError) || error.code !== 'conversation_not_found') throw error;
  const trajectory = await archive?.read(ownerId, id, MAX_EVENTS);
  if (trajectory !== undefined) return { id, trajectory };
  throw new ApiError('conversation_not_found', { text: `Conversation not found: ${conversationDashed(id)}` });
}
