/** Plugins that a client names with a new conversation: their skills, hooks, servers and agents become part of it. */
import { join } from 'node:path';
import type { ServerConfig } from '../config.js';
import { hookConfigSchema, mergeHooks } from '../services/hooks.js';
import { fetchPlugin, type Fetched } from '../services/plugins/fetch.js';
import { loadPlugin, type Plugin } from '../services/plugins/load.js';
import { shownSource, type PluginSource } from '../services/plugins/source.js';
import { withSecrets } from '../tools/mcp/config.js';
import type { ConversationRecord } from './record.js';
import type { SecretSource } from './secrets.js';
import type { PathMap } from './workspace.js';

export interface Brought {
  given: PluginSource;
  fetched: Fetched;
  plugin: Plugin;
}

export interface BringOptions {
  config: ServerConfig;
  paths: PathMap;
  /** `${NAME}` in a source stands for the secret of that name. */
  secrets: Readonly<Record<string, SecretSource>>;
  timeoutMs?: number;
}

export const TIMEOUT_MS = 60_000;

/** Those that are known without asking anybody. Pure. */
export const staticValues = (secrets: Readonly<Record<string, SecretSource>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(secrets).flatMap(([name, source]) =>
      source.kind === 'StaticSecret' && typeof source.value === 'string' ? [[name, source.value]] : [],
    ),
  );

/** Fetches and reads them, in order. Throws HttpError 400 for the first that cannot be used. */
export async function bringPlugins(given: readonly PluginSource[], options: BringOptions): Promise<Brought[]> {
  const { config, paths, secrets } = options;
  const values = staticValues(secrets);
  const brought: Brought[] = [];
  for (const each of given) {
    const fetched = await fetchPlugin(withSecrets(each, values), {
      cache: join(config.persistenceDir, 'plugins'),
      toLocal: (path) => paths.toLocal(path),
      env: config.commandEnv,
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    });
    brought.push({ given: each, fetched, plugin: await loadPlugin(fetched.path) });
  }
  return brought;
}

/**
 * A record with them in it; what a plugin brings wins over what has the same name. Those of the sandbox (`local`) give way:
 * to plugins of the same name, and to skills and servers of the client. Pure.
 */
export function withPlugins(
  record: ConversationRecord,
  brought: readonly Brought[],
  local: readonly Plugin[] = [],
): ConversationRecord {
  const named = brought.map(({ plugin }) => plugin);
  const ambient = local.filter(({ manifest }) => !named.some((plugin) => plugin.manifest.name === manifest.name));
  const plugins = [...ambient, ...named];
  if (plugins.length === 0) return record;
  // Without a context, the skills of the repository and the user are given: they stay.
  const context = record.agent.agent_context ?? { load_project_skills: true, load_user_skills: true };
  const skills = new Map<unknown, Record<string, unknown>>();
  const skillsOf = (those: readonly Plugin[]) => those.flatMap((plugin) => plugin.skills);
  for (const skill of [...skillsOf(ambient), ...(context.skills ?? []), ...skillsOf(named)])
    skills.set(skill['name'], skill);
  const hooks = [
    ...(record.hookConfig === null ? [] : [hookConfigSchema.parse(record.hookConfig)]),
    ...plugins.flatMap((plugin) => plugin.hooks ?? []),
  ];
  const config = record.agent.mcp_config;
  const servers = Object.assign({}, ...ambient.map((plugin) => plugin.mcpServers)) as Record<string, unknown>;
  Object.assign(servers, config['mcpServers'] ?? config, ...named.map((plugin) => plugin.mcpServers));
  return {
    ...record,
    agent: {
      ...record.agent,
      agent_context: { ...context, skills: [...skills.values()] },
      mcp_config: servers,
    },
    hookConfig: mergeHooks(hooks),
    agentDefinitions: [...plugins.flatMap((plugin) => plugin.agents), ...(record.agentDefinitions ?? [])],
    plugins: [
      ...record.plugins,
      ...brought.map(({ given, fetched }) => ({
        source: shownSource(given.source),
        resolved_ref: fetched.resolvedRef,
        repo_path: given.repo_path ?? null,
        original_ref: given.ref ?? null,
      })),
    ],
  };
}
