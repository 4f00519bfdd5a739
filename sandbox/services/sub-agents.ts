/**
 * Agents that another agent can give a task to: built-in ones, and Markdown files of the project and the user
 * (`.agents/agents/*.md`, `.openhands/agents/*.md`; a head of YAML, then the instructions).
 */
import { basename, join } from 'node:path';
import { z } from 'zod';
import { markdownFiles, readMatter } from './frontmatter.js';

const LEVELS = ['project', 'user', 'builtin', 'plugin', 'programmatic'] as const;
const words = z
  .union([z.string().transform((text) => text.split(',').map((word) => word.trim())), z.array(z.coerce.string())])
  .transform((list) => list.filter((word) => word !== ''));
const servers = z.record(z.string(), z.unknown());

/** An AgentDefinition of the wire. Unknown fields of a file's head are its `metadata`. */
export const definitionSchema = z.object({
  name: z.string().min(1).max(200),
  description: z.string().default(''),
  model: z.string().default('inherit'),
  color: z.coerce.string().nullable().default(null),
  tools: words.default([]),
  skills: words.default([]),
  system_prompt: z.string().default(''),
  source: z.string().nullable().default(null),
  level: z.enum(LEVELS).nullable().default(null),
  when_to_use_examples: z.array(z.string()).default([]),
  hooks: z.looseObject({}).nullable().default(null),
  permission_mode: z.enum(['always_confirm', 'never_confirm', 'confirm_risky']).nullable().default(null),
  max_iteration_per_run: z.coerce.number().int().positive().nullable().default(null),
  max_budget_per_run: z.coerce.number().positive().nullable().default(null),
  mcp_config: servers.nullable().default(null),
  profile_store_dir: z.string().nullable().default(null),
  condenser: z.unknown().default(null),
  metadata: z.record(z.string(), z.unknown()).default({}),
});
export type AgentDefinition = z.infer<typeof definitionSchema>;
type Level = (typeof LEVELS)[number];

const KNOWN = new Set([...Object.keys(definitionSchema.shape), 'mcp_servers']);
const FOLDERS = ['.agents/agents', '.openhands/agents'];

/** Pure. Throws (YAML or zod) for a file that is no definition. */
export function parseDefinition(path: string, text: string, level: Level): AgentDefinition {
  const { head, body } = readMatter(text);
  const { mcp_servers: oldName, ...rest } = head;
  const description = typeof rest['description'] === 'string' ? rest['description'] : '';
  const mode = rest['permission_mode'];
  return definitionSchema.parse({
    ...Object.fromEntries(Object.entries(rest).filter(([name, value]) => KNOWN.has(name) && value !== null)),
    name: String(rest['name'] ?? basename(path).replace(/\.md$/i, '')),
    mcp_config: rest['mcp_config'] ?? oldName ?? null,
    permission_mode: typeof mode === 'string' ? mode.trim().toLowerCase() : null,
    system_prompt: body,
    source: path,
    level,
    when_to_use_examples: [...description.matchAll(/<example>([\s\S]*?)<\/example>/gi)]
      .map((hit) => (hit[1] ?? '').trim())
      .filter((example) => example !== ''),
    metadata: Object.fromEntries(Object.entries(rest).filter(([name]) => !KNOWN.has(name))),
  });
}

/** The definitions below a folder; files that are none are left out. */
export async function definitionsIn(folder: string, level: Level): Promise<AgentDefinition[]> {
  return (await markdownFiles(folder)).flatMap(({ path, text }) => {
    try {
      return [parseDefinition(path, text, level)];
    } catch {
      return [];
    }
  });
}

const builtIn = (given: { name: string; description: string; tools: string[]; system_prompt: string }) =>
  definitionSchema.parse({ ...given, level: 'builtin' });

export const BUILT_IN_AGENTS: readonly AgentDefinition[] = [
  builtIn({
    name: 'bash-runner',
    description: 'Runs commands (tests, builds, linters, git, installations) and reports what came out, in short.',
    tools: ['terminal'],
    system_prompt:
      'You run commands for another agent. Run what the task asks for, and what is needed to understand a failure. Do not change source files. Report in short: the commands, whether they passed, counts, and for each failure its cause and place. Leave out output that says nothing.',
  }),
  builtIn({
    name: 'code-explorer',
    description: 'Reads unfamiliar code and answers questions about it, with paths, line numbers and excerpts.',
    tools: ['terminal'],
    system_prompt:
      'You explore code for another agent. Read only: search and view, never create, change or delete anything. Answer the question with paths, line numbers and short excerpts, and say what you did not find.',
  }),
  builtIn({
    name: 'general-purpose',
    description: 'Works on any part of the task: reads and changes files, runs commands, keeps a task list.',
    tools: ['terminal', 'file_editor', 'task_tracker'],
    system_prompt:
      'You work on a part of a task for another agent, from beginning to end. Stay within what you were asked. Report what you changed, where, how you checked it, and what is left.',
  }),
  builtIn({
    name: 'web-researcher',
    description: 'Finds out something on the web with a browser, and reports it with the addresses of its sources.',
    tools: ['browser_tool_set'],
    system_prompt:
      'You research on the web for another agent. Open pages with the browser, compare sources, prefer the original ones. Report what you found with the address of each source, and what you could not confirm.',
  }),
];

/** Old names that models still say. */
const OLD_NAMES: Record<string, string> = {
  '': 'general-purpose',
  default: 'general-purpose',
  'default cli mode': 'general-purpose',
  explore: 'code-explorer',
  bash: 'bash-runner',
};

export interface AgentSources {
  /** Definitions that a client or a plugin brought; they win. */
  given?: readonly AgentDefinition[];
  projectDir: string | null;
  home: string | null;
  builtIn: boolean;
  /** Without one, agents that only have a browser are left out. */
  browser: boolean;
}

/** All definitions, the first of a name wins: given, project, user, built-in; `.agents` before `.openhands`. */
export async function findAgents(sources: AgentSources): Promise<AgentDefinition[]> {
  const below = async (root: string | null, level: Level): Promise<AgentDefinition[]> =>
    root === null ? [] : (await Promise.all(FOLDERS.map((folder) => definitionsIn(join(root, folder), level)))).flat();
  const all = [
    ...(sources.given ?? []),
    ...(await below(sources.projectDir, 'project')),
    ...(await below(sources.home, 'user')),
    ...(sources.builtIn
      ? BUILT_IN_AGENTS.filter(({ tools }) => sources.browser || tools[0] !== 'browser_tool_set')
      : []),
  ];
  const first = new Map<string, AgentDefinition>();
  for (const each of all) if (!first.has(each.name)) first.set(each.name, each);
  return [...first.values()];
}

/** The definition that a model means, by a present or an old name. Pure. */
export const agentNamed = (name: string, agents: readonly AgentDefinition[]): AgentDefinition | undefined =>
  agents.find((agent) => agent.name === name) ?? agents.find((agent) => agent.name === OLD_NAMES[name]);

/** SubAgentInfo of the wire. */
export const agentInfo = (agent: AgentDefinition): Record<string, unknown> => ({
  ...agent,
  mcp_servers: agent.mcp_config,
  is_builtin: agent.level === 'builtin',
});
