/** The body of a start: what clients of the OpenHands app server send, as it is echoed in the start task. */
import { z } from 'zod';
import { uuid } from '../http/validate.js';
import { suggestedTask } from './suggested.js';

const text = z.string().max(100_000);
const short = z.string().max(1000);

export const contentSchema = z.discriminatedUnion('type', [
  z.object({ cache_prompt: z.boolean().default(false), type: z.literal('text'), text: z.string().max(1_000_000) }),
  z.object({
    cache_prompt: z.boolean().default(false),
    type: z.literal('image'),
    image_urls: z.array(z.string().max(8_000_000)).max(50),
  }),
]);

const messageSchema = z.object({
  role: z.literal('user').default('user'),
  content: z.array(contentSchema).max(100).default([]),
  run: z.boolean().default(false),
});

const PROVIDERS = [
  'github',
  'gitlab',
  'bitbucket',
  'bitbucket_data_center',
  'forgejo',
  'azure_devops',
  'enterprise_sso',
] as const;
const TRIGGERS = [
  'resolver',
  'gui',
  'suggested_task',
  'openhands_api',
  'slack',
  'microagent_management',
  'jira',
  'jira_dc',
  'linear',
  'bitbucket',
  'automation',
] as const;
export const providerSchema = z.enum(PROVIDERS);

/** `owner/name`, also with sub-groups; nothing that a shell or git could take for something else. */
const repository = short
  .regex(/^[\w.~-]+(\/[\w.~-]+){1,5}$/, 'Input should be owner/name')
  .refine((value) => !value.includes('..'), 'Input should be owner/name');
/** git's rules for branch names, roughly; never an option. */
const branch = short.regex(/^(?!-)[^\s~^:?*[\\\x00-\x1f]+$/, 'Input should be the name of a branch');

const scalar = z.union([z.string().max(10_000), z.number(), z.boolean(), z.null()]);
const plugin = z.object({
  source: z.string().min(1).max(2000),
  ref: short.nullish(),
  repo_path: short.nullish(),
  parameters: z.record(z.string().max(200), scalar).nullish(),
});
export type PluginSpec = z.infer<typeof plugin>;

export const startRequest = z.object({
  sandbox_id: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'Input should be the id of a sandbox')
    .nullable()
    .default(null),
  conversation_id: uuid.nullable().default(null),
  initial_message: messageSchema.nullable().default(null),
  system_message_suffix: text.nullable().default(null),
  processors: z.array(z.unknown()).max(20).nullable().default(null),
  llm_model: short.nullable().default(null),
  agent_profile_id: short.nullable().default(null),
  selected_repository: repository.nullable().default(null),
  selected_branch: branch.nullable().default(null),
  git_provider: providerSchema.nullable().default(null),
  suggested_task: suggestedTask.nullable().default(null),
  title: z.string().max(200).nullable().default(null),
  trigger: z.enum(TRIGGERS).nullable().default(null),
  pr_number: z.array(z.number().int()).max(100).default([]),
  parent_conversation_id: uuid.nullable().default(null),
  agent_type: z.enum(['default', 'plan']).default('default'),
  public: z.boolean().nullable().default(null),
  plugins: z.array(plugin).max(50).nullable().default(null),
  secrets: z
    .record(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
        .max(200),
      z.string().max(100_000),
    )
    .nullable()
    .default(null),
});
export type StartRequest = z.infer<typeof startRequest>;

/** What is stored and echoed: the names of secrets stay, their values do not. */
export function echoOf(request: StartRequest): StartRequest {
  if (request.secrets === null) return request;
  return { ...request, secrets: Object.fromEntries(Object.keys(request.secrets).map((name) => [name, '**********'])) };
}
