/** The Llm that a configuration names. */
import type { LlmConfig } from '../../../contracts/agent/requests.js';
import type { Clock } from '../../seam.js';
import type { Logger } from '../../../process/log.js';
import { createLineRunner } from './line-runner.js';
import { LINE_RUNNER } from './names.js';
import { createProviderLlm } from './provider.js';
import type { Llm } from './types.js';

export function openLlm(config: LlmConfig, options: { clock: Clock; log: Logger }): Llm {
  if (config.model === LINE_RUNNER) return createLineRunner(config.usage_id);
  return createProviderLlm(config, {
    clock: options.clock,
    onRetry: (error, delayMs) =>
      options.log.warn(
        { code: error.code, delayMs: Math.round(delayMs), model: config.model },
        'the model call failed and is tried again',
      ),
  });
}
