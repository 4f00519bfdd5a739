/** Providers and models that the settings form suggests: those that OpenHands calls verified, and our own. Facts, not advice. */
const VERIFIED: Record<string, string[]> = {
  anthropic: [
    'claude-3-7-sonnet-20250219',
    'claude-sonnet-4-20250514',
    'claude-opus-4-20250514',
    'claude-sonnet-4-5-20250929',
    'claude-haiku-4-5-20251001',
    'claude-opus-4-5-20251101',
    'claude-sonnet-4-6',
    'claude-opus-4-6',
  ],
  builtin: ['line-runner'],
  deepseek: ['deepseek-chat', 'deepseek-reasoner'],
  gemini: ['gemini-2.5-pro', 'gemini-2.5-flash', 'gemini-3-pro-preview', 'gemini-3-flash-preview'],
  minimax: ['minimax-m2.7'],
  mistral: ['devstral-small-2507', 'devstral-medium-2507'],
  moonshot: ['kimi-k2-0711-preview'],
  openai: ['gpt-5.5', 'gpt-5.4', 'gpt-5.4-mini', 'gpt-5', 'gpt-5-mini', 'gpt-4.1', 'o3', 'o4-mini'],
  openhands: ['claude-fable-5', 'claude-opus-4-5-20251101', 'claude-opus-4-6', 'minimax-m2.7'],
};
/** Providers in the order in which the form shows them. */
const ORDER = ['openhands', 'anthropic', 'deepseek', 'gemini', 'minimax', 'mistral', 'moonshot', 'openai', 'builtin'];
/** Reached by an OpenAI-compatible endpoint, named by its base URL. */
const OTHERS = ['azure', 'groq', 'litellm_proxy', 'ollama', 'openrouter', 'together_ai', 'xai'];

export const PROVIDERS = [
  ...ORDER.map((name) => ({ name, verified: true })),
  ...OTHERS.map((name) => ({ name, verified: false })),
];

export const MODELS = Object.entries(VERIFIED).flatMap(([provider, names]) =>
  names.map((name) => ({ provider, name, verified: true, hidden: false, canonical: null })),
);
