/** Finds a plugin by name in the marketplaces that a conversation knows (`agent_context.registered_marketplaces`). */
import { join } from 'node:path';
import { z } from 'zod';
import { badRequest, HttpError, notFound } from '../http/errors.js';
import { entrySource, openMarketplace, type Marketplace } from '../services/marketplace.js';
import { pluginSource, type PluginSource } from '../services/plugins/source.js';
import { withSecrets } from '../tools/mcp/config.js';
import { staticValues, TIMEOUT_MS, type BringOptions } from './plugins.js';
import type { ConversationRecord } from './record.js';

const registration = pluginSource.extend({ name: z.string().min(1).max(256) });
type Registration = z.infer<typeof registration>;

const MAX_MARKETPLACES = 50;

/**
 * `name`, or `name@marketplace` when several have it. Throws HttpError: 404 when there is none, 400 when it cannot be told
 * which, or what is registered is wrong.
 */
export async function findPlugin(
  reference: string,
  record: ConversationRecord,
  options: BringOptions,
): Promise<PluginSource> {
  const at = reference.lastIndexOf('@');
  const [name, market] = at === -1 ? [reference, undefined] : [reference.slice(0, at), reference.slice(at + 1)];
  if (name === '' || market === '')
    throw badRequest("plugin_ref must be 'plugin-name' or 'plugin-name@marketplace-name'");
  const known = registered(record);
  if (market !== undefined && !known.some((each) => each.name === market))
    throw notFound(`Marketplace '${market}' is not registered`);
  const asked = known.filter((each) => market === undefined || each.name === market);
  const { found, problems } = await search(name, asked, options);
  if (found.length > 1)
    throw badRequest(
      `Plugin '${name}' is ambiguous; found in multiple marketplaces: ${found.map((each) => each.market).join(', ')}. Use '${name}@<marketplace-name>'.`,
    );
  const [only] = found;
  if (only !== undefined) return only.source;
  // The name may well be right: what failed is what the reader needs to know.
  if (problems.length === asked.length) throw badRequest(problems.join('; '));
  throw notFound(
    market === undefined
      ? `Plugin '${name}' not found in any registered marketplace`
      : `Plugin '${name}' not found in marketplace '${market}'`,
  );
}

function registered({ agent }: ConversationRecord): Registration[] {
  const given = agent.agent_context?.['registered_marketplaces'];
  if (!Array.isArray(given) || given.length === 0)
    throw badRequest(
      'No marketplaces registered. The conversation needs registered_marketplaces in its agent_context.',
    );
  const parsed = z.array(registration).max(MAX_MARKETPLACES).safeParse(given);
  if (!parsed.success) throw badRequest(`registered_marketplaces is wrong: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

async function search(name: string, marketplaces: readonly Registration[], { config, paths, secrets }: BringOptions) {
  const found: { market: string; source: PluginSource }[] = [];
  const problems: string[] = [];
  for (const { name: market, ...given } of marketplaces) {
    const opened = await openMarketplace(withSecrets(given, staticValues(secrets)), {
      cache: join(config.persistenceDir, 'plugins'),
      toLocal: (path) => paths.toLocal(path),
      env: config.commandEnv,
      timeoutMs: TIMEOUT_MS,
    }).catch((error: unknown) => {
      if (!(error instanceof HttpError)) throw error;
      problems.push(error.message);
      return undefined;
    });
    const source = opened === undefined ? undefined : sourceIn(opened, name);
    if (source !== undefined) found.push({ market, source });
  }
  return { found, problems };
}

function sourceIn(marketplace: Marketplace, name: string): PluginSource | undefined {
  const entry = marketplace.plugins.find((each) => each.name === name);
  if (entry === undefined) return undefined;
  const source = entrySource(marketplace, entry);
  if (typeof source === 'string') throw badRequest(`The plugin '${name}' cannot be used: ${source}`);
  return source;
}
