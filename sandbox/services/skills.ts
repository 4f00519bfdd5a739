/** Skills and instructions of a repository: AGENTS.md and the Markdown files of its skill folders. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

export interface Skill {
  name: string;
  type: 'repo' | 'knowledge';
  content: string;
  triggers: string[];
  source: string;
}

const FOLDERS = ['.agents/skills', '.openhands/skills', '.openhands/microagents'];
const INSTRUCTIONS = ['AGENTS.md', '.cursorrules', 'CLAUDE.md'];
const MAX_BYTES = 256 << 10;
const MAX_SKILLS = 200;

export async function loadSkills(
  projectDir: string | null,
): Promise<{ skills: Record<string, unknown>[]; sources: Record<string, number> }> {
  const skills = projectDir === null ? [] : await projectSkills(projectDir);
  return {
    skills: skills.map(skillInfo),
    sources: { sandbox: 0, registered_marketplaces: 0, sdk_base: 0, org: 0, project: skills.length },
  };
}

/** A skill as the wire has it. */
const skillInfo = (skill: Skill): Record<string, unknown> => {
  const folder = basename(skill.source) === 'SKILL.md';
  return {
    ...skill,
    type: folder ? 'agentskills' : skill.type,
    description: skill.content.split('\n').find((line) => /\w/.test(line)) ?? null,
    is_agentskills_format: folder,
    disable_model_invocation: false,
  };
};

export async function projectSkills(folder: string): Promise<Skill[]> {
  const skills: Skill[] = [];
  for (const name of INSTRUCTIONS) {
    const content = await textOf(join(folder, name));
    if (content !== undefined)
      skills.push({
        name: name.replace(/^\.|\.md$/g, '').toLowerCase(),
        type: 'repo',
        content,
        triggers: [],
        source: join(folder, name),
      });
  }
  for (const path of (await Promise.all(FOLDERS.map((at) => markdownIn(join(folder, at)))))
    .flat()
    .slice(0, MAX_SKILLS)) {
    const text = await textOf(path);
    if (text !== undefined) skills.push(parseSkill(path, text));
  }
  return skills;
}

/** The skill of a folder; undefined without a readable SKILL.md. */
export async function skillAt(folder: string): Promise<Skill | undefined> {
  const path = join(folder, 'SKILL.md');
  const text = await textOf(path);
  return text === undefined ? undefined : parseSkill(path, text);
}

/** `name.md` files, and `name/SKILL.md` folders. */
async function markdownIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries
    .flatMap((entry) =>
      entry.isDirectory()
        ? [join(folder, entry.name, 'SKILL.md')]
        : entry.name.endsWith('.md') && entry.name !== 'README.md'
          ? [join(folder, entry.name)]
          : [],
    )
    .sort();
}

/** What lies in these skill folders, as the wire has it; those without a readable SKILL.md are left out. */
export async function skillsIn(folders: readonly string[]): Promise<Record<string, unknown>[]> {
  const found = await Promise.all(folders.slice(0, MAX_SKILLS).map((folder) => skillAt(folder)));
  return found.flatMap((skill) => (skill === undefined ? [] : [skillInfo(skill)]));
}

async function textOf(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined || text.length > MAX_BYTES ? undefined : text;
}

/** A skill with triggers is given to the agent when a message has one of them; without, always. */
export function parseSkill(path: string, text: string): Skill {
  const head = /^---\r?\n([\s\S]*?)\r?\n---\r?\n?/.exec(text);
  const front = head?.[1] ?? '';
  const name = /^name:\s*["']?([^"'\n]+)/m.exec(front)?.[1]?.trim();
  const list = /^triggers:\s*\r?\n((?:\s*-\s*.+\r?\n?)*)/m.exec(front)?.[1] ?? '';
  const triggers = [...list.matchAll(/^\s*-\s*["']?([^"'\n]+?)["']?\s*$/gm)].map((hit) => hit[1] ?? '');
  const own = basename(path) === 'SKILL.md' ? basename(join(path, '..')) : basename(path, '.md');
  return {
    name: name ?? own,
    type: triggers.length > 0 ? 'knowledge' : 'repo',
    content: head === null ? text : text.slice(head[0].length),
    triggers,
    source: path,
  };
}
