/** CORS: pages of this machine and of the configured origins may call, with credentials, every method and header. */
import type { FastifyInstance } from 'fastify';
import type { Context } from '../context.js';

const LOCAL = /^https?:\/\/(localhost|127\.0\.0\.1)(:\d+)?$/;

export function originAllowed(context: Context, origin: string): boolean {
  const { corsOrigins, corsOriginRegex } = context.config;
  if (LOCAL.test(origin) || corsOrigins.includes(origin) || corsOrigins.includes('*')) return true;
  return corsOriginRegex !== null && new RegExp(`^(?:${corsOriginRegex})$`).test(origin);
}

const METHODS = 'DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT';

export function addCors(app: FastifyInstance, context: Context): void {
  app.addHook('onRequest', async (request, reply) => {
    const { origin } = request.headers;
    if (origin === undefined) return;
    const allowed = originAllowed(context, origin);
    if (allowed) {
      void reply.header('access-control-allow-origin', origin);
      void reply.header('access-control-allow-credentials', 'true');
      void reply.header('vary', 'Origin');
    }
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return;
    if (!allowed) return reply.code(400).type('text/plain').send('Disallowed CORS origin');
    void reply.header('access-control-allow-methods', METHODS);
    void reply.header('access-control-allow-headers', request.headers['access-control-request-headers'] ?? '*');
    void reply.header('access-control-max-age', '600');
    return reply.code(200).type('text/plain').send('OK');
  });
}
