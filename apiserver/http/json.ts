/** Bodies: JSON only. An empty one is no body, a malformed one is a 422 as FastAPI has it. */
import type { FastifyInstance } from 'fastify';
import { ApiError } from './errors.js';

/** PostgreSQL's text and jsonb cannot hold it; nobody types it. Agents' events, which may, are stored as JSON text. */
const NUL = /\\u0000/;

export function jsonBodies(app: FastifyInstance, options: { allowNul: boolean } = { allowNul: false }): void {
  app.removeContentTypeParser(['application/json', 'text/plain']);
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseBody(String(body), options.allowNul));
    } catch (error) {
      done(error as Error);
    }
  });
  if (!options.allowNul) {
    app.addHook('onRequest', (request, _reply, done) => {
      done(
        request.url.includes('%00')
          ? new ApiError('bad_body', { text: 'Null characters are not allowed.' })
          : undefined,
      );
    });
  }
}

function parseBody(text: string, allowNul: boolean): unknown {
  if (text.trim() === '') return undefined;
  if (!allowNul && NUL.test(text)) throw new ApiError('bad_body', { text: 'Null characters are not allowed.' });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ApiError('validation', {
      issues: [{ type: 'json_invalid', loc: ['body'], msg: 'JSON decode error', input: null }],
      cause,
    });
  }
}
