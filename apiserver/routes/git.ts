/** Repositories, branches and tasks at the user's git providers, asked with the tokens that the user stored. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { openProvider } from '../git/open.js';
import type { GitProvider, Place, Task } from '../git/types.js';
import { ApiError } from '../http/errors.js';
import { readCursor, sliceByOffset, writeCursor, type Page } from '../http/page.js';
import { limit, pageId } from '../http/validate.js';
import { readProviderTokens } from '../settings/secrets.js';
import { providerSchema } from '../start/request.js';

const provider = providerSchema;
const paging = { page_id: pageId, limit: limit(30) };
const query = z.string().max(500);
const SORTS = ['stars-desc', 'stars-asc', 'forks-desc', 'forks-asc', 'updated-desc', 'updated-asc'] as const;
/** `owner/name` with sub-groups: nothing that leads elsewhere in the provider's API. */
const repository = z.string().max(1000).regex(/^[\w.~-]+(\/[\w.~-]+){1,5}$/).refine((name) => !name.includes('..')); // prettier-ignore

const installationsQuery = z.object({ provider, ...paging });
const repositoriesQuery = z.object({
  provider,
  query: query.default(''),
  installation_id: z.string().max(200).optional(),
  sort_order: z.enum(SORTS).optional(),
  ...paging,
});
const branchesQuery = z.object({ provider, repository, query, ...paging });
const tasksQuery = z.object(paging);

type Asking = Pick<FastifyRequest, 'owned' | 'user'>;

export function gitRoutes(app: Api, deps: Deps): void {
  app.get('/git/installations/search', { schema: { querystring: installationsQuery } }, async (request) => {
    const wanted = request.query;
    const found = await (await providerOf(deps, request, wanted.provider)).installations();
    return sliceByOffset(found, wanted.page_id, wanted.limit);
  });

  app.get('/git/repositories/search', { schema: { querystring: repositoriesQuery } }, async (request) => {
    const wanted = request.query;
    const git = await providerOf(deps, request, wanted.provider);
    return await onePage(wanted, (place) =>
      git.repositories({ ...place, query: wanted.query.trim(), sort: wanted.sort_order }),
    );
  });

  app.get('/git/branches/search', { schema: { querystring: branchesQuery } }, async (request) => {
    const wanted = request.query;
    const git = await providerOf(deps, request, wanted.provider);
    return await onePage(wanted, (place) =>
      git.branches({ ...place, repository: wanted.repository, query: wanted.query.trim() }),
    );
  });

  app.get('/git/suggested-tasks/search', { schema: { querystring: tasksQuery } }, async (request) => {
    const wanted = request.query;
    const all = await everybody(deps, request);
    const lists = await Promise.all(all.map((git) => git.tasks().catch((error: unknown) => noTasks(deps, error))));
    return sliceByOffset(lists.flat(), wanted.page_id, wanted.limit);
  });

  app.get('/users/git-info', async (request) => {
    const [first] = await everybody(deps, request, 'provider_not_connected');
    return await first?.account();
  });
}

async function providerOf(deps: Deps, { owned, user }: Asking, name: string): Promise<GitProvider> {
  const tokens = await readProviderTokens(owned, deps.box, user.id);
  const stored = tokens[name];
  if (stored === undefined) throw new ApiError('no_provider_token');
  return openProvider(name, stored, deps.gitDispatcher);
}

/** All that the user connected and that can be asked. */
async function everybody(
  deps: Deps,
  { owned, user }: Asking,
  none: 'no_provider_token' | 'provider_not_connected' = 'no_provider_token',
): Promise<GitProvider[]> {
  const tokens = Object.entries(await readProviderTokens(owned, deps.box, user.id));
  if (tokens.length === 0) throw new ApiError(none);
  return tokens.map(([name, stored]) => openProvider(name, stored, deps.gitDispatcher));
}

/** One provider that is away hides nothing of the others. */
function noTasks({ log }: Deps, error: unknown): Task[] {
  log.info({ err: error }, 'a git provider told no tasks');
  return [];
}

/** The token of a page is its number at the provider. */
async function onePage<Item>(
  wanted: { page_id?: string | undefined; limit: number },
  ask: (place: Place) => Promise<{ items: Item[]; more: boolean }>,
): Promise<Page<Item>> {
  const [at = '1'] = readCursor(wanted.page_id, 1) ?? [];
  const page = /^[1-9][0-9]{0,5}$/.test(at) ? Number(at) : 1;
  const { items, more } = await ask({ page, size: wanted.limit });
  return { items, next_page_id: more ? writeCursor([String(page + 1)]) : null };
}
