/** One POST to a webhook with its attempts. */
import type { WebhookSpec } from '../config.js';
import type { Clock } from '../seam.js';

export interface Sender {
  /** True when the receiver took it within `1 + num_retries` attempts. Never throws. */
  post(path: string, body: string, signal?: AbortSignal): Promise<boolean>;
}

export interface SenderOptions {
  spec: WebhookSpec;
  sessionKey: () => string | null;
  clock: Clock;
  request?: typeof fetch;
  onFailure?: (reason: string) => void;
}

const TIMEOUT_MS = 30_000;

export function createSender(options: SenderOptions): Sender {
  const { spec, clock } = options;
  const request = options.request ?? fetch;
  const attempt = async (path: string, body: string): Promise<string | undefined> => {
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
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `answered ${response.status}`;
    } catch (error) {
      return error instanceof Error ? error.name : 'failed';
    }
  };
  return {
    async post(path, body, signal) {
      for (let tries = 0; ; tries++) {
        const failure = await attempt(path, body);
        if (failure === undefined) return true;
        options.onFailure?.(failure);
        if (tries >= spec.num_retries || signal?.aborted === true) return false;
        try {
          await clock.sleep(spec.retry_delay * 1000, signal);
        } catch {
          return false;
        }
      }
    },
  };
}
