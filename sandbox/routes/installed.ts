/** `/api/plugins` and `/api/skills`: what is installed for all conversations of the sandbox, and what may be. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { HttpError, notFound, ValidationError } from '../http/errors.js';
import { bodyOf, paramOf } from '../http/route.js';
import { filesBelow } from '../services/installed/copy.js';
import { INSTALLED_NAME, type Installed, type InstalledStore } from '../services/installed/store.js';
import { entrySource, isPlugin, type Marketplace } from '../services/marketplace.js';
import { loadPlugin, type Plugin } from '../services/plugins/load.js';
import { localPlugins } from '../services/plugins/local.js';
import { pluginSource, type PluginSource } from '../services/plugins/source.js';
import { skillsIn } from '../services/skills.js';

export const installSchema = pluginSource.extend({ force: z.boolean().default(false) });
export const enableSchema = z.looseObject({ enabled: z.boolean() });
export const listPluginsSchema = z.looseObject({
  load_user: z.boolean().default(true),
  load_project: z.boolean().default(true),
  project_dir: z.string().nullish(),
});

type Word = 'plugin' | 'skill';

export function installedRoutes(app: FastifyInstance, context: Context): void {
  const { extensions, paths } = context;
  const installedForm = (installed: Installed) => {
    const { ref: _asked, install_path: path, ...rest } = installed;
    return { ...rest, install_path: paths.toClient(path) };
  };
  storeRoutes(app, { word: 'skill', store: extensions.skills, form: async (each) => installedForm(each) });
  storeRoutes(app, {
    word: 'plugin',
    store: extensions.plugins,
    form: async (each) => ({ ...installedForm(each), ...(await contentsAt(each.install_path)) }),
  });
  pluginListRoutes(app, context);
  skillListRoutes(app, context);
}

interface Stored {
  word: Word;
  store: InstalledStore;
  form: (installed: Installed) => Promise<Record<string, unknown>>;
}

function storeRoutes(app: FastifyInstance, { word, store, form }: Stored): void {
  const base = `/api/${word}s`;
  const one = `${base}/installed/:${word}_name`;
  const nameOf = (request: FastifyRequest) => checkedName(paramOf(request, `${word}_name`), word);
  const missing = (name: string) => notFound(`${word === 'skill' ? 'Skill' : 'Plugin'} '${name}' is not installed`);

  app.post(`${base}/install`, async (request) => {
    const { force, ...source } = bodyOf(request, installSchema);
    return form(await store.install(source, { force }));
  });
  app.get(`${base}/installed`, async () => ({ [`${word}s`]: await Promise.all((await store.list()).map(form)) }));
  app.get(one, async (request) => {
    const name = nameOf(request);
    const found = await store.find(name);
    if (found === undefined) throw missing(name);
    return form(found);
  });
  app.patch(one, async (request) => {
    const name = nameOf(request);
    const { enabled } = bodyOf(request, enableSchema);
    if (!(await store.enable(name, enabled))) throw missing(name);
    return { name, enabled };
  });
  app.delete(one, async (request) => {
    const name = nameOf(request);
    if (!(await store.uninstall(name))) throw missing(name);
    return { message: `${word === 'skill' ? 'Skill' : 'Plugin'} '${name}' uninstalled` };
  });
  app.post(`${one}/refresh`, async (request) => {
    const name = nameOf(request);
    const found = await store.refresh(name);
    if (found === undefined) throw missing(name);
    return { message: `${word === 'skill' ? 'Skill' : 'Plugin'} '${name}' updated`, [word]: await form(found) };
  });
}

function checkedName(input: string, word: Word): string {
  if (INSTALLED_NAME.test(input) && input.length <= 255) return input;
  const pattern = INSTALLED_NAME.source;
  const msg = `String should match pattern '${pattern}'`;
  const loc = ['path', `${word}_name`];
  throw new ValidationError([{ type: 'string_pattern_mismatch', loc, msg, input, ctx: { pattern } }]);
}

function pluginListRoutes(app: FastifyInstance, { extensions, paths }: Context): void {
  app.post('/api/plugins', async (request) => {
    const { load_user, load_project, project_dir } = bodyOf(request, listPluginsSchema);
    const projectDir = load_project && project_dir != null ? paths.toLocal(project_dir) : null;
    const home = load_user ? extensions.home() : null;
    const found = await localPlugins({ projectDir, home, installed: extensions.plugins });
    const plugins = found.map(async (plugin) => {
      const { name, version, description } = plugin.manifest;
      return { name, version, description, path: paths.toClient(plugin.path), ...(await contentsOf(plugin)) };
    });
    return { plugins: await Promise.all(plugins) };
  });
  app.get('/api/plugins/marketplace', async () => {
    const marketplace = await catalogOf(extensions);
    const installed = new Set((await extensions.plugins.list()).map(({ name }) => name));
    const plugins = placed(marketplace, marketplace.plugins.filter(isPlugin)).map(async ({ name, description, at }) => {
      const here = at.source === marketplace.given.source ? `${marketplace.path}/${at.repo_path ?? ''}` : null;
      const contents = here === null ? { skills: null, files: null } : await contentsAt(here);
      const place = { source: at.source, ref: at.ref ?? null, repo_path: at.repo_path ?? null };
      return { name, description, ...place, installed: installed.has(name), path: here, ...contents };
    });
    return { plugins: await Promise.all(plugins) };
  });
}

function skillListRoutes(app: FastifyInstance, { extensions, log }: Context): void {
  app.get('/api/skills/marketplace', async () => {
    const marketplace = await catalogOf(extensions);
    const installed = new Set((await extensions.skills.list()).map(({ name }) => name));
    const seen = new Set<string>();
    const skills = placed(marketplace, [...marketplace.plugins, ...marketplace.skills]).flatMap((entry) => {
      const { name, description, at } = entry;
      if (seen.has(name)) return [];
      seen.add(name);
      return [{ name, description, source: inOneWord(at, marketplace), installed: installed.has(name) }];
    });
    return { skills };
  });
  app.get('/api/skills/catalog', async () => {
    const installed = (await extensions.skills.list()).filter(({ enabled }) => enabled);
    const mine = await skillsIn(installed.map(({ install_path }) => install_path));
    const marketplace = await extensions.catalog().catch((error: unknown) => {
      log.warn({ err: error }, 'the public skills cannot be fetched');
      return undefined;
    });
    const folders = marketplace === undefined ? [] : marketplace.skills.flatMap((entry) => {
      const at = entrySource(marketplace, entry);
      return typeof at !== 'string' && at.source === marketplace.given.source ? [`${marketplace.path}/${at.repo_path ?? ''}`] : [];
    }); // prettier-ignore
    const names = new Set(mine.map((skill) => skill['name']));
    const theirs = (await skillsIn(folders)).filter((skill) => !names.has(skill['name']));
    return {
      skills: [
        ...theirs.map((skill) => ({ ...skill, origin: 'public' })),
        ...mine.map((skill) => ({ ...skill, origin: 'user' })),
      ],
    };
  });
  app.post('/api/skills/sync', async () => {
    try {
      await extensions.catalog({ fresh: true });
      return { status: 'success', message: 'Skills repository synced successfully' };
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      return { status: 'error', message: error.message };
    }
  });
}

/** 502 when the network fails: the client asked for nothing wrong. */
async function catalogOf(extensions: Context['extensions']): Promise<Marketplace> {
  return extensions.catalog().catch((error: unknown) => {
    throw error instanceof HttpError ? new HttpError(502, error.message, { cause: error }) : error;
  });
}

/** Entries whose place cannot be told are left out. */
const placed = (marketplace: Marketplace, entries: Marketplace['plugins']) =>
  entries.flatMap((entry) => {
    const at = entrySource(marketplace, entry);
    return typeof at === 'string' ? [] : [{ name: entry.name, description: entry.description ?? null, at }];
  });

/** `github:owner/name@ref/path`, as `/install` takes it; for other addresses the folder that was fetched. */
function inOneWord({ source, ref, repo_path: inner }: PluginSource, { given, path }: Marketplace): string {
  if (inner == null || inner === '') return source;
  if (source.startsWith('github:') && !source.includes('@')) return `${source}${ref == null ? '' : `@${ref}`}/${inner}`;
  return source === given.source ? `${path}/${inner}` : source;
}

async function contentsOf(plugin: Plugin) {
  const skills = plugin.skills.map((skill) => ({ name: skill['name'], description: skill['description'] ?? null }));
  return { skills, files: await filesBelow(plugin.path) };
}

/** Nulls for one that cannot be read. */
const contentsAt = async (path: string) => loadPlugin(path).then(contentsOf, () => ({ skills: null, files: null }));
