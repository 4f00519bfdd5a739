/** Cost and tokens of a conversation: the sum over what its models were used for. Pure. */
import { z } from 'zod';

const amount = z.number().nonnegative().catch(0);
const usageSchema = z.object({
  prompt_tokens: amount,
  completion_tokens: amount,
  cache_read_tokens: amount,
  cache_write_tokens: amount,
  reasoning_tokens: amount,
  context_window: amount,
  per_turn_token: amount,
});
const statsSchema = z.object({
  usage_to_metrics: z.record(
    z.string(),
    z.object({
      accumulated_cost: amount,
      max_budget_per_task: z.number().nullish().catch(null),
      accumulated_token_usage: usageSchema.nullish().catch(null),
    }),
  ),
});

export interface MetricsSnapshot {
  model_name: string;
  accumulated_cost: number;
  max_budget_per_task: number | null;
  accumulated_token_usage: z.infer<typeof usageSchema> & { model: string; response_id: string };
}

/** undefined when `stats` is not what an agent server sends. */
export function metricsOf(stats: unknown): MetricsSnapshot | undefined {
  const parsed = statsSchema.safeParse(stats);
  if (!parsed.success) return undefined;
  const all = Object.values(parsed.data.usage_to_metrics);
  const total = (key: keyof z.infer<typeof usageSchema>) =>
    all.reduce((sum, one) => sum + (one.accumulated_token_usage?.[key] ?? 0), 0);
  const largest = (key: keyof z.infer<typeof usageSchema>) =>
    Math.max(0, ...all.map((one) => one.accumulated_token_usage?.[key] ?? 0));
  return {
    model_name: 'default',
    accumulated_cost: all.reduce((sum, one) => sum + one.accumulated_cost, 0),
    max_budget_per_task: all.map((one) => one.max_budget_per_task ?? null).find((budget) => budget !== null) ?? null,
    accumulated_token_usage: {
      model: '',
      prompt_tokens: total('prompt_tokens'),
      completion_tokens: total('completion_tokens'),
      cache_read_tokens: total('cache_read_tokens'),
      cache_write_tokens: total('cache_write_tokens'),
      reasoning_tokens: total('reasoning_tokens'),
      context_window: largest('context_window'),
      per_turn_token: largest('per_turn_token'),
      response_id: '',
    },
  };
}
