import { conversationDashed } from '../../contracts/names.js';
import { findConversation } from '../conversations/find.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { zipOf, type ZipEntry } from '../http/zip.js';
import { isoZ } from '../http/times.js';

const MAX_EVENTS = 10_000;

/** The stored history as a zip: one JSON file an event, in order, and meta.json. Needs no running sandbox. */
export function downloadRoutes(app: Api, _deps: Deps): void {
  app.get<{ Params: { id: string } }>('/app-conversations/:id/download', async ({ params, owned }, reply) => {
    const conversation = await findConversation(owned, params.id).catch((error: unknown) => {
      throw error instanceof ApiError && error.code === 'conversation_not_found'
        ? new ApiError('conversation_not_found', {
            text: error.message.replace(/^Conversation (\S+) not found$/, 'Conversation not found: $1'),
          })
        : error;
    });
    const events = await owned.event.findMany({
      where: { conversationId: conversation.id },
      orderBy: [{ timestamp: 'asc' }, { seq: 'asc' }],
      select: { id: true, body: true },
      take: MAX_EVENTS + 1,
    });
    if (events.length > MAX_EVENTS) throw new ApiError('too_many_events');
    const meta = {
      id: conversation.id,
      title: conversation.title,
      llm_model: conversation.llmModel,
      selected_repository: conversation.selectedRepository,
      created_at: isoZ(conversation.createdAt),
      updated_at: isoZ(conversation.updatedAt),
      metrics: conversation.metrics,
    };
    const files: ZipEntry[] = [
      { name: 'meta.json', text: JSON.stringify(meta, null, 2) },
      ...events.map(({ id, body }, index) => ({
        name: `event_${String(index).padStart(6, '0')}_${id.replace(/[^\w-]/g, '_')}.json`,
        text: body,
      })),
    ];
    return reply
      .type('application/zip')
      .header('content-disposition', `attachment; filename="conversation_${conversationDashed(conversation.id)}.zip"`)
      .send(zipOf(files));
  });
}
