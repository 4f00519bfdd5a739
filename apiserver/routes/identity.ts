import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import type { User } from '../identity/identity.js';

/** `GET /api/identity`: how one logs in here, and who one is; null for nobody, so that a page can ask without an error. */
export function identityRoutes(app: Api, { config, db, identify }: Deps): void {
  app.get('/api/identity', async (request, reply) => {
    const { mode } = config.identity;
    const user = await Promise.resolve(identify(request, reply)).catch((error: unknown) => {
      if (error instanceof ApiError && error.status < 500) return undefined;
      throw error;
    });
    return {
      mode,
      login_url: mode === 'oidc' ? '/oauth/login' : null,
      user: user === undefined ? null : await shown(user),
    };
  });

  async function shown({ id, roles, via, scopes }: User): Promise<Record<string, unknown>> {
    const row = await db.prisma.user.findUnique({ where: { id }, select: { email: true, name: true } });
    return { id, roles, via, scopes, email: row?.email ?? null, name: row?.name ?? null };
  }
}
