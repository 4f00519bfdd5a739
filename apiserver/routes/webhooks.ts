/** What agent servers post about themselves. The session key says whose word it is. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Sandbox } from '../../contracts/resources.js';
import type { Deps } from '../deps.js';
import { ApiError } from '../http/errors.js';
import { jsonBodies } from '../http/json.js';
import { hexId, parse } from '../http/validate.js';
import { eventSchema, infoSchema } from '../ingest/ingest.js';

const eventsBody = z.array(eventSchema).max(10_000);
/** An agent server's batch is at most 5 MiB; a single event of its may be larger. */
const BODY_LIMIT = 64 * 1024 * 1024;

/** The sandbox whose key the request carries. Throws ApiError 401. */
export function sandboxOfRequest({ directory }: Pick<Deps, 'directory'>, request: FastifyRequest): Sandbox {
  const key = request.headers['x-session-api-key'];
  if (typeof key !== 'string' || key === '') throw new ApiError('no_session_key');
  const sandbox = directory.byKey(key);
  if (sandbox === undefined) throw new ApiError('bad_session_key');
  return sandbox;
}

export function webhookRoutes(app: FastifyInstance, deps: Deps): void {
  void app.register(
    (scope, _options, done) => {
      jsonBodies(scope, { allowNul: true });
      scope.post('/conversations', { bodyLimit: BODY_LIMIT }, async (request) => {
        const sandbox = sandboxOfRequest(deps, request);
        const info = parse(infoSchema, request.body, 'body');
        if (hexId(info.id) === undefined) throw new ApiError('bad_conversation_id');
        if (sandbox.metadata.deletionTimestamp === undefined) await deps.ingest.conversation(sandbox, info);
        return { success: true };
      });

      scope.post<{ Params: { id: string } }>('/events/:id', { bodyLimit: BODY_LIMIT }, async (request) => {
        const sandbox = sandboxOfRequest(deps, request);
        const events = parse(eventsBody, request.body, 'body');
        const id = hexId(request.params.id);
        if (id === undefined) throw new ApiError('bad_conversation_id');
        const stored = await deps.ingest.events(sandbox, id, events);
        // A batch that came late or twice may stand for one that did not come at all.
        if (stored !== undefined && events.length > 0) deps.catchUp.mark(id);
        deps.metrics.events('webhook', stored ?? 0);
        return { success: true };
      });
      done();
    },
    { prefix: '/webhooks' },
  );
}
