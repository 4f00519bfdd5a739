/**
 * What a conversation is made of, as REST bodies say it. Defaults are those of the OpenHands agent server 1.58; fields
 * that it has and this build does not act on are kept and given back, so that clients find what they sent.
 */
export interface LlmConfig {
  /** `provider/model`, for instance `openai/gpt-5`, `anthropic/claude-…`, `builtin/line-runner`. */
  model: string;
  api_key: string | null;
  base_url: string | null;
  usage_id: string;
  num_retries: number;
  /** Seconds. */
  retry_multiplier: number;
  retry_min_wait: number;
  retry_max_wait: number;
  /** Seconds; null: none. */
  timeout: number | null;
  stream_idle_timeout: number | null;
  temperature: number | null;
  top_p: number | null;
  top_k: number | null;
  max_input_tokens: number | null;
  max_output_tokens: number | null;
  input_cost_per_token: number | null;
  output_cost_per_token: number | null;
  stream: boolean;
  caching_prompt: boolean;
  native_tool_calling: boolean;
  reasoning_effort: string | null;
  extra_headers: Record<string, string> | null;
  litellm_extra_body: Record<string, unknown>;
  log_completions: boolean;
  log_completions_folder: string;
  [field: string]: unknown;
}

export interface AgentConfig {
  kind: string;
  llm: LlmConfig;
  tools: { name: string; params: Record<string, unknown> }[];
  mcp_config: Record<string, unknown>;
  filter_tools_regex: string | null;
  /** Class names: `FinishTool`, `ThinkTool`. */
  include_default_tools: string[];
  agent_context: {
    skills?: Record<string, unknown>[];
    system_message_suffix?: string | null;
    user_message_suffix?: string | null;
    [field: string]: unknown;
  } | null;
  system_prompt: string | null;
  system_prompt_kwargs: Record<string, unknown>;
  condenser:
    ({ kind: string; llm?: LlmConfig; max_size?: number; keep_first?: number } & Record<string, unknown>) | null;
  tool_concurrency_limit: number;
  [field: string]: unknown;
}

export interface ConfirmationPolicy {
  kind: 'NeverConfirm' | 'AlwaysConfirm' | 'ConfirmRisky';
  threshold?: 'UNKNOWN' | 'LOW' | 'MEDIUM' | 'HIGH';
  confirm_unknown?: boolean;
}
export interface SecurityAnalyzer {
  kind: string;
  [field: string]: unknown;
}
