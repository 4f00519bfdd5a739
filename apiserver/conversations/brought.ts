/** Skills and hooks that a conversation's repository brings, as its agent server reads them. What it says is hostile: bounded, and parsed. */
import { z } from 'zod';
import type { AgentEndpoint, AgentHttp } from '../agent/http.js';

export interface ShownSkill {
  name: string;
  type: 'repo' | 'knowledge' | 'agentskills';
  content: string;
  triggers: string[];
}

const text = (max: number) => z.string().max(max);
const trigger = z
  .object({ keywords: z.array(text(500)).optional(), triggers: z.array(text(500)).optional() })
  .nullish();
const skill = z.object({
  name: text(500),
  content: text(1_000_000),
  triggers: z.array(text(500)).nullish(),
  trigger,
  is_agentskills_format: z.boolean().nullish(),
});
const skillsAnswer = z.object({ skills: z.array(skill.catch({ name: '', content: '' })).max(1000) });

const command = z.object({
  type: text(100).default('command'),
  command: text(100_000).default(''),
  timeout: z.number().default(60),
  async: z.boolean().default(false),
});
const matcher = z.object({ matcher: text(1000).default('*'), hooks: z.array(command).max(100).default([]) });
const hooksAnswer = z.object({ hook_config: z.record(text(100), z.unknown()).nullable() });
const MAX_BYTES = 8 * 1024 * 1024;

export async function skillsOf(agents: AgentHttp, agent: AgentEndpoint, dir: string): Promise<ShownSkill[]> {
  const body = { load_public: false, load_user: true, load_project: true, load_org: false, project_dir: dir };
  const answer = skillsAnswer.parse(
    await agents.json(agent, { method: 'POST', path: '/api/skills', body, maxBytes: MAX_BYTES }),
  );
  return answer.skills.filter(({ name }) => name !== '').map(shown);
}

function shown({ name, content, triggers, trigger: by, is_agentskills_format }: z.infer<typeof skill>): ShownSkill {
  const words = triggers ?? by?.keywords ?? by?.triggers ?? [];
  return {
    name,
    type: is_agentskills_format === true ? 'agentskills' : words.length === 0 ? 'repo' : 'knowledge',
    content,
    triggers: words,
  };
}

export interface ShownHooks {
  event_type: string;
  matchers: z.infer<typeof matcher>[];
}

export async function hooksOf(agents: AgentHttp, agent: AgentEndpoint, dir: string): Promise<ShownHooks[]> {
  const { hook_config } = hooksAnswer.parse(
    await agents.json(agent, { method: 'POST', path: '/api/hooks', body: { project_dir: dir }, maxBytes: MAX_BYTES }),
  );
  return Object.entries(hook_config ?? {}).flatMap(([event_type, entries]) => {
    const matchers = z.array(matcher).max(100).safeParse(entries);
    return matchers.success && matchers.data.length > 0 ? [{ event_type, matchers: matchers.data }] : [];
  });
}
