/** Token and cost statistics, per usage id (`agent`, `condenser`, `title`, …). Costs in US dollars. */
export interface TokenUsage {
  model: string;
  prompt_tokens: number;
  completion_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  reasoning_tokens: number;
  /** The model's window; 0 when unknown. */
  context_window: number;
  per_turn_token: number;
  response_id: string;
}
export interface Metrics {
  model_name: string;
  accumulated_cost: number;
  max_budget_per_task: number | null;
  accumulated_token_usage: TokenUsage | null;
  costs?: { model: string; cost: number; timestamp: number }[];
  response_latencies?: { model: string; latency: number; response_id: string }[];
  token_usages?: TokenUsage[];
}
export interface ConversationStats {
  usage_to_metrics: Record<string, Metrics>;
}
