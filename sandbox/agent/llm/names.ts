/** Where a model lives, from the name that users write (`provider/model`). Pure. */
import type { LlmConfig } from '../../../contracts/agent/requests.js';

export const LINE_RUNNER = 'builtin/line-runner';

export interface Endpoint {
  api: 'openai' | 'anthropic';
  /** As error texts call it. */
  provider: string;
  baseUrl: string;
  /** The name without what told the provider. */
  model: string;
}

/** Providers with an OpenAI-compatible interface, and where it is. An empty address must come from the user. */
const OPENAI_COMPATIBLE: Record<string, string> = {
  openai: 'https://api.openai.com/v1',
  openrouter: 'https://openrouter.ai/api/v1',
  deepseek: 'https://api.deepseek.com/v1',
  mistral: 'https://api.mistral.ai/v1',
  groq: 'https://api.groq.com/openai/v1',
  xai: 'https://api.x.ai/v1',
  gemini: 'https://generativelanguage.googleapis.com/v1beta/openai',
  together_ai: 'https://api.together.xyz/v1',
  fireworks_ai: 'https://api.fireworks.ai/inference/v1',
  cerebras: 'https://api.cerebras.ai/v1',
  moonshot: 'https://api.moonshot.ai/v1',
  nvidia_nim: 'https://integrate.api.nvidia.com/v1',
  ollama: 'http://localhost:11434/v1',
  lm_studio: 'http://localhost:1234/v1',
  openhands: 'https://llm-proxy.app.all-hands.dev/v1',
  litellm_proxy: '',
  hosted_vllm: '',
  vllm: '',
  azure: '',
  custom_openai: '',
};
const ANTHROPIC = 'https://api.anthropic.com/v1';

export class ModelNameError extends Error {}

function guess(model: string): string | undefined {
  if (/^claude/i.test(model)) return 'anthropic';
  if (/^(gpt|o\d|chatgpt|codex)/i.test(model)) return 'openai';
  if (/^gemini/i.test(model)) return 'gemini';
  if (/^deepseek/i.test(model)) return 'deepseek';
  return undefined;
}

const trimmed = (url: string | null): string | undefined =>
  url === null || url.trim() === '' ? undefined : url.trim().replace(/\/+$/, '');

/** Throws ModelNameError, with words for the user, when the name cannot be served. */
export function endpointOf(config: Pick<LlmConfig, 'model' | 'base_url'>): Endpoint {
  const given = trimmed(config.base_url);
  const slash = config.model.indexOf('/');
  const prefix = slash < 0 ? undefined : config.model.slice(0, slash).toLowerCase();
  const known = prefix !== undefined && (prefix === 'anthropic' || prefix in OPENAI_COMPATIBLE);
  const provider = known ? prefix : (guess(config.model) ?? (given === undefined ? undefined : 'openai'));
  const model = known ? config.model.slice(slash + 1) : config.model;
  if (provider === undefined) {
    throw new ModelNameError(
      `The model ${config.model} names no provider that is known here. Write provider/model (${['anthropic', ...Object.keys(OPENAI_COMPATIBLE)].join(', ')}), or give a base URL of an OpenAI-compatible server.`,
    );
  }
  if (model === '') throw new ModelNameError(`The model ${config.model} has no name behind its provider.`);
  if (provider === 'anthropic') {
    const base = given === undefined || /\/v\d+$/.test(given) ? (given ?? ANTHROPIC) : `${given}/v1`;
    return { api: 'anthropic', provider: 'Anthropic', baseUrl: base, model };
  }
  const baseUrl = given ?? OPENAI_COMPATIBLE[provider] ?? '';
  if (baseUrl === '') throw new ModelNameError(`The provider ${provider} of model ${config.model} needs a base URL.`);
  return { api: 'openai', provider: 'OpenAI', baseUrl, model };
}
