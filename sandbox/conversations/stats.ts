/** Token and cost statistics of a conversation. */
import type { ConversationStats, Metrics, TokenUsage } from '../../contracts/agent/stats.js';
import type { ModelUsage } from '../seam.js';

/** Single calls are kept this far back; the totals count all. */
const KEPT = 2000;

const emptyUsage = (model: string): TokenUsage => ({
  model,
  prompt_tokens: 0,
  completion_tokens: 0,
  cache_read_tokens: 0,
  cache_write_tokens: 0,
  reasoning_tokens: 0,
  context_window: 0,
  per_turn_token: 0,
  response_id: '',
});

/** The statistics with one model call more: its time, and what the whole conversation may cost. */
export function addUsage(
  stats: ConversationStats,
  usage: ModelUsage,
  { atSeconds, budget = null }: { atSeconds: number; budget?: number | null | undefined },
): ConversationStats {
  const { usageId, model, responseId } = usage;
  const before = stats.usage_to_metrics[usageId];
  const one: TokenUsage = {
    model,
    ...usage.tokens,
    per_turn_token: usage.tokens.prompt_tokens + usage.tokens.completion_tokens,
    response_id: responseId,
  };
  const total = before?.accumulated_token_usage ?? emptyUsage(model);
  const metrics: Metrics = {
    model_name: model,
    accumulated_cost: (before?.accumulated_cost ?? 0) + usage.costUsd,
    max_budget_per_task: budget,
    accumulated_token_usage: addTokens(total, one),
    costs: append(
      before?.costs,
      usage.priceUnknown || usage.costUsd === 0 ? [] : [{ model, cost: usage.costUsd, timestamp: atSeconds }],
    ),
    response_latencies: append(before?.response_latencies, [
      { model, latency: usage.latencySeconds, response_id: responseId },
    ]),
    token_usages: append(before?.token_usages, [one]),
  };
  return { usage_to_metrics: { ...stats.usage_to_metrics, [usageId]: metrics } };
}

function addTokens(total: TokenUsage, one: TokenUsage): TokenUsage {
  return {
    model: one.model,
    prompt_tokens: total.prompt_tokens + one.prompt_tokens,
    completion_tokens: total.completion_tokens + one.completion_tokens,
    cache_read_tokens: total.cache_read_tokens + one.cache_read_tokens,
    cache_write_tokens: total.cache_write_tokens + one.cache_write_tokens,
    reasoning_tokens: total.reasoning_tokens + one.reasoning_tokens,
    context_window: Math.max(total.context_window, one.context_window),
    per_turn_token: one.per_turn_token,
    response_id: '',
  };
}

const append = <T>(list: T[] | undefined, more: T[]): T[] => [...(list ?? []), ...more].slice(-KEPT);

/** US dollars, over all usages. */
export const costOf = (stats: ConversationStats): number =>
  Object.values(stats.usage_to_metrics).reduce((sum, each) => sum + each.accumulated_cost, 0);

/** All usages as one: sums, the longest context window, the single calls by time. */
export function combined(stats: ConversationStats): Metrics {
  const all = Object.values(stats.usage_to_metrics);
  const model = all[0]?.model_name ?? 'default';
  return {
    model_name: model,
    accumulated_cost: costOf(stats),
    max_budget_per_task: null,
    accumulated_token_usage: all.reduce(
      (sum, each) => addTokens(sum, each.accumulated_token_usage ?? emptyUsage(model)),
      emptyUsage(model),
    ),
    costs: append(
      [],
      all.flatMap((each) => each.costs ?? []),
    ),
    response_latencies: append(
      [],
      all.flatMap((each) => each.response_latencies ?? []),
    ),
    token_usages: append(
      [],
      all.flatMap((each) => each.token_usages ?? []),
    ),
  };
}

/** Two metrics of one usage as one. */
export const joined = (before: Metrics | undefined, more: Metrics): Metrics =>
  before === undefined ? more : combined({ usage_to_metrics: { before, more } });

/** Totals only, as state updates carry them. */
export const totalsOf = (stats: ConversationStats): ConversationStats => ({
  usage_to_metrics: Object.fromEntries(
    Object.entries(stats.usage_to_metrics).map(([usageId, metrics]) => {
      const { costs: _costs, response_latencies: _latencies, token_usages: _usages, ...totals } = metrics;
      return [usageId, totals];
    }),
  ),
});
