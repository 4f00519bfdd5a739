/** Reads a plugin's folder: `.plugin/plugin.json` (or `.claude-plugin/`), skills, commands, hooks, MCP servers, agents. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { badRequest } from '../../http/errors.js';
import { markdownFiles, readMatter } from '../frontmatter.js';
import { readHookFile, type HookConfig } from '../hooks.js';
import { parseSkill } from '../skills.js';
import { definitionsIn, type AgentDefinition } from '../sub-agents.js';

const manifest = z.looseObject({
  name: z.string().min(1).max(256),
  version: z.string().default('1.0.0'),
  description: z.string().default(''),
});

export interface Plugin {
  path: string;
  manifest: z.infer<typeof manifest>;
  /** As clients write skills (`agent_context.skills`). */
  skills: Record<string, unknown>[];
  commands: string[];
  hooks: HookConfig | null;
  mcpServers: Record<string, unknown>;
  agents: AgentDefinition[];
}

const MAX_BYTES = 1 << 20;
const MAX_SKILLS = 200;

/** What of it cannot be read is left out; a manifest that is none throws HttpError 400. */
export async function loadPlugin(path: string): Promise<Plugin> {
  const facts = await manifestOf(path);
  const commands = await commandsIn(join(path, 'commands'), facts.name);
  return {
    path,
    manifest: facts,
    skills: [...(await skillsIn(join(path, 'skills'))), ...commands.map(({ skill }) => skill)],
    commands: commands.map(({ name }) => name),
    hooks: rooted(await readHookFile(join(path, 'hooks', 'hooks.json')), path),
    mcpServers: rooted(await serversIn(join(path, '.mcp.json')), path),
    agents: await definitionsIn(join(path, 'agents'), 'plugin'),
  };
}

async function manifestOf(path: string): Promise<Plugin['manifest']> {
  for (const folder of ['.plugin', '.claude-plugin']) {
    const text = await readFile(join(path, folder, 'plugin.json'), 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const parsed = manifest.safeParse(jsonOf(text));
    if (parsed.success) return parsed.data;
    throw badRequest(`${folder}/plugin.json of the plugin ${basename(path)} is no manifest: ${z.prettifyError(parsed.error)}`); // prettier-ignore
  }
  return manifest.parse({ name: basename(path) });
}

async function skillsIn(folder: string): Promise<Record<string, unknown>[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const inFolders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name, 'SKILL.md'));
  const files = await Promise.all(
    inFolders.map(async (path) => ({ path, text: await readFile(path, 'utf8').catch(() => '') })),
  );
  return [...files, ...(await markdownFiles(folder))]
    .filter(({ text }) => text !== '' && text.length <= MAX_BYTES)
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .slice(0, MAX_SKILLS)
    .map(({ path, text }) => {
      const { name, content, triggers } = parseSkill(path, text);
      const description = headOf(text)['description'];
      return skillForm({ name, content, triggers, source: path, description: textOr(description) });
    });
}

/** A command is a skill that `/plugin:command` calls. */
async function commandsIn(folder: string, plugin: string) {
  return (await markdownFiles(folder)).map(({ path, text }) => {
    const name = basename(path).replace(/\.md$/i, '');
    const call = `/${plugin}:${name}`;
    const content = text.replace(/^---\r?\n[\s\S]*?\r?\n---\r?\n?/, '').trim();
    const description = textOr(headOf(text)['description']);
    return {
      name,
      skill: skillForm({ name: `${plugin}:${name}`, content, triggers: [call], source: path, description }),
    };
  });
}

const textOr = (value: unknown): string | null => (typeof value === 'string' ? value : null);

function headOf(text: string): Record<string, unknown> {
  try {
    return readMatter(text).head;
  } catch {
    return {};
  }
}

interface Form {
  name: string;
  content: string;
  triggers: string[];
  source: string;
  description: string | null;
}
const skillForm = ({ triggers, source, ...rest }: Form): Record<string, unknown> => ({
  ...rest,
  source,
  trigger: triggers.length === 0 ? null : { type: 'keyword', keywords: triggers },
  is_agentskills_format: basename(source) === 'SKILL.md',
});

async function serversIn(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, 'utf8').catch(() => '{}');
  const parsed = z.looseObject({ mcpServers: z.record(z.string(), z.looseObject({})) }).safeParse(jsonOf(text));
  return parsed.success ? parsed.data.mcpServers : {};
}

function jsonOf(text: string): unknown {
  try {
    return text.length > MAX_BYTES ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

/** Plugins name their own files by these variables. */
function rooted<Value>(value: Value, path: string): Value {
  const quoted = JSON.stringify(path).slice(1, -1);
  const text = JSON.stringify(value).replaceAll(/\$\{(?:CLAUDE_PLUGIN_ROOT|SKILL_ROOT)\}/g, () => quoted);
  return JSON.parse(text) as Value;
}
