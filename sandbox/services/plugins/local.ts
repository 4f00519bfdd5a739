/** Plugins that are on this machine: of the project, of the user, and those installed. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstalledStore } from '../installed/store.js';
import { rootOf } from '../git/run.js';
import { loadPlugin, type Plugin } from './load.js';

const FOLDERS = ['.agents/plugins', '.openhands/plugins'];
/** Folder of what is installed, which is no plugin itself. */
const INSTALLED = 'installed';
const MAX_PLUGINS = 200;

export interface LocalOptions {
  projectDir: string | null;
  /** Null: none of the user's. */
  home: string | null;
  installed: Pick<InstalledStore, 'list'>;
}

/** The first of a name wins: the project's, then the user's, then installed ones that are enabled. Broken ones are left out. */
export async function localPlugins({ projectDir, home, installed }: LocalOptions): Promise<Plugin[]> {
  const top = projectDir === null ? undefined : await rootOf(projectDir).catch(() => undefined);
  const roots = [...new Set([projectDir, top, home])].filter((root) => root != null);
  const folders = (await Promise.all(roots.flatMap((root) => FOLDERS.map((at) => foldersIn(join(root, at)))))).flat();
  const enabled = home === null ? [] : (await installed.list()).filter((each) => each.enabled);
  const paths = [...folders, ...enabled.map((each) => each.install_path)].slice(0, MAX_PLUGINS);
  const found = new Map<string, Plugin>();
  for (const path of paths) {
    const plugin = await loadPlugin(path).catch(() => undefined);
    if (plugin !== undefined && !found.has(plugin.manifest.name)) found.set(plugin.manifest.name, plugin);
  }
  return [...found.values()];
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory() && entry.name !== INSTALLED && !entry.name.startsWith('.'))
    .map((entry) => join(folder, entry.name))
    .sort();
}
