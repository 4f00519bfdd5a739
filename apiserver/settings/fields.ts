/**
 * The settings of agent and conversation: name, type, default and how the settings page shows them. Names, types and
 * defaults are those of the OpenHands app server 1.11, so that its frontend's forms work; the words are ours.
 */
export type ValueType = 'string' | 'integer' | 'number' | 'boolean' | 'array' | 'object';

export interface Field {
  key: string;
  label: string;
  description: string | null;
  type: ValueType;
  default: unknown;
  prominence: 'critical' | 'major' | 'minor';
  secret: boolean;
  choices: readonly string[];
  dependsOn: readonly string[];
}

interface Extra {
  label?: string;
  choices?: string[];
  on?: string[];
  secret?: boolean;
}

type Row = [
  key: string,
  type: ValueType,
  byDefault: unknown,
  prominence: Field['prominence'],
  description: string | null,
];

function field(...[key, type, byDefault, prominence, description, extra = {}]: [...Row, Extra?]): Field {
  return {
    key,
    label: extra.label ?? words(key.split('.').at(-1) ?? key),
    description,
    type,
    default: byDefault,
    prominence,
    secret: extra.secret ?? false,
    choices: extra.choices ?? [],
    dependsOn: extra.on ?? [],
  };
}

/** `max_input_tokens` → `Max input tokens`. */
function words(key: string): string {
  const text = key.replaceAll('_', ' ').replace(/\b(api|aws|url|id|llm)\b/g, (word) => word.toUpperCase());
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Runs the lines that a user writes as shell commands; needs no key, so that a new machine does real work. */
export const DEFAULT_MODEL = 'builtin/line-runner';

export const GENERAL: Field[] = [
  field('agent', 'string', 'CodeActAgent', 'major', 'Kind of agent.'),
  field('tools', 'array', null, 'major', 'Tools that the agent may use. Empty value: the standard set.'),
  field('enable_sub_agents', 'boolean', false, 'major', 'Lets the agent hand work to sub-agents.', {
    label: 'Sub-agents',
  }),
  field('enable_switch_llm_tool', 'boolean', true, 'minor', 'Lets the agent change to another saved model.', {
    label: 'Switching of models',
  }),
  field('tool_concurrency_limit', 'integer', 1, 'major', 'How many tool calls of one step run at the same time.', {
    label: 'Parallel tool calls',
  }),
  field('mcp_config', 'object', {}, 'minor', 'MCP servers by name.', { label: 'MCP servers' }),
];

const aws = (name: string, secret = false) => field(`llm.${name}`, 'string', null, 'minor', null, { secret });
const flag = (name: string, byDefault: boolean | null, description: string | null) =>
  field(`llm.${name}`, 'boolean', byDefault, 'minor', description);
const count = (name: string, byDefault: number | null, description: string | null) =>
  field(`llm.${name}`, 'integer', byDefault, 'minor', description);
const number = (name: string, byDefault: number | null, description: string | null) =>
  field(`llm.${name}`, 'number', byDefault, 'minor', description);

export const LLM: Field[] = [
  field('llm.model', 'string', DEFAULT_MODEL, 'critical', 'provider/name, for example anthropic/claude-sonnet-4-6.'),
  field('llm.api_key', 'string', null, 'critical', 'Key for the model provider.', { secret: true, label: 'API Key' }),
  field('llm.auth_type', 'string', 'api_key', 'critical', 'How the provider knows you.', {
    label: 'Authentication',
    choices: ['api_key', 'subscription'],
  }),
  field('llm.subscription_vendor', 'string', null, 'critical', 'Whose subscription is used.', {
    label: 'Subscription provider',
    choices: ['openai'],
    on: ['llm.auth_type'],
  }),
  field('llm.base_url', 'string', null, 'major', 'Address of a proxy or of a model of your own.'),
  field('llm.api_version', 'string', null, 'minor', 'Version of the provider’s API, where it wants one (Azure).'),
  aws('aws_access_key_id', true),
  aws('aws_secret_access_key', true),
  aws('aws_session_token', true),
  aws('aws_region_name'),
  aws('aws_profile_name'),
  aws('aws_role_name'),
  aws('aws_session_name'),
  aws('aws_bedrock_runtime_endpoint'),
  field('llm.openrouter_site_url', 'string', 'https://docs.all-hands.dev/', 'minor', null),
  field('llm.openrouter_app_name', 'string', 'OpenHands', 'minor', null),
  count('num_retries', 5, null),
  number('retry_multiplier', 8, null),
  count('retry_min_wait', 8, null),
  count('retry_max_wait', 64, null),
  count('timeout', 300, 'Longest time of one call, in seconds.'),
  count('max_message_chars', 30_000, 'Longest text of one event that goes to the model.'),
  number('temperature', null, 'Sampling temperature; empty for the provider’s own.'),
  number('top_p', null, 'Nucleus sampling, 0 to 1; empty for the provider’s own.'),
  number('top_k', null, null),
  count('max_input_tokens', null, 'Size of the model’s window.'),
  count('max_output_tokens', null, 'Longest answer.'),
  field('llm.model_canonical_name', 'string', null, 'minor', 'The model’s usual name, where a proxy gives it another.'),
  field('llm.extra_headers', 'object', null, 'minor', 'Headers added to each call.'),
  number('input_cost_per_token', null, 'Price of an input token, in dollars.'),
  number('output_cost_per_token', null, 'Price of an output token, in dollars.'),
  field('llm.ollama_base_url', 'string', null, 'minor', null),
  flag('stream', false, 'Show answers while they are written.'),
  flag('drop_params', true, null),
  flag('modify_params', true, 'Adapt calls to what the provider takes.'),
  flag('disable_vision', null, 'Send no images.'),
  flag('disable_stop_word', false, 'Send no stop words.'),
  flag('caching_prompt', true, 'Use the provider’s prompt cache.'),
  flag('log_completions', false, 'Keep every call in a file of the sandbox.'),
  field('llm.log_completions_folder', 'string', 'logs/completions', 'minor', 'Where those files go.'),
  field('llm.custom_tokenizer', 'string', null, 'minor', 'Tokenizer that counts tokens.'),
  flag('native_tool_calling', true, 'Use the provider’s own tool calls.'),
  flag('force_string_serializer', null, 'Send message content as one string.'),
  flag('inline_image_urls', null, 'Send images within the message instead of their addresses.'),
  field('llm.reasoning_effort', 'string', 'high', 'minor', 'How much the model may think.', {
    choices: ['low', 'medium', 'high', 'xhigh', 'none'],
  }),
  field('llm.reasoning_summary', 'string', null, 'minor', 'How much it says of its thinking.', {
    choices: ['auto', 'concise', 'detailed'],
  }),
  flag('enable_encrypted_reasoning', true, 'Carry encrypted reasoning from call to call.'),
  field('llm.prompt_cache_retention', 'string', '24h', 'minor', 'How long the provider keeps cached prompts.'),
  count('extended_thinking_budget', 200_000, 'Most tokens for thinking.'),
  count('seed', null, 'Seed of the sampling.'),
  field('llm.usage_id', 'string', 'default', 'minor', 'Name under which usage is counted.'),
  field('llm.litellm_extra_body', 'object', {}, 'minor', 'Fields added to the body of each call.'),
];

const condensing = { on: ['condenser.enabled'] };
export const CONDENSER: Field[] = [
  field('condenser.enabled', 'boolean', true, 'critical', 'Summarise the older history when it grows long.', {
    label: 'Condense history',
  }),
  field('condenser.max_size', 'integer', 240, 'minor', 'How many events are kept before that.', condensing),
  field('condenser.condenser_kind', 'string', 'llm_summarizing', 'minor', 'How.', {
    choices: ['llm_summarizing', 'no_op'],
  }),
  field('condenser.max_tokens', 'integer', null, 'minor', 'Also when the history has this many tokens.', condensing),
  field('condenser.keep_first', 'integer', 2, 'minor', 'First events that always stay.', condensing),
  field(
    'condenser.minimum_progress',
    'number',
    0.1,
    'minor',
    'Share of the history that must become shorter.',
    condensing,
  ),
  field(
    'condenser.hard_context_reset_max_retries',
    'integer',
    5,
    'minor',
    'Attempts to make it fit after an overflow.',
    { ...condensing, label: 'Hard reset retries' },
  ),
  field('condenser.hard_context_reset_context_scaling', 'number', 0.8, 'minor', 'How much smaller each attempt is.', {
    ...condensing,
    label: 'Hard reset scaling',
  }),
];

const critical = { on: ['verification.critic_enabled'] };
const refining = { on: ['verification.critic_enabled', 'verification.enable_iterative_refinement'] };
export const VERIFICATION: Field[] = [
  field('verification.critic_enabled', 'boolean', false, 'critical', 'Have a second model judge the work.', {
    label: 'Critic',
  }),
  field('verification.critic_mode', 'string', 'finish_and_message', 'minor', 'What it judges.', {
    ...critical,
    choices: ['finish_and_message', 'all_actions'],
  }),
  field('verification.enable_iterative_refinement', 'boolean', false, 'critical', 'Go on until it is content.', {
    ...critical,
    label: 'Refine',
  }),
  field('verification.critic_threshold', 'number', 0.6, 'minor', 'When it is content, 0 to 1.', refining),
  field('verification.max_refinement_iterations', 'integer', 3, 'minor', 'Most rounds.', refining),
  field('verification.critic_server_url', 'string', null, 'minor', 'Its address.', critical),
  field('verification.critic_model_name', 'string', null, 'minor', 'Its name.', critical),
  field('verification.critic_api_key', 'string', null, 'critical', 'Its key.', {
    ...critical,
    secret: true,
    label: 'Critic API Key',
  }),
];

export const ACP: Field[] = [
  field(
    'acp_server',
    'string',
    'claude-code',
    'critical',
    'Which agent. Sandlot stores this choice, and does not run such agents yet.',
    { label: 'ACP server', choices: ['claude-code', 'codex', 'gemini-cli', 'custom'] },
  ),
  field('acp_command', 'array', [], 'minor', 'Command that starts it.', { label: 'ACP command' }),
  field('acp_args', 'array', [], 'minor', 'Arguments added to the command.', { label: 'ACP arguments' }),
  field('acp_model', 'string', null, 'critical', 'Its model.', { label: 'ACP model' }),
  field('acp_session_mode', 'string', null, 'minor', 'Its mode.', { label: 'ACP session mode' }),
  field('acp_prompt_timeout', 'number', 1800, 'minor', 'Seconds of silence after which a prompt has failed.', {
    label: 'ACP timeout',
  }),
];

export const CONVERSATION_GENERAL: Field[] = [
  field('max_iterations', 'integer', 500, 'major', 'Steps after which a run stops.'),
];
export const CONVERSATION_VERIFICATION: Field[] = [
  field('confirmation_mode', 'boolean', false, 'critical', 'Ask me before each action.'),
  field('security_analyzer', 'string', 'llm', 'major', 'Who judges how risky an action is.', {
    choices: ['llm', 'none'],
    on: ['confirmation_mode'],
  }),
];

export const AGENT_FIELDS = [...GENERAL, ...LLM, ...CONDENSER, ...VERIFICATION, ...ACP];
export const CONVERSATION_FIELDS = [...CONVERSATION_GENERAL, ...CONVERSATION_VERIFICATION];
