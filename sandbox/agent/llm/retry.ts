/** Retries of a model call: exponential, with jitter, and never before the time that the provider asked for. */
import { LlmError } from './errors.js';

export interface RetryPolicy {
  /** Further attempts after the first. */
  retries: number;
  /** Seconds. */
  multiplier: number;
  minWait: number;
  maxWait: number;
}

interface Clock {
  now(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** No provider may park a conversation for longer than this. */
const LONGEST_RETRY_AFTER_MS = 5 * 60_000;

/** Milliseconds before attempt `attempt` (1 is the first retry). `random` in [0, 1). Pure. */
export function retryDelay(
  policy: RetryPolicy,
  options: { attempt: number; random: number; retryAfterMs?: number },
): number {
  const exponential = policy.multiplier * 2 ** (options.attempt - 1);
  const seconds = Math.min(policy.maxWait, Math.max(policy.minWait, exponential));
  const jittered = seconds * 1000 * (0.5 + options.random / 2);
  return Math.max(jittered, options.retryAfterMs ?? 0);
}

export async function withRetries<T>(
  policy: RetryPolicy,
  options: {
    clock: Clock;
    signal: AbortSignal;
    random?: () => number;
    onRetry?: (error: LlmError, delayMs: number) => void;
  },
  attempt: () => Promise<T>,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof LlmError) || !error.details.retryable || tried > policy.retries) throw error;
      const asked = error.details.retryAfterMs;
      if (asked !== undefined && asked > LONGEST_RETRY_AFTER_MS) throw error;
      const delay = retryDelay(policy, {
        attempt: tried,
        random: (options.random ?? Math.random)(),
        ...(asked === undefined ? {} : { retryAfterMs: asked }),
      });
      options.onRetry?.(error, delay);
      await options.clock.sleep(delay, options.signal);
    }
  }
}
