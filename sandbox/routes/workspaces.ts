/** `/api/workspaces`: folders that clients of this server offer for new conversations. The folders themselves are left alone. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { badRequest, notFound } from '../http/errors.js';
import { requiredText } from '../http/query.js';
import { bodyOf, queryOf } from '../http/route.js';
import type { SavedFolder, StoredSettings } from '../services/settings.js';

const MOST = 1000;
const parent = z.looseObject({
  id: z.string().min(1).max(4096),
  name: z.string().min(1).max(256),
  path: z.string().min(1).max(4096),
});
export const workspacesSchema = z.looseObject({
  workspaces: z.array(parent.extend({ parentPath: z.string().max(4096).nullish() })).max(MOST),
});
export const parentsSchema = z.looseObject({ parents: z.array(parent).max(MOST) });

export function workspacesRoutes(app: FastifyInstance, { settings }: Context): void {
  const add = (list: 'workspaces' | 'workspaceParents', given: readonly SavedFolder[]) =>
    settings.update((stored) => {
      for (const { id, name, path, parentPath } of given) {
        if (stored[list].some((known) => known.path === path)) continue;
        if (stored[list].length >= MOST) throw badRequest(`At most ${MOST} folders can be saved`);
        stored[list].push({ id, name, path, ...(parentPath == null ? {} : { parentPath }) });
      }
    });
  const remove = async (list: 'workspaces' | 'workspaceParents', path: string, what: string) => {
    const stored = await settings.read();
    if (!stored[list].some((known) => known.path === path)) throw notFound(`${what} not found`);
    await settings.update((now) => (now[list] = now[list].filter((known) => known.path !== path)));
    return { deleted: true };
  };
  app.get('/api/workspaces', async () => formOf(await settings.read()));
  app.post('/api/workspaces', async (request) =>
    formOf(await add('workspaces', bodyOf(request, workspacesSchema).workspaces)),
  );
  app.delete('/api/workspaces', (request) => remove('workspaces', requiredText(queryOf(request), 'path'), 'Workspace'));
  app.post('/api/workspaces/parents', async (request) =>
    formOf(await add('workspaceParents', bodyOf(request, parentsSchema).parents)),
  );
  app.delete('/api/workspaces/parents', (request) =>
    remove('workspaceParents', requiredText(queryOf(request), 'path'), 'Workspace parent'),
  );
}

const formOf = ({ workspaces, workspaceParents }: StoredSettings) => ({ workspaces, workspaceParents });
