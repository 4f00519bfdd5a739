/** `/api/git`: what changed. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Context } from '../context.js';
import { badRequest, ValidationError } from '../http/errors.js';
import { optionalInt, optionalText, requiredText } from '../http/query.js';
import { paramOf, queryOf } from '../http/route.js';
import { commitChanges, gitChanges, SHA } from '../services/git/changes.js';
import { gitCommits } from '../services/git/commits.js';
import { commitDiff, gitDiff } from '../services/git/diff.js';

export function gitRoutes(app: FastifyInstance, context: Context, prefix: string): void {
  const pathOf = (request: FastifyRequest) => context.paths.toLocal(requiredText(queryOf(request), 'path'));
  const refOf = (request: FastifyRequest) => optionalText(queryOf(request), 'ref');
  app.get(`${prefix}/git/changes`, (request) => gitChanges(pathOf(request), refOf(request)));
  app.get(`${prefix}/git/diff`, (request) => {
    const commit = optionalText(queryOf(request), 'commit');
    if (commit === undefined) return gitDiff(pathOf(request), refOf(request));
    if (refOf(request) !== undefined) throw badRequest("'ref' and 'commit' are mutually exclusive");
    return commitDiff(pathOf(request), checkedSha(commit, ['query', 'commit']));
  });
  app.get(`${prefix}/git/commits`, (request) => {
    const query = queryOf(request);
    return gitCommits(pathOf(request), {
      limit: optionalInt(query, 'limit', { ge: 1, le: 200 }) ?? 50,
      skip: optionalInt(query, 'offset', { ge: 0 }) ?? 0,
    });
  });
  app.get(`${prefix}/git/commits/:sha/changes`, (request) =>
    commitChanges(pathOf(request), checkedSha(paramOf(request, 'sha'), ['path', 'sha'])),
  );
}

function checkedSha(input: string, loc: string[]): string {
  if (SHA.test(input)) return input;
  const msg = `String should match pattern '${SHA.source}'`;
  throw new ValidationError([{ type: 'string_pattern_mismatch', loc, msg, input, ctx: { pattern: SHA.source } }]);
}
