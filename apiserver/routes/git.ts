/** Listings of git providers: not offered yet, which a user without a provider token cannot tell from the real thing. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Deps } from '../deps.js';
import { ApiError } from '../http/errors.js';
import { parse } from '../http/validate.js';

const any = z.string().max(1000);
const ROUTES: [path: string, query: z.ZodObject][] = [
  ['/git/installations/search', z.object({ provider: any })],
  ['/git/repositories/search', z.object({ provider: any })],
  ['/git/branches/search', z.object({ provider: any, repository: any, query: any })],
  ['/git/suggested-tasks/search', z.object({})],
];

export function gitRoutes(app: FastifyInstance, _deps: Deps): void {
  for (const [path, schema] of ROUTES) {
    app.get(path, ({ query }) => {
      parse(schema, query, 'query');
      throw new ApiError('no_provider_token');
    });
  }
}
