/** What an agent profile holds. Shapes: `OpenHandsAgentProfile` of the OpenHands agent server 1.58. */
import { z } from 'zod';

const names = z.array(z.string().min(1).max(200)).max(500);
const NOT_HERE = "Input should be 'openhands': agents of other makers (ACP) do not run on this server";

const condenser = z.looseObject({
  condenser_kind: z.enum(['llm_summarizing', 'no_op']).default('llm_summarizing'),
  enabled: z.boolean().default(true),
  max_size: z.number().int().min(20).default(240),
  keep_first: z.number().int().min(0).default(2),
});

/** The critic's key is not kept: profiles hold no secrets. */
const verification = z
  .looseObject({
    critic_enabled: z.boolean().default(false),
    critic_mode: z.enum(['finish_and_message', 'all_actions']).catch('finish_and_message'),
    enable_iterative_refinement: z.boolean().default(false),
    critic_threshold: z.number().min(0).max(1).default(0.6),
    max_refinement_iterations: z.number().int().min(1).default(3),
    critic_server_url: z.string().nullable().default(null),
    critic_model_name: z.string().nullable().default(null),
  })
  .transform(({ critic_api_key: _key, ...rest }) => rest);

/** Body of a save. What the server keeps itself (`id`, `revision` and so on) may be sent back and is ignored. */
export const agentProfileSchema = z.strictObject({
  agent_kind: z.literal('openhands', NOT_HERE).default('openhands'),
  schema_version: z.number().int().min(1).optional(),
  id: z.string().nullish(),
  name: z.string().nullish(),
  revision: z.number().int().min(0).nullish(),
  llm_profile_ref: z.string().min(1).max(64),
  agent: z.string().max(200).default('CodeActAgent'),
  /** null: the usual ones; else exactly these. */
  tools: z
    .array(z.looseObject({ name: z.string().min(1), params: z.record(z.string(), z.unknown()).default({}) }))
    .max(100)
    .nullable()
    .default(null),
  persona: z.string().min(1).max(65_536).nullable().default(null),
  system_message_suffix: z.string().max(65_536).nullable().default(null),
  disabled_skills: names.default([]),
  /** null: all; else those named. */
  public_skills: names.nullable().default(null),
  mcp_server_refs: names.nullable().default(null),
  secret_refs: names.nullable().default(null),
  condenser: condenser.default(() => condenser.parse({})),
  verification: verification.default(() => verification.parse({})),
  enable_classify_and_switch_llm_tool: z.boolean().default(false),
  meta_profile_ref: z.string().min(1).nullable().default(null),
  tool_concurrency_limit: z.number().int().min(1).max(100).default(1),
  /** Clients before 1.58 send these two, and `skills`, which became the deny-list above. */
  enable_sub_agents: z.boolean().optional(),
  enable_switch_llm_tool: z.boolean().optional(),
  skills: z.array(z.unknown()).max(500).nullish(),
});
export type AgentProfileBody = z.output<typeof agentProfileSchema>;

export type AgentProfile = Omit<AgentProfileBody, 'schema_version' | 'id' | 'name' | 'revision' | 'skills'> & {
  schema_version: number;
  /** UUID; it stays when the profile is renamed. */
  id: string;
  name: string;
  /** Counts the saves after the first. */
  revision: number;
};

/** What a launch adds to the profile for one conversation (`AgentLaunchAdditions`). */
export const launchAdditionsSchema = z.strictObject({
  system_message_suffix_append: z.string().max(32_768).nullish(),
  skills: z
    .array(z.looseObject({ name: z.string() }))
    .max(500)
    .nullish(),
  llm_profile_ref: z.string().min(1).nullish(),
});
export type LaunchAdditions = z.output<typeof launchAdditionsSchema>;

/** What a conversation remembers of the profile that it was started with (`LaunchedAgentProfile`). */
export interface LaunchedAgentProfile {
  agent_profile_id: string;
  revision: number;
  /** The secrets that it may have; null: all. */
  secret_refs: string[] | null;
  /** The model's profile where the launch named another than the agent profile's. */
  llm_profile_ref: string | null;
}
