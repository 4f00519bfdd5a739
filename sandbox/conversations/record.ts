/** What is known of a conversation beside its events; kept in `meta.json` of its folder, written atomically. */
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ExecutionStatus } from '../../contracts/agent/events.js';
import type { AgentConfig, ConfirmationPolicy, SecurityAnalyzer } from '../../contracts/agent/requests.js';
import type { ConversationStats } from '../../contracts/agent/stats.js';
import type { LaunchedAgentProfile } from '../services/agent-profiles/schema.js';
import type { GoalStatus } from './goal.js';
import { redactAgent } from './agent.js';
import { seal, unseal, type SecretSource } from './secrets.js';

export interface ConversationRecord {
  id: string;
  /** Microseconds since 1970. */
  createdAt: number;
  updatedAt: number;
  /** With its secrets; on disk they are sealed. */
  agent: AgentConfig;
  secrets: Record<string, SecretSource>;
  /** As the client named it. */
  workspace: { working_dir: string; kind: string } & Record<string, unknown>;
  maxIterations: number;
  /** US dollars; absent: no limit. */
  maxBudget?: number;
  stuckDetection: boolean;
  confirmationPolicy: ConfirmationPolicy;
  securityAnalyzer: SecurityAnalyzer | null;
  hookConfig: Record<string, unknown> | null;
  title: string | null;
  autotitle: boolean;
  /** The saved model that titles are asked of; absent: the agent's. */
  titleProfile?: string;
  tags: Record<string, string>;
  userId: string | null;
  clientTools: unknown[];
  toolModules: Record<string, string>;
  agentState: Record<string, unknown>;
  activatedSkills: string[];
  blockedActions: Record<string, string>;
  blockedMessages: Record<string, string>;
  forkedFrom: { conversationId: string; eventId: string | null } | null;
  parentId: string | null;
  childIds: string[];
  /** A sub-agent's conversation: what its parent calls it, and its kind. Absent: a client made it. */
  task?: { name: string; type: string };
  /** Definitions of sub-agents that the client brought (AgentDefinition). */
  agentDefinitions?: unknown[];
  status: ExecutionStatus;
  lastUserMessageId: string | null;
  /** Last event of the active branch. */
  leafId: string | null;
  /** The leaf was moved before the first event (an empty head, unlike a new conversation). */
  navigatedToRoot?: boolean;
  stats: ConversationStats;
  /** Bytes of the log that this record knows of; what lies behind is read again at opening. */
  logLength: number;
  plugins: unknown[];
  /** The agent profile that it was started with; absent: none. */
  launched?: LaunchedAgentProfile;
  /** The goal that is pursued, or was last. */
  goal?: GoalStatus;
}

export const META = 'meta.json';
export const LOG = 'events.log';

interface Stored extends Omit<ConversationRecord, 'secrets'> {
  version: 1;
  /** Agent and secrets, encrypted; absent without a secret key. */
  sealed?: string;
  secrets: Record<string, SecretSource>;
}

/** Reads a record; undefined when the folder holds none. Secrets that no key opens come back empty, and `lostSecrets` says so. */
export async function readRecord(
  folder: string,
  secretKeys: readonly string[],
): Promise<{ record: ConversationRecord; lostSecrets: boolean } | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, META), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const { sealed, version: _version, ...record } = JSON.parse(text) as Stored;
  if (sealed === undefined) return { record, lostSecrets: false };
  const open = unseal(sealed, secretKeys) as Pick<ConversationRecord, 'agent' | 'secrets'> | undefined;
  return { record: { ...record, ...open }, lostSecrets: open === undefined };
}

/** Writes a record: whole or not at all, on disk when it returns. */
export async function writeRecord(folder: string, record: ConversationRecord, secretKey: string | null): Promise<void> {
  const { agent, secrets, ...plain } = record;
  const hidden: Record<string, SecretSource> = Object.fromEntries(
    Object.entries(secrets).map(([name, source]) => [
      name,
      source.kind === 'StaticSecret' ? { ...source, value: null } : { ...source, headers: {} },
    ]),
  );
  const stored: Stored = {
    version: 1,
    ...plain,
    agent: redactAgent(agent, null),
    secrets: hidden,
    ...(secretKey === null ? {} : { sealed: seal({ agent, secrets }, secretKey) }),
  };
  await writeFileAtomic(join(folder, META), JSON.stringify(stored));
}

let temporary = 0;

/**
 * Writes a file so that readers see the old content or the new. `durable` (the default) also after a power cut; without,
 * it is cheaper, and only a killed process loses nothing.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  options: { durable?: boolean } = {},
): Promise<void> {
  const aside = `${path}.${process.pid}.${temporary++}.tmp`;
  const file = await open(aside, 'w', 0o600);
  try {
    await file.writeFile(content);
    if (options.durable !== false) await file.datasync();
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await rename(aside, path);
}

/** Makes a folder and those above it. (Node's recursive mkdir never ends in places where nothing can be made, such as /proc.) */
export async function ensureFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await ensureFolder(dirname(path));
    await mkdir(path).catch((second: NodeJS.ErrnoException) => {
      // Somebody else may have made it meanwhile.
      if (second.code !== 'EEXIST') throw second;
    });
  }
}
