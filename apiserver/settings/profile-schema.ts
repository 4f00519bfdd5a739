/** What an agent profile holds, and what a save of one may say. */
import { z } from 'zod';

export const profileName = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,64}$/, "String should match pattern '^[A-Za-z0-9._-]{1,64}$'");

const names = z.array(z.string().min(1).max(200)).max(500);
const trigger = z.object({ keywords: names.optional(), triggers: names.optional() });
/** What agents read of a skill. MCP servers of its own, which could hold keys, are left out. */
const skill = z.object({
  name: z.string().min(1).max(200),
  content: z.string().max(50_000),
  trigger: trigger.nullish(),
  source: z.string().max(2000).nullish(),
  description: z.string().max(2000).nullish(),
  is_agentskills_format: z.boolean().optional(),
});
const value = z.union([z.string().max(2000), z.number(), z.boolean(), z.null()]);
/** Checked like the same part of the settings; the critic's key stays there. */
const section = z.record(z.string().max(100), value).transform(({ critic_api_key: _key, ...rest }) => rest);

const NOT_OURS = "Input should be 'openhands': agents of other makers (ACP) do not run here";

/** Body of a save. What the server keeps itself (`id`, `revision` and so on) may be sent back and is ignored. */
export const agentProfileBody = z.strictObject({
  agent_kind: z.literal('openhands', NOT_OURS).default('openhands'),
  schema_version: z.number().int().optional(),
  id: z.string().max(100).nullish(),
  name: z.string().max(200).nullish(),
  revision: z.number().int().nullish(),
  llm_profile_ref: profileName,
  agent: z.string().max(200).default('CodeActAgent'),
  skills: z.array(skill).max(50).default([]),
  disabled_skills: names.default([]),
  system_message_suffix: z.string().max(50_000).nullable().default(null),
  condenser: section.nullable().default(null),
  verification: section.nullable().default(null),
  /** null: all of the user's; else those named. */
  mcp_server_refs: names.nullable().default(null),
  secret_refs: names.nullable().default(null),
  enable_sub_agents: z.boolean().default(false),
  enable_switch_llm_tool: z.boolean().default(true),
  tool_concurrency_limit: z.number().int().min(1).max(100).default(1),
});

export type AgentProfile = Omit<z.output<typeof agentProfileBody>, 'schema_version' | 'id' | 'name' | 'revision'> & {
  schema_version: number;
  /** Stays when the profile is renamed. */
  id: string;
  name: string;
  /** Counts the saves. */
  revision: number;
};
