/** Marketplaces: repositories that list plugins and skills (`marketplace.json` of `.plugin/` or `.claude-plugin/`). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { badRequest } from '../http/errors.js';
import { fetchPlugin, type FetchOptions } from './plugins/fetch.js';
import { placeOf, type PluginSource } from './plugins/source.js';

const entrySchema = z.looseObject({
  name: z.string().min(1).max(256),
  description: z.string().nullish(),
  source: z.union([
    z.string().min(1).max(4096),
    z.looseObject({
      source: z.string(),
      repo: z.string().nullish(),
      url: z.string().nullish(),
      ref: z.string().nullish(),
      path: z.string().nullish(),
    }),
  ]),
});
export type MarketplaceEntry = z.infer<typeof entrySchema>;

const manifestSchema = z.looseObject({
  name: z.string(),
  plugins: z.array(entrySchema).max(5000).default([]),
  skills: z.array(entrySchema).max(5000).default([]),
});

export interface Marketplace {
  /** Where it was fetched to. */
  path: string;
  /** Where it came from. */
  given: PluginSource;
  plugins: MarketplaceEntry[];
  skills: MarketplaceEntry[];
}

const MANIFESTS = ['.plugin/marketplace.json', '.claude-plugin/marketplace.json', 'marketplaces/default.json'];
const MAX_BYTES = 4 << 20;

/** Throws HttpError 400 that says why it cannot be used. */
export async function openMarketplace(given: PluginSource, options: FetchOptions): Promise<Marketplace> {
  const { path } = await fetchPlugin(given, { ...options, word: 'marketplace' });
  for (const name of MANIFESTS) {
    const text = await readFile(join(path, name), 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const parsed = manifestSchema.safeParse(jsonOf(text));
    if (!parsed.success) throw badRequest(`${name} of the marketplace is wrong: ${z.prettifyError(parsed.error)}`);
    return { path, given, plugins: parsed.data.plugins, skills: parsed.data.skills };
  }
  throw badRequest(`The marketplace has no ${MANIFESTS.slice(0, 2).join(' and no ')}`);
}

function jsonOf(text: string): unknown {
  try {
    return text.length > MAX_BYTES ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

/**
 * Where an entry lies, as `/install` and `plugins` of a conversation take it; a text says what is wrong with it. What lies
 * in the marketplace's own repository is named there, so that it can be refreshed. Pure.
 */
export function entrySource({ given }: Marketplace, { source }: MarketplaceEntry): PluginSource | string {
  if (typeof source !== 'string') {
    const { ref = null, path = null } = source;
    if (source.source === 'github' && source.repo != null) return { source: `github:${source.repo}`, ref, repo_path: path }; // prettier-ignore
    if (source.source === 'url' && source.url != null) return { source: source.url, ref, repo_path: path };
    return `its source is of the unknown type ${source.source.slice(0, 100)}`;
  }
  if (source.startsWith('github:') || source.includes('://')) return { source, ref: null, repo_path: null };
  const inner = source.replace(/^(?:\.\/)+/, '');
  if (inner.startsWith('/') || inner.startsWith('~') || inner.split('/').includes('..'))
    return 'its source must be a path inside the marketplace';
  const place = placeOf(given);
  if (typeof place === 'string') return place;
  if (place.at === 'folder') return { source: join(place.path, given.repo_path ?? '', inner), ref: null, repo_path: null }; // prettier-ignore
  return { source: given.source, ref: given.ref ?? null, repo_path: join(place.path, inner) };
}

/** Whether it is a plugin: the catalog lists both, and skills have manifests, too. */
export const isPlugin = ({ source }: MarketplaceEntry): boolean =>
  typeof source === 'string' ? source.startsWith('./plugins/') : (source.path ?? '').startsWith('plugins/');
