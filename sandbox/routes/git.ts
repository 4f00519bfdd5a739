/** `/api/git`: what changed. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Context } from '../context.js';
import { optionalInt, optionalText, requiredText } from '../http/query.js';
import { paramOf, queryOf } from '../http/route.js';
import { commitChanges, gitChanges, gitCommits, gitDiff } from '../services/git.js';

export function gitRoutes(app: FastifyInstance, context: Context, prefix: string): void {
  const pathOf = (request: FastifyRequest) => context.paths.toLocal(requiredText(queryOf(request), 'path'));
  const refOf = (request: FastifyRequest) => optionalText(queryOf(request), 'ref');
  app.get(`${prefix}/git/changes`, (request) => gitChanges(pathOf(request), refOf(request)));
  app.get(`${prefix}/git/diff`, (request) => gitDiff(pathOf(request), refOf(request)));
  app.get(`${prefix}/git/commits`, (request) => {
    const query = queryOf(request);
    return gitCommits(pathOf(request), {
      limit: optionalInt(query, 'limit', { ge: 1, le: 200 }) ?? 50,
      skip: optionalInt(query, 'offset', { ge: 0 }) ?? 0,
    });
  });
  app.get(`${prefix}/git/commits/:sha/changes`, (request) => commitChanges(pathOf(request), paramOf(request, 'sha')));
}
