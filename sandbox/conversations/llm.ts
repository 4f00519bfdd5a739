/** The model part of an agent: defaults of the OpenHands agent server 1.58, what of it is secret, and masks that come back. */
import { z } from 'zod';
import type { LlmConfig } from '../../contracts/agent/requests.js';

/** How a secret is written where it may not be seen. From a client it means "the one that you know". */
export const MASK = '**********';

const LLM_DEFAULTS = {
  model: 'gpt-5.6',
  api_key: null,
  provider_connection_id: null,
  auth_type: 'api_key',
  subscription_vendor: null,
  base_url: null,
  api_version: null,
  aws_access_key_id: null,
  aws_secret_access_key: null,
  aws_session_token: null,
  aws_region_name: null,
  aws_profile_name: null,
  aws_role_name: null,
  aws_session_name: null,
  aws_bedrock_runtime_endpoint: null,
  openrouter_site_url: 'https://docs.all-hands.dev/',
  openrouter_app_name: 'OpenHands',
  num_retries: 5,
  retry_multiplier: 8,
  retry_min_wait: 8,
  retry_max_wait: 64,
  timeout: 300,
  stream_idle_timeout: 300,
  max_message_chars: 30000,
  temperature: null,
  top_p: null,
  top_k: null,
  max_input_tokens: null,
  max_output_tokens: null,
  model_canonical_name: null,
  api_mode: 'auto',
  capability_overrides: {},
  extra_headers: null,
  input_cost_per_token: null,
  output_cost_per_token: null,
  ollama_base_url: null,
  stream: false,
  drop_params: true,
  disable_vision: null,
  disable_stop_word: false,
  caching_prompt: true,
  log_completions: false,
  log_completions_folder: 'logs/completions',
  custom_tokenizer: null,
  native_tool_calling: true,
  force_string_serializer: null,
  inline_image_urls: null,
  reasoning_effort: 'high',
  reasoning_summary: null,
  enable_encrypted_reasoning: true,
  prompt_cache_retention: '24h',
  extended_thinking_budget: 200000,
  seed: null,
  usage_id: 'default',
  litellm_extra_body: {},
} satisfies Record<string, unknown>;

/** Fields of an LLM that no answer shows. */
export const LLM_SECRETS = ['api_key', 'aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'] as const;

const text = z.string().nullish();
const number = z.number().nullish();

/** The LLM object of a client: what the agent acts on is typed, everything known is kept. */
export const llmSchema = z
  .looseObject({
    model: z.string().optional(),
    api_key: text,
    base_url: text,
    usage_id: z.string().optional(),
    num_retries: z.number().int().optional(),
    retry_multiplier: z.number().optional(),
    retry_min_wait: z.number().optional(),
    retry_max_wait: z.number().optional(),
    timeout: number,
    temperature: number,
    top_p: number,
    top_k: number,
    max_input_tokens: number,
    max_output_tokens: number,
    stream: z.boolean().optional(),
    extra_headers: z.record(z.string(), z.string()).nullish(),
    log_completions: z.boolean().optional(),
  })
  .transform((given) => completeLlm(given));

export function completeLlm(given: Record<string, unknown>): LlmConfig {
  const llm: Record<string, unknown> = {};
  for (const [name, fallback] of Object.entries(LLM_DEFAULTS))
    llm[name] = given[name] ?? fallbackOf(name, given, fallback);
  llm['is_subscription'] = given['auth_type'] === 'subscription';
  return llm as LlmConfig;
}

/** An explicit null wins over a default, as in the original. */
const fallbackOf = (name: string, given: Record<string, unknown>, fallback: unknown): unknown =>
  given[name] === null ? null : structuredClone(fallback);

export function redactLlm(llm: LlmConfig, mask: string | null): LlmConfig {
  const copy = { ...llm };
  for (const name of LLM_SECRETS) if (copy[name] != null) copy[name] = mask;
  if (copy.extra_headers !== null)
    copy.extra_headers = Object.fromEntries(Object.keys(copy.extra_headers).map((name) => [name, MASK]));
  return copy;
}

/** Secrets that come back masked are those of `known`; where there is none, null. Pure. */
export function unmasked(llm: LlmConfig, known: Partial<LlmConfig> | undefined): LlmConfig {
  const copy = { ...llm };
  for (const name of LLM_SECRETS) if (copy[name] === MASK) Object.assign(copy, { [name]: known?.[name] ?? null });
  if (copy.extra_headers != null)
    copy.extra_headers = Object.fromEntries(
      Object.entries(copy.extra_headers).flatMap(([name, value]) => {
        const real = value === MASK ? known?.extra_headers?.[name] : value;
        return real === undefined ? [] : [[name, real]];
      }),
    );
  return copy;
}
