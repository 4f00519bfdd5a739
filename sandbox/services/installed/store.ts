/** Installs plugins or skills, and tells which there are. The folder says what is installed, its index where from. */
import { mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { createMutex } from '../../conversations/mutex.js';
import { ensureFolder, writeFileAtomic } from '../../conversations/record.js';
import { badRequest, HttpError } from '../../http/errors.js';
import { isFolder } from '../git/run.js';
import { fetchPlugin, type FetchOptions } from '../plugins/fetch.js';
import { shownSource, type PluginSource } from '../plugins/source.js';
import { copyFolder } from './copy.js';
import type { Facts, Kind } from './kinds.js';

export interface Installed extends Facts {
  enabled: boolean;
  /** Without a password: one that is private is installed anew, not refreshed. */
  source: string;
  ref: string | null;
  repo_path: string | null;
  resolved_ref: string | null;
  /** ISO 8601. */
  installed_at: string;
  install_path: string;
}

export interface InstalledStore {
  list(): Promise<Installed[]>;
  find(name: string): Promise<Installed | undefined>;
  /** Throws HttpError: 400 when it cannot be fetched, 409 when it is there, 422 when it is none. */
  install(source: PluginSource, how: { force: boolean }): Promise<Installed>;
  /** The newest of what was asked for; undefined when it is not installed. A failure leaves what is there. */
  refresh(name: string): Promise<Installed | undefined>;
  /** False when it is not installed. */
  enable(name: string, enabled: boolean): Promise<boolean>;
  uninstall(name: string): Promise<boolean>;
}

export interface InstalledOptions {
  kind: Kind;
  /** The user's home; null without one. */
  home: () => string | null;
  fetch: () => FetchOptions;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** Such a name leads nowhere else. */
export const INSTALLED_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const NAME_LENGTH = 255;
const MAX_INSTALLED = 200;
const INDEX = '.installed.json';

const noteSchema = z.object({
  enabled: z.boolean(),
  source: z.string(),
  ref: z.string().nullable(),
  repo_path: z.string().nullable(),
  resolved_ref: z.string().nullable(),
  installed_at: z.string(),
});
type Note = z.infer<typeof noteSchema>;
const indexSchema = z.object({ extensions: z.record(z.string(), noteSchema) });
/** For a folder that somebody put there by hand. */
const UNNOTED: Note = { enabled: true, source: 'local', ref: null, repo_path: null, resolved_ref: null, installed_at: '1970-01-01T00:00:00Z' }; // prettier-ignore

const isName = (name: string): boolean => name.length <= NAME_LENGTH && INSTALLED_NAME.test(name);

export function createInstalled({ kind, home, fetch, now }: InstalledOptions): InstalledStore {
  const exclusive = createMutex();
  const folder = (): string => {
    const at = home();
    if (at === null) throw badRequest(`The sandbox has no home folder (HOME) to keep a ${kind.word} in`);
    return join(at, kind.folder);
  };
  const notes = async (): Promise<Record<string, Note>> => readIndex(join(folder(), INDEX));
  const note = (all: Record<string, Note>) =>
    writeFileAtomic(join(folder(), INDEX), JSON.stringify({ extensions: all }, null, 2));
  const open = (name: string, known: Record<string, Note>) => openOne(kind, folder(), { name, known });

  const install = async (given: PluginSource, how: { force: boolean; name?: string }): Promise<Installed> => {
    const fetched = await fetchPlugin(given, { ...fetch(), word: kind.word });
    const { name } = await validFacts(kind, fetched.path);
    if (how.name !== undefined && name !== how.name)
      throw new HttpError(422, `The source holds the ${kind.word} '${name}' now, not '${how.name}'`);
    return exclusive(async () => {
      const known = await notes();
      if ((await isFolder(join(folder(), name))) && !how.force)
        throw new HttpError(409, `${capital(kind.word)} already installed. Use force=true to overwrite.`);
      if (Object.keys(known).length >= MAX_INSTALLED && known[name] === undefined)
        throw badRequest(`There are ${MAX_INSTALLED} installed already; uninstall one first`);
      await ensureFolder(folder());
      await replaceFolder(folder(), name, fetched.path);
      known[name] = {
        enabled: known[name]?.enabled ?? true,
        source: shownSource(given.source),
        ref: given.ref ?? null,
        repo_path: given.repo_path ?? null,
        resolved_ref: fetched.resolvedRef,
        installed_at: new Date(now()).toISOString(),
      };
      await note(known);
      return (await open(name, known)) as Installed;
    });
  };
  const find = async (name: string) => (home() === null ? undefined : open(name, await notes()));

  return {
    find,
    install,
    async list() {
      const at = home();
      return at === null ? [] : installedIn(kind, at);
    },
    async refresh(name) {
      const known = await find(name);
      if (known === undefined) return undefined;
      const { source, ref, repo_path } = known;
      return install({ source, ref, repo_path }, { force: true, name });
    },
    enable: (name, enabled) =>
      exclusive(async () => {
        const there = await find(name);
        if (there === undefined) return false;
        const known = await notes();
        await note({ ...known, [name]: { ...(known[name] ?? UNNOTED), enabled } });
        return true;
      }),
    uninstall: (name) =>
      exclusive(async () => {
        if ((await find(name)) === undefined) return false;
        await rm(join(folder(), name), { recursive: true, force: true });
        const { [name]: _gone, ...rest } = await notes();
        await note(rest);
        return true;
      }),
  };
}

/** All that is installed below a home, by name. */
export async function installedIn(kind: Kind, home: string): Promise<Installed[]> {
  const folder = join(home, kind.folder);
  const names = await readdir(folder).catch(() => []);
  if (names.length === 0) return [];
  const known = await readIndex(join(folder, INDEX));
  const some = names.filter(isName).sort().slice(0, MAX_INSTALLED);
  const found = await Promise.all(some.map((name) => openOne(kind, folder, { name, known })));
  return found.filter((each) => each !== undefined);
}

async function openOne(
  kind: Kind,
  folder: string,
  { name, known }: { name: string; known: Record<string, Note> },
): Promise<Installed | undefined> {
  const path = join(folder, name);
  if (!isName(name) || !(await isFolder(path))) return undefined;
  // One that was damaged since is still listed, so that it can be uninstalled.
  const facts = await kind.read(path).catch(() => ({ version: '', description: '' }));
  return { ...facts, name, ...(known[name] ?? UNNOTED), install_path: path };
}

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

async function validFacts(kind: Kind, path: string): Promise<Facts> {
  const facts = await kind.read(path).catch((error: unknown) => {
    throw error instanceof HttpError ? new HttpError(422, `Invalid ${kind.word}: ${error.message}`) : error;
  });
  if (isName(facts.name)) return facts;
  const shown = facts.name.slice(0, 100);
  throw new HttpError(422, `Invalid ${kind.word}: its name '${shown}' must be lowercase letters and digits with single hyphens`); // prettier-ignore
}

/** Puts a copy of `from` in the place of `folder/name`; what is there stays when that fails. */
async function replaceFolder(folder: string, name: string, from: string): Promise<void> {
  const aside = await mkdtemp(join(folder, '.new-'));
  const path = join(folder, name);
  try {
    await copyFolder(from, join(aside, 'new'));
    const before = await isFolder(path);
    if (before) await rename(path, join(aside, 'old'));
    await rename(join(aside, 'new'), path).catch(async (error: unknown) => {
      if (before) await rename(join(aside, 'old'), path);
      throw error;
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

/** An index that cannot be read means that nothing is noted. */
async function readIndex(path: string): Promise<Record<string, Note>> {
  const text = await readFile(path, 'utf8').catch(() => '');
  try {
    return indexSchema.parse(JSON.parse(text)).extensions;
  } catch {
    return {};
  }
}
