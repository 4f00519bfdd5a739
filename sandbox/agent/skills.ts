/** Skills: instructions of the client and of the repository, given always, on a keyword, or named for reading on demand. */
import type { AgentConfig } from '../../contracts/agent/requests.js';
import { userSkills } from '../services/installed/skills.js';
import { projectSkills } from '../services/skills.js';

export interface KnownSkill {
  name: string;
  content: string;
  /** Words of a message that call it; empty: it is always given, or on demand. */
  keywords: string[];
  /** Only its name and description are given; the agent reads `source` when it needs it. */
  onDemand: boolean;
  description: string | null;
  source: string | null;
  /** Came after the instructions: it is given with the next message, once. */
  late: boolean;
}

const CONTENT_LIMIT = 20_000;
const TOTAL_LIMIT = 60_000;

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
const textsOf = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : [];

/** A skill as clients write it; undefined when it has no name or content. Pure. */
export function clientSkill(given: Record<string, unknown>): KnownSkill | undefined {
  const [name, content] = [textOf(given['name']), textOf(given['content'])];
  if (name === null || content === null) return undefined;
  const trigger = (given['trigger'] ?? {}) as Record<string, unknown>;
  const keywords = [...textsOf(trigger['keywords']), ...textsOf(trigger['triggers'])];
  const source = textOf(given['source']);
  return {
    name,
    content,
    keywords,
    onDemand: keywords.length === 0 && given['is_agentskills_format'] === true && source !== null,
    description: textOf(given['description']),
    source,
    late: given['late'] === true,
  };
}

export interface SkillPlaces {
  workspaceDir: string;
  /** The user's, where skills are installed; null without one. */
  home: string | null;
}

/** All skills of an agent; those of the repository and the user when it asks for them, or says nothing of its context. */
export async function skillsOf(agent: AgentConfig, { workspaceDir, home }: SkillPlaces): Promise<KnownSkill[]> {
  const context = agent.agent_context;
  const given = (context?.skills ?? []).flatMap((skill) => clientSkill(skill) ?? []);
  const wantsProject = context === null || context['load_project_skills'] === true;
  const project = wantsProject ? await projectSkills(workspaceDir).catch(() => []) : [];
  const wantsUsers = context === null || context['load_user_skills'] === true;
  const users = wantsUsers && home !== null ? await userSkills(home).catch(() => []) : [];
  const ofUser = users.filter((skill) => !project.some((other) => other.name === skill.name));
  const found = [...project, ...ofUser].map(({ name, content, triggers, source }): KnownSkill => ({
    name,
    content,
    keywords: triggers,
    onDemand: triggers.length === 0 && source.endsWith('/SKILL.md'),
    description: content.split('\n').find((line) => /\w/.test(line)) ?? null,
    source,
    late: false,
  }));
  const disabled = new Set(textsOf(context?.['disabled_skills']));
  const all = [...given, ...found.filter((skill) => !given.some((other) => other.name === skill.name))];
  return all.filter((skill) => !disabled.has(skill.name));
}

const shorten = (content: string): string =>
  content.length <= CONTENT_LIMIT ? content : `${content.slice(0, CONTENT_LIMIT)}\n[… shortened]`;

/** What of the skills stands in the system prompt; undefined without any. Pure. */
export function skillsText(skills: KnownSkill[]): string | undefined {
  const always = skills.filter((skill) => skill.keywords.length === 0 && !skill.onDemand);
  const onDemand = skills.filter((skill) => skill.onDemand);
  if (always.length === 0 && onDemand.length === 0) return undefined;
  const given = always
    .map(
      (skill) =>
        `## ${skill.name}${skill.source === null ? '' : ` (${skill.source})`}\n${shorten(skill.content.trim())}`,
    )
    .join('\n\n')
    .slice(0, TOTAL_LIMIT);
  const list = onDemand
    .map((skill) => `- ${skill.name} (${skill.source ?? ''}): ${(skill.description ?? '').slice(0, 300)}`)
    .join('\n')
    .slice(0, TOTAL_LIMIT);
  return [
    given === '' ? '' : `# Instructions of this project\n${given}`,
    list === '' ? '' : `# Skills to read when they fit\nRead the file before you do such work:\n${list}`,
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** The skills whose keyword stands in the message, or that are due without one, without those that were given before. Pure. */
export function calledSkills(skills: KnownSkill[], message: string, before: ReadonlySet<string>): KnownSkill[] {
  const words = message.toLowerCase();
  return skills.filter(
    (skill) =>
      !before.has(skill.name) &&
      (skill.keywords.length === 0
        ? skill.late
        : skill.keywords.some((keyword) => keyword !== '' && words.includes(keyword.toLowerCase()))),
  );
}

export const calledText = (skill: KnownSkill): string =>
  `What is known about "${skill.name}", which may help with this message:\n${shorten(skill.content.trim())}`;
