/** `/api/file/home` and `search_subdirs`: for a client that lets people choose a folder. */
import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Context } from '../context.js';
import { badRequest, HttpError, notFound } from '../http/errors.js';
import { optionalFlag, optionalText, pageLimit, requiredText } from '../http/query.js';
import { queryOf } from '../http/route.js';

const MAX_FAVORITES = 50;

export function browseRoutes(app: FastifyInstance, context: Context): void {
  app.get('/api/file/home', async (request) => {
    const home = context.paths.toClient(homedir());
    const hidden = optionalFlag(queryOf(request), 'include_hidden') ?? false;
    const names = await subfolders(homedir(), hidden).catch(() => []);
    return {
      home,
      favorites: names.slice(0, MAX_FAVORITES).map((name) => ({ label: name, path: join(home, name) })),
      locations: ['/workspace', '/'].map((path) => ({ label: path, path })),
    };
  });
  app.get('/api/file/search_subdirs', async (request) => {
    const query = queryOf(request);
    const path = requiredText(query, 'path');
    const limit = pageLimit(query);
    const hidden = optionalFlag(query, 'include_hidden') ?? false;
    if (!isAbsolute(path)) throw badRequest('Path must be absolute');
    const names = await subfolders(context.paths.toLocal(path), hidden);
    const page = optionalText(query, 'page_id');
    const start = Math.max(0, page === undefined ? 0 : names.findIndex((name) => name.toLowerCase() === page));
    const items = names.slice(start, start + limit).map((name) => ({ name, path: join(path, name) }));
    return { items, next_page_id: names[start + limit]?.toLowerCase() ?? null };
  });
}

/** Names in the order of the alphabet, links left out. Throws HttpError 400, 403, 404. */
async function subfolders(folder: string, hidden: boolean): Promise<string[]> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined) throw notFound('Directory not found');
  if (!found.isDirectory()) throw badRequest('Path is not a directory');
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => {
    throw new HttpError(403, 'Permission denied: this server may not read the folder');
  });
  const names = entries.filter((entry) => entry.isDirectory() && (hidden || !entry.name.startsWith('.')));
  return names.map(({ name }) => name).sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
}
