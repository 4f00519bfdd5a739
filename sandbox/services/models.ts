/** Models that clients may offer for choice, by provider. Any other name works too: it goes to the provider as it is. */
export const MODELS: Record<string, string[]> = {
  builtin: ['builtin/line-runner'],
  anthropic: ['anthropic/claude-opus-4-5', 'anthropic/claude-sonnet-4-5', 'anthropic/claude-haiku-4-5'],
  openai: ['openai/gpt-5.6', 'openai/gpt-5', 'openai/gpt-5-mini'],
};

export const PROVIDERS: string[] = Object.keys(MODELS);

export const modelsOf = (provider: string | undefined): string[] =>
  provider === undefined ? Object.values(MODELS).flat() : (MODELS[provider] ?? []);
