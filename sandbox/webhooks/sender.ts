/** One POST to a webhook with its attempts. */
import type { WebhookSpec } from '../config.js';
import type { Clock } from '../seam.js';

/** `refused`: the receiver will never take this body. `failed`: not taken within `1 + num_retries` attempts. */
export type Delivery = 'taken' | 'refused' | 'failed';

export interface Sender {
  /** Never throws. */
  post(path: string, body: string, signal?: AbortSignal): Promise<Delivery>;
}

export interface SenderOptions {
  spec: WebhookSpec;
  sessionKey: () => string | null;
  clock: Clock;
  request?: typeof fetch;
  onFailure?: (reason: string) => void;
}

const TIMEOUT_MS = 30_000;
/** Answers about the body itself: malformed, too large, invalid. Another attempt would get them again. */
const REFUSALS = new Set([400, 413, 422]);

export function createSender(options: SenderOptions): Sender {
  const { spec, clock } = options;
  const request = options.request ?? fetch;
  const attempt = async (
    path: string,
    body: string,
    signal?: AbortSignal,
  ): Promise<{ delivery: Delivery; why: string }> => {
    const key = options.sessionKey();
    try {
      const response = await request(`${spec.base_url}${path}`, {
        method: 'POST',
        redirect: 'manual',
        headers: {
          'content-type': 'application/json',
          ...(key === null ? {} : { 'x-session-api-key': key }),
          ...spec.headers,
        },
        body,
        // A receiver that never answers must not hold up the end of the server.
        signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal === undefined ? [] : [signal])]),
      });
      await response.body?.cancel();
      const delivery = response.ok ? 'taken' : REFUSALS.has(response.status) ? 'refused' : 'failed';
      return { delivery, why: `answered ${response.status}` };
    } catch (error) {
      return { delivery: 'failed', why: error instanceof Error ? error.name : 'failed' };
    }
  };
  return {
    async post(path, body, signal) {
      for (let tries = 0; ; tries++) {
        const { delivery, why } = await attempt(path, body, signal);
        if (delivery === 'taken') return delivery;
        options.onFailure?.(why);
        if (delivery === 'refused' || tries >= spec.num_retries || signal?.aborted === true) return delivery;
        try {
          await clock.sleep(spec.retry_delay * 1000, signal);
        } catch {
          return delivery;
        }
      }
    },
  };
}
