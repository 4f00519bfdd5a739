/** The stores of this sandbox, and the catalog of what may be installed. */
import { join } from 'node:path';
import type { ServerConfig } from '../../config.js';
import { openMarketplace, type Marketplace } from '../marketplace.js';
import type { FetchOptions } from '../plugins/fetch.js';
import { PLUGINS, SKILLS } from './kinds.js';
import { createInstalled, type InstalledStore } from './store.js';

export interface Extensions {
  plugins: InstalledStore;
  skills: InstalledStore;
  /** The marketplace that all know (`SANDLOT_EXTENSIONS`). Throws HttpError 400 when it cannot be fetched. */
  catalog(how?: { fresh: boolean }): Promise<Marketplace>;
  fetchOptions(): FetchOptions;
  home(): string | null;
}

export interface ExtensionsOptions {
  config: () => ServerConfig;
  toLocal: (path: string) => string;
  /** Milliseconds. */
  clock: { now(): number; monotonic(): number };
}

const FETCH_MS = 60_000;
/** Opening a page of the client does not ask the network each time. */
const CATALOG_MS = 300_000;

export function createExtensions({ config, toLocal, clock }: ExtensionsOptions): Extensions {
  const home = () => config().commandEnv['HOME'] ?? null;
  const fetchOptions = (): FetchOptions => ({
    cache: join(config().persistenceDir, 'plugins'),
    toLocal,
    env: config().commandEnv,
    timeoutMs: FETCH_MS,
  });
  const parts = { home, fetch: fetchOptions, now: () => clock.now() };
  let known: { at: number; marketplace: Promise<Marketplace> } | undefined;
  return {
    plugins: createInstalled({ ...parts, kind: PLUGINS }),
    skills: createInstalled({ ...parts, kind: SKILLS }),
    home,
    fetchOptions,
    catalog({ fresh } = { fresh: false }) {
      const now = clock.monotonic();
      if (known !== undefined && !fresh && now - known.at < CATALOG_MS) return known.marketplace;
      const asked = { at: now, marketplace: openMarketplace(config().extensions, fetchOptions()) };
      known = asked;
      // A failure is not kept: the network may be back.
      asked.marketplace.catch(() => {
        if (known === asked) known = undefined;
      });
      return asked.marketplace;
    },
  };
}
