/** The server's own settings store, for clients that keep their settings here: agent settings, and named secrets. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LlmConfig } from '../../contracts/agent/requests.js';
import type { ServerConfig } from '../config.js';
import { ensureFolder, writeFileAtomic } from '../conversations/record.js';
import { createMutex } from '../conversations/mutex.js';
import { seal, unseal } from '../conversations/secrets.js';
import type { AgentProfile } from './agent-profiles/schema.js';

export interface StoredSettings {
  agent: Record<string, unknown>;
  conversation: Record<string, unknown>;
  misc: Record<string, unknown>;
  activeProfile: string | null;
  /** Saved models by name, with their keys. */
  profiles: Record<string, LlmConfig>;
  agentProfiles: AgentProfile[];
  activeAgentProfileId: string | null;
  secrets: Record<string, { value: string; description: string | null }>;
  /** Folders that clients offer for new conversations, and folders whose subfolders they offer. */
  workspaces: SavedFolder[];
  workspaceParents: SavedFolder[];
}

export interface SavedFolder {
  id: string;
  name: string;
  path: string;
  parentPath?: string | null | undefined;
}

export interface Settings {
  read(): Promise<StoredSettings>;
  update(change: (settings: StoredSettings) => void): Promise<StoredSettings>;
}

const EMPTY: StoredSettings = {
  agent: {},
  conversation: {},
  misc: {},
  activeProfile: null,
  profiles: {},
  agentProfiles: [],
  activeAgentProfileId: null,
  secrets: {},
  workspaces: [],
  workspaceParents: [],
};
const FILE = 'settings.json';

/** Clients of older versions have the map one level deeper. */
export function mcpServersOf({ agent }: StoredSettings): Record<string, unknown> {
  const config = (agent['mcp_config'] ?? {}) as Record<string, unknown>;
  return (config['mcpServers'] as Record<string, unknown> | undefined) ?? config;
}

export function createSettings(config: () => ServerConfig): Settings {
  const exclusive = createMutex();
  let memory: StoredSettings | undefined;
  const path = () => join(config().persistenceDir, FILE);
  const read = async (): Promise<StoredSettings> => {
    if (memory !== undefined) return memory;
    const text = await readFile(path(), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    const key = config().secretKey;
    const opened =
      text === undefined || key === null ? undefined : unseal((JSON.parse(text) as { sealed: string }).sealed, [key]);
    return (memory = { ...structuredClone(EMPTY), ...(opened as Partial<StoredSettings> | undefined) });
  };
  return {
    read: () => exclusive(read),
    update: (change) =>
      exclusive(async () => {
        const settings = structuredClone(await read());
        change(settings);
        const key = config().secretKey;
        if (key !== null) {
          await ensureFolder(config().persistenceDir);
          await writeFileAtomic(path(), JSON.stringify({ sealed: seal(settings, key) }));
        }
        return (memory = settings);
      }),
  };
}
