import { z } from 'zod';
import { countEvents, eventCountQuery, eventsById, eventSearchQuery, searchEvents } from '../conversations/events.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { idPath, pathId, repeated } from '../http/validate.js';

const batchQuery = z.object({ id: repeated });
const MAX_IDS = 100;

export function eventRoutes(app: Api, _deps: Deps): void {
  app.get(
    '/conversation/:id/events/search',
    { schema: { params: idPath, querystring: eventSearchQuery } },
    async ({ params, query, owned }, reply) =>
      reply.type('application/json').send(await searchEvents(owned, { conversationId: pathId(params.id) }, query)),
  );

  app.get(
    '/conversation/:id/events/count',
    { schema: { params: idPath, querystring: eventCountQuery } },
    async ({ params, query, owned }) => countEvents(owned, { conversationId: pathId(params.id) }, query),
  );

  app.get(
    '/conversation/:id/events',
    { schema: { params: idPath, querystring: batchQuery } },
    async ({ params, query, owned }, reply) => {
      if (query.id.length > MAX_IDS)
        throw new ApiError('too_many_ids', { text: `Too many ids requested. Maximum is ${MAX_IDS}.` });
      const text = await eventsById(owned, { conversationId: pathId(params.id) }, query.id);
      return reply.type('application/json').send(text);
    },
  );
}
