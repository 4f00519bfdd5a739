/** A model behind an OpenAI-compatible or Anthropic interface, through the model library's provider level: one call, no hidden retries, arguments untouched. */
import { randomUUID } from 'node:crypto';
import type { LlmConfig } from '../../../contracts/agent/requests.js';
import type { Clock, ModelUsage } from '../../seam.js';
import { classify, emptyAnswer, LlmError, llmError, type Failure } from './errors.js';
import { endpointOf, ModelNameError, type Endpoint } from './names.js';
import { toPrompt, type CallOptions, type Model } from './prompt.js';
import { withRetries } from './retry.js';
import type { CompleteOptions, Llm, LlmRequest, LlmResponse } from './types.js';
import { createWire, type Wire } from './wire.js';

type Generated = Awaited<ReturnType<Model['doGenerate']>>;

/** The parts of an answer that both ways of calling give. */
interface Answer {
  id: string;
  content: Generated['content'];
  usage: Generated['usage'];
  headers?: Record<string, string>;
  request: unknown;
  response: unknown;
}

interface Settings {
  config: LlmConfig;
  endpoint: Endpoint;
  clock: Clock;
}

/** The wires of the calls that go on, by the signal that the library passes on to `fetch`. */
const wires = new WeakMap<AbortSignal, Wire>();
const wiredFetch: typeof fetch = (input, init) =>
  ((init?.signal == null ? undefined : wires.get(init.signal)) ?? createWire()).fetch(input, init);

/** Opened once for each configuration: the library builds its schemas anew with every model. */
const models = new WeakMap<LlmConfig, Promise<Model>>();

function modelOf(settings: Settings): Promise<Model> {
  const known = models.get(settings.config);
  if (known !== undefined) return known;
  const opened = openModel(settings);
  models.set(settings.config, opened);
  opened.catch(() => models.delete(settings.config));
  return opened;
}

async function openModel({ config, endpoint }: Settings): Promise<Model> {
  const headers = config.extra_headers ?? {};
  if (endpoint.api === 'anthropic') {
    const { createAnthropic } = await import('@ai-sdk/anthropic');
    return createAnthropic({
      apiKey: config.api_key ?? '',
      baseURL: endpoint.baseUrl,
      headers,
      fetch: wiredFetch,
    }).languageModel(endpoint.model) as unknown as Model;
  }
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
  const key = config.api_key === null || config.api_key === '' ? {} : { apiKey: config.api_key };
  return createOpenAICompatible({
    name: 'openaiCompatible',
    baseURL: endpoint.baseUrl,
    headers,
    fetch: wiredFetch,
    includeUsage: true,
    transformRequestBody: (body) => requestBody(endpoint, body),
    ...key,
  }).chatModel(endpoint.model);
}

/** OpenAI's reasoning models take the output limit under another name. */
function requestBody(endpoint: Endpoint, body: Record<string, unknown>): Record<string, unknown> {
  if (!/^(o\d|gpt-5)/.test(endpoint.model) || body['max_tokens'] === undefined) return body;
  const { max_tokens: limit, ...rest } = body;
  return { ...rest, max_completion_tokens: limit };
}

const REASONS = /(^|\/)(o\d|gpt-5|gpt-oss|grok-\d.*mini|gemini-(2\.5|3)|deepseek-r)/;

function callOptions({ config, endpoint }: Settings, request: LlmRequest, signal: AbortSignal): CallOptions {
  const effort =
    config.reasoning_effort !== null && config.reasoning_effort !== 'none' && REASONS.test(endpoint.model)
      ? { reasoning_effort: config.reasoning_effort }
      : {};
  const own =
    endpoint.api === 'anthropic'
      ? {}
      : { providerOptions: { openaiCompatible: { ...effort, ...config.litellm_extra_body } as Record<string, never> } };
  return {
    prompt: toPrompt(request, { api: endpoint.api, cache: config.caching_prompt }),
    ...(request.tools.length === 0
      ? {}
      : {
          tools: request.tools.map((tool) => ({
            type: 'function' as const,
            name: tool.name,
            description: tool.description,
            inputSchema: tool.parameters,
          })),
        }),
    ...(config.temperature === null ? {} : { temperature: config.temperature }),
    ...(config.top_p === null ? {} : { topP: config.top_p }),
    ...(config.top_k === null ? {} : { topK: config.top_k }),
    ...(config.max_output_tokens === null ? {} : { maxOutputTokens: config.max_output_tokens }),
    abortSignal: signal,
    ...own,
  };
}

async function generate(model: Model, options: CallOptions): Promise<Answer> {
  const done = await model.doGenerate(options);
  return {
    id: done.response?.id ?? '',
    content: done.content,
    usage: done.usage,
    ...(done.response?.headers === undefined ? {} : { headers: done.response.headers }),
    request: done.request?.body,
    response: done.response?.body,
  };
}

/** `onProgress` is called for each part, so that a silent stream can be given up. */
async function stream(
  model: Model,
  options: CallOptions,
  on: { delta: NonNullable<CompleteOptions['onDelta']>; progress: () => void },
): Promise<Answer> {
  const { stream: parts, response, request } = await model.doStream(options);
  const answer: Answer = {
    id: '',
    content: [],
    usage: {
      inputTokens: { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0 },
      outputTokens: { total: 0, text: 0, reasoning: 0 },
    },
    request: request?.body,
    response: undefined,
    ...(response?.headers === undefined ? {} : { headers: response.headers }),
  };
  const open = new Map<
    string,
    { type: 'text' | 'reasoning'; text: string; providerMetadata?: Generated['content'][number]['providerMetadata'] }
  >();
  const reader = parts.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    on.progress();
    const part = next.value;
    switch (part.type) {
      case 'response-metadata':
        answer.id = part.id ?? answer.id;
        break;
      case 'text-start':
      case 'reasoning-start':
        open.set(part.id, { type: part.type === 'text-start' ? 'text' : 'reasoning', text: '' });
        answer.content.push(open.get(part.id) as Generated['content'][number]);
        break;
      case 'text-delta':
      case 'reasoning-delta': {
        const block = open.get(part.id);
        if (block !== undefined)
          Object.assign(
            block,
            { text: block.text + part.delta },
            part.providerMetadata === undefined ? {} : { providerMetadata: part.providerMetadata },
          );
        if (part.delta !== '')
          on.delta(
            part.type === 'text-delta'
              ? { content: part.delta, reasoning: null }
              : { content: null, reasoning: part.delta },
          );
        break;
      }
      case 'tool-call':
        answer.content.push(part);
        break;
      case 'finish':
        answer.usage = part.usage;
        break;
      case 'error':
        throw part.error instanceof Error ? part.error : new Error(messageOf(part.error));
      default:
        break;
    }
  }
  answer.response = { id: answer.id, content: answer.content, usage: answer.usage };
  return answer;
}

function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  if (typeof error === 'object' && error !== null && 'message' in error) return String(error.message);
  return typeof error === 'string' ? error : JSON.stringify(error);
}

/** What the library threw, as a Failure. Only shapes are looked at: its classes are not imported here. */
function failureOf(error: unknown, { provider, wire }: { provider: string; wire: Wire }): Failure {
  const { statusCode, responseHeaders, data, name } = error as {
    statusCode?: number;
    responseHeaders?: Record<string, string>;
    data?: { error?: { code?: unknown; type?: unknown } };
    name?: string;
  };
  const code = data?.error?.code ?? data?.error?.type;
  return {
    provider,
    message: name === 'TimeoutError' ? messageOf(error) : wire.explain(messageOf(error)),
    cause: error,
    ...(wire.tooLarge ? { tooLarge: true } : {}),
    ...(statusCode === undefined || statusCode < 400 ? {} : { status: statusCode }),
    ...(responseHeaders === undefined ? {} : { headers: responseHeaders }),
    ...(typeof code === 'string' ? { code } : {}),
    ...(name === 'TimeoutError' ? { timedOut: true } : {}),
  };
}

const priceOf = (config: LlmConfig): { input: number; output: number } | undefined =>
  config.input_cost_per_token === null || config.output_cost_per_token === null
    ? undefined
    : { input: config.input_cost_per_token, output: config.output_cost_per_token };

function usageOf({ config }: Settings, answer: Answer, latencyMs: number): ModelUsage {
  const { inputTokens, outputTokens } = answer.usage;
  const prompt = inputTokens.total ?? 0;
  const completion = outputTokens.total ?? 0;
  const price = priceOf(config);
  const told = Number(
    answer.headers?.['x-litellm-response-cost'] ?? (answer.usage.raw as { cost?: unknown } | undefined)?.cost,
  );
  const cost =
    price !== undefined
      ? prompt * price.input + completion * price.output
      : Number.isFinite(told) && told > 0
        ? told
        : undefined;
  return {
    usageId: config.usage_id,
    model: config.model,
    responseId: answer.id,
    latencySeconds: latencyMs / 1000,
    costUsd: cost ?? 0,
    ...(cost === undefined ? { priceUnknown: true } : {}),
    tokens: {
      prompt_tokens: prompt,
      completion_tokens: completion,
      cache_read_tokens: inputTokens.cacheRead ?? 0,
      cache_write_tokens: inputTokens.cacheWrite ?? 0,
      reasoning_tokens: outputTokens.reasoning ?? 0,
      context_window: config.max_input_tokens ?? 0,
    },
  };
}

function responseOf(settings: Settings, answer: Answer, latencyMs: number): LlmResponse {
  const id = answer.id === '' ? `response-${randomUUID()}` : answer.id;
  const thoughts = answer.content.filter((part) => part.type === 'reasoning');
  const toolCalls = answer.content.flatMap((part) =>
    part.type === 'tool-call' ? [{ id: part.toolCallId, name: part.toolName, arguments: part.input }] : [],
  );
  const words = answer.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('');
  const reasoning = thoughts.map((part) => part.text).join('\n');
  if (words.trim() === '' && toolCalls.length === 0) throw emptyAnswer();
  return {
    id,
    text: words,
    reasoning: reasoning === '' ? null : reasoning,
    thinkingBlocks:
      settings.endpoint.api === 'anthropic'
        ? thoughts.flatMap((part) => signedThought(part.text, part.providerMetadata?.['anthropic']))
        : [],
    toolCalls,
    usage: usageOf(settings, { ...answer, id }, latencyMs),
    wire: { request: answer.request, response: answer.response },
  };
}

function signedThought(thinking: string, metadata: Record<string, unknown> | undefined): Record<string, unknown>[] {
  if (typeof metadata?.['redactedData'] === 'string')
    return [{ type: 'redacted_thinking', data: metadata['redactedData'] }];
  return typeof metadata?.['signature'] === 'string'
    ? [{ type: 'thinking', thinking, signature: metadata['signature'] }]
    : [];
}

/** One attempt, bounded by the configured timeout; a stream by the time between its parts. */
async function attempt(settings: Settings, request: LlmRequest, options: CompleteOptions): Promise<LlmResponse> {
  const { config, clock, endpoint } = settings;
  const wire = createWire();
  const began = clock.monotonic();
  const limit = new AbortController();
  const seconds = config.timeout ?? 300;
  const arm = (time: number): NodeJS.Timeout =>
    setTimeout(() => limit.abort(new DOMException(`no answer within ${time} seconds`, 'TimeoutError')), time * 1000);
  let timer = arm(seconds);
  const progress = (): void => {
    clearTimeout(timer);
    timer = arm(config.stream_idle_timeout ?? seconds);
  };
  try {
    const model = await modelOf(settings);
    const signal = AbortSignal.any([options.signal, limit.signal]);
    wires.set(signal, wire);
    const call = callOptions(settings, request, signal);
    const answer =
      options.onDelta === undefined
        ? await generate(model, call)
        : await stream(model, call, { delta: options.onDelta, progress });
    return responseOf(settings, answer, clock.monotonic() - began);
  } catch (error) {
    if (options.signal.aborted) throw options.signal.reason;
    if (error instanceof LlmError) throw error;
    const reason: unknown = limit.signal.aborted ? limit.signal.reason : error;
    throw llmError(failureOf(reason, { provider: endpoint.provider, wire }), clock.now());
  } finally {
    clearTimeout(timer);
  }
}

/** An Llm over HTTP. Wrong names are told at the first call, as a configuration error of the conversation. */
export function createProviderLlm(
  config: LlmConfig,
  options: { clock: Clock; onRetry?: (error: LlmError, delayMs: number) => void },
): Llm {
  const settingsOf = (): Settings => {
    try {
      return { config, endpoint: endpointOf(config), clock: options.clock };
    } catch (error) {
      if (!(error instanceof ModelNameError)) throw error;
      throw new LlmError('LLMBadRequestError', error.message, {
        classification: classify('config', false, 'settings'),
        retryable: false,
        cause: error,
      });
    }
  };
  const policy = {
    retries: config.num_retries,
    multiplier: config.retry_multiplier,
    minWait: config.retry_min_wait,
    maxWait: config.retry_max_wait,
  };
  return {
    model: config.model,
    usageId: config.usage_id,
    intelligent: true,
    complete: async (request, call) => {
      const settings = settingsOf();
      return withRetries(
        policy,
        {
          clock: options.clock,
          signal: call.signal,
          ...(options.onRetry === undefined ? {} : { onRetry: options.onRetry }),
        },
        () => attempt(settings, request, call),
      );
    },
  };
}
