/** Bodies of the conversation routes. */
import { z } from 'zod';
import type { ConfirmationPolicy } from '../../contracts/agent/requests.js';
import { valueError } from '../http/validate.js';
import { launchAdditionsSchema } from '../services/agent-profiles/schema.js';
import { hookConfigSchema } from '../services/hooks.js';
import { pluginSource } from '../services/plugins/source.js';
import { definitionSchema } from '../services/sub-agents.js';
import { parseUuid } from '../http/uuid.js';
import { agentSchema, pythonList } from './agent.js';
import { llmSchema } from './llm.js';
import { secretSchema } from './secrets.js';

const uuid = z.string().transform((text, context) => {
  const parsed = parseUuid(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({
    code: 'custom',
    message: 'Input should be a valid UUID',
    params: { pydantic: { type: 'uuid_parsing', msg: 'Input should be a valid UUID' } },
  });
  return z.NEVER;
});

const cache = z.boolean().default(false);
const content = z.union([
  z
    .looseObject({ type: z.literal('text').default('text'), text: z.string(), cache_prompt: cache })
    .transform(({ text, cache_prompt }) => ({ cache_prompt, type: 'text' as const, text })),
  z
    .looseObject({ type: z.literal('image').default('image'), image_urls: z.array(z.string()), cache_prompt: cache })
    .transform(({ image_urls, cache_prompt }) => ({ cache_prompt, type: 'image' as const, image_urls })),
]);

const ONLY_USER = 'Only user messages are allowed to be sent to the agent.';

/** A message for the agent; everything is optional, and an empty one is valid. */
export const messageSchema = z.looseObject({
  role: z
    .enum(['user', 'system', 'assistant', 'tool'])
    .refine((role) => role === 'user', valueError(ONLY_USER))
    .default('user'),
  content: z
    .union([z.string().transform((text) => [{ cache_prompt: false, type: 'text' as const, text }]), z.array(content)])
    .default([]),
  run: z.boolean().default(false),
  sender: z.string().nullish(),
});

const POLICIES = ['AlwaysConfirm', 'ConfirmRisky', 'NeverConfirm'] as const;

export const policySchema = z
  .looseObject({ kind: z.string().default('NeverConfirm') })
  .superRefine((given, context) => {
    if (!POLICIES.some((kind) => kind === given.kind))
      context.addIssue({
        code: 'custom',
        ...valueError(
          `Unknown kind '${given.kind}' for openhands.sdk.security.confirmation_policy.ConfirmationPolicyBase; Expected one of: ${pythonList(POLICIES)}`,
        ),
      });
    else if (given['threshold'] === 'UNKNOWN')
      context.addIssue({ code: 'custom', path: ['threshold'], ...valueError('Threshold cannot be UNKNOWN') });
  })
  .transform((given): ConfirmationPolicy => {
    if (given.kind !== 'ConfirmRisky') return { kind: given.kind as ConfirmationPolicy['kind'] };
    const threshold = ['LOW', 'MEDIUM', 'HIGH'].find((level) => level === given['threshold']) ?? 'HIGH';
    return {
      threshold: threshold as 'LOW' | 'MEDIUM' | 'HIGH',
      confirm_unknown: given['confirm_unknown'] !== false,
      kind: 'ConfirmRisky',
    };
  });

const analyzer = z.looseObject({ kind: z.string() });
const TAG_KEY = /^[a-z0-9]+$/;

export const tagsSchema = z.record(z.string(), z.string()).superRefine((tags, context) => {
  const bad = Object.keys(tags).find((key) => !TAG_KEY.test(key));
  if (bad !== undefined)
    context.addIssue({
      code: 'custom',
      ...valueError(`Tag key '${bad}' is invalid: keys must be lowercase alphanumeric only`),
    });
});

export const startSchema = z.looseObject({
  workspace: z.looseObject({
    kind: z.string().default('LocalWorkspace'),
    working_dir: z.string().default('workspace/project'),
  }),
  agent: agentSchema.nullish(),
  agent_settings: z.looseObject({ llm: z.looseObject({}).nullish() }).nullish(),
  agent_profile_id: uuid.nullish(),
  agent_launch_additions: launchAdditionsSchema.nullish(),
  conversation_id: uuid.nullish(),
  initial_message: messageSchema.nullish(),
  confirmation_policy: policySchema.nullish(),
  security_analyzer: analyzer.nullish(),
  max_iterations: z.number().int().min(1).default(500),
  max_budget_per_run: z.number().positive().nullish(),
  stuck_detection: z.boolean().default(true),
  secrets: z.record(z.string(), secretSchema).nullish(),
  tool_module_qualnames: z.record(z.string(), z.string()).nullish(),
  agent_definitions: z.array(definitionSchema).nullish(),
  client_tools: z.array(z.unknown()).nullish(),
  plugins: z.array(pluginSource).max(20).nullish(),
  hook_config: hookConfigSchema.nullish(),
  tags: tagsSchema.nullish(),
  user_id: z.string().nullish(),
  autotitle: z.boolean().default(true),
  title_llm_profile: z.string().nullish(),
  parent_conversation_id: uuid.nullish(),
});
export type StartRequest = z.infer<typeof startSchema>;

export const updateSchema = z.looseObject({
  title: z.string().min(1).max(200).nullish(),
  tags: tagsSchema.nullish(),
});
export const secretsSchema = z.looseObject({ secrets: z.record(z.string(), secretSchema) });
export const setPolicySchema = z.looseObject({ policy: policySchema });
export const setAnalyzerSchema = z.looseObject({ security_analyzer: analyzer.nullable() });
export const respondSchema = z.looseObject({
  accept: z.boolean(),
  reason: z.string().default('User rejected the action.'),
});
export const goalSchema = z.looseObject({
  objective: z.string().trim().min(1).max(100_000),
  max_iterations: z.number().int().min(1).max(1000).default(10),
});
export const askSchema = z.looseObject({ question: z.string() });
export const switchLlmSchema = z.looseObject({ llm: llmSchema });
export const switchProfileSchema = z.looseObject({ profile_name: z.string() });
export const forkSchema = z.looseObject({
  id: uuid.nullish(),
  title: z.string().nullish(),
  tags: tagsSchema.nullish(),
  reset_metrics: z.boolean().default(true),
  from_event_id: z.string().nullish(),
});
export const navigateSchema = z.looseObject({ event_id: z.string().nullish() });
export type ForkRequest = z.infer<typeof forkSchema>;
