/**
 * CORS for frontends that are served elsewhere and bring an API key. Cookies are never theirs: without `credentials` a
 * browser gives no answer to a request that has them.
 */
import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
const EXPOSED = ['retry-after', 'x-request-id', 'x-sandlot-error'];
const MAX_AGE_SECONDS = 600;

/** Must come before whatever judges requests: a preflight has neither key nor cookie. */
export async function allowOrigins(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  if (origins.length === 0) return;
  await app.register(cors, {
    origin: [...origins],
    methods: METHODS,
    exposedHeaders: EXPOSED,
    credentials: false,
    maxAge: MAX_AGE_SECONDS,
  });
}
