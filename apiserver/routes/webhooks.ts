/** What agent servers post about themselves. The session key says whose word it is. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Sandbox } from '../../contracts/resources.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { jsonBodies } from '../http/json.js';
import { hexId, idPath } from '../http/validate.js';
import { eventSchema, infoSchema } from '../ingest/ingest.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose key the request carries; in the scope of webhooks only. */
    sandbox: Sandbox;
  }
}

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

export function webhookRoutes(app: Api, deps: Deps): void {
  void app.register(
    (scope: Api, _options, done) => {
      jsonBodies(scope, { allowNul: true });
      // Asked before the body is read: strangers get no 64 MiB.
      scope.decorateRequest('sandbox', null as unknown as Sandbox);
      scope.addHook('onRequest', async (request) => {
        request.sandbox = sandboxOfRequest(deps, request);
      });
      scope.post('/conversations', { bodyLimit: BODY_LIMIT, schema: { body: infoSchema } }, async (request) => {
        const { sandbox, body: info } = request;
        if (hexId(info.id) === undefined) throw new ApiError('bad_conversation_id');
        if (sandbox.metadata.deletionTimestamp === undefined) await deps.ingest.conversation(sandbox, info);
        return { success: true };
      });

      const ofEvents = { params: idPath, body: eventsBody };
      scope.post('/events/:id', { bodyLimit: BODY_LIMIT, schema: ofEvents }, async (request) => {
        const { sandbox, body: events } = request;
        const id = hexId(request.params.id);
        if (id === undefined) throw new ApiError('bad_conversation_id');
        const stored = await deps.ingest.events(sandbox, id, events);
        // A batch that came late or twice may stand for one that did not come at all.
        if (stored !== undefined && events.length > 0) deps.catchUp.mark(id);
        // Its announcement did not come, or comes later.
        if (stored === undefined) deps.catchUp.markSandbox(sandbox.metadata.name);
        deps.metrics.events('webhook', stored ?? 0);
        return { success: true };
      });
      done();
    },
    { prefix: '/webhooks' },
  );
}
