/** What a sandbox may read of its user's secrets, with its own session key. */
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { LOCAL_USER } from '../identity/identity.js';
import { ownedBy } from '../db/owned.js';
import { secretPlace } from '../settings/secrets.js';
import { statusOf } from '../sandboxes/status.js';
import { sandboxOfRequest } from './webhooks.js';

export function sandboxSecretRoutes(app: Api, deps: Deps): void {
  app.get<{ Params: { id: string } }>('/sandboxes/:id/settings/secrets', async (request) => {
    const { db } = access(deps, request, request.params.id);
    const rows = await db.secret.findMany({ orderBy: { name: 'asc' }, take: 500 });
    return { secrets: rows.map(({ name, description }) => ({ name, description })) };
  });

  app.get<{ Params: { id: string; name: string } }>('/sandboxes/:id/settings/secrets/:name', async (request, reply) => {
    const { db, owner } = access(deps, request, request.params.id);
    const row = await db.secret.findFirst({ where: { name: request.params.name } });
    if (row === null) throw new ApiError('secret_not_found');
    return reply.type('text/plain; charset=utf-8').send(deps.box.open(row.value, secretPlace(owner, row.name)));
  });
}

function access(deps: Deps, request: Parameters<typeof sandboxOfRequest>[1], id: string) {
  const sandbox = sandboxOfRequest(deps, request);
  if (sandbox.metadata.name !== id) throw new ApiError('other_sandbox');
  const owner = sandbox.spec.owner ?? '';
  // In single-user mode sandboxes have no user that clients know of; secrets are pushed at the start instead.
  if (owner === '' || owner === LOCAL_USER.id) throw new ApiError('no_sandbox_user');
  if (statusOf(sandbox) !== 'RUNNING') throw new ApiError('bad_session_key');
  return { owner, db: ownedBy(deps.db.prisma, owner) };
}
