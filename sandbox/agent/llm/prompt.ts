/** Messages of the loop as the model library takes them. Pure. */
import type { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import type { Content } from '../../../contracts/agent/events.js';
import type { LlmMessage, LlmRequest } from './types.js';

export type Model = ReturnType<ReturnType<typeof createOpenAICompatible>['chatModel']>;
export type CallOptions = Parameters<Model['doGenerate']>[0];
type Prompt = CallOptions['prompt'];
type PromptMessage = Prompt[number];
type UserPart = Extract<PromptMessage, { role: 'user' }>['content'][number];
type AssistantPart = Extract<PromptMessage, { role: 'assistant' }>['content'][number];

function userParts(content: Content[]): UserPart[] {
  const parts = content.flatMap((part): UserPart[] =>
    part.type === 'text' ? [{ type: 'text', text: part.text }] : part.image_urls.map(imagePart),
  );
  return parts.length === 0 ? [{ type: 'text', text: '' }] : parts;
}

function imagePart(url: string): UserPart {
  const inline = /^data:([^;,]+);base64,(.*)$/s.exec(url);
  if (inline?.[1] !== undefined && inline[2] !== undefined)
    return { type: 'file', mediaType: inline[1], data: inline[2] };
  return { type: 'file', mediaType: 'image/*', data: new URL(url) };
}

const words = (content: Content[]): string =>
  content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');

/** Arguments go back as they came for OpenAI; Anthropic takes an object. */
function inputOf(api: 'openai' | 'anthropic', source: string): unknown {
  if (api === 'openai') return source;
  try {
    const parsed: unknown = JSON.parse(source);
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return { unparseable: source };
  }
}

function assistantParts(
  api: 'openai' | 'anthropic',
  message: Extract<LlmMessage, { role: 'assistant' }>,
): AssistantPart[] {
  const thoughts =
    api === 'anthropic'
      ? message.thinkingBlocks.flatMap(thinkingPart)
      : message.reasoning === null
        ? []
        : [{ type: 'reasoning' as const, text: message.reasoning }];
  const said: AssistantPart[] = message.text === '' ? [] : [{ type: 'text', text: message.text }];
  const calls = message.toolCalls.map((call): AssistantPart => ({
    type: 'tool-call',
    toolCallId: call.id,
    toolName: call.name,
    input: inputOf(api, call.arguments),
  }));
  return [...thoughts, ...said, ...calls];
}

function thinkingPart(block: Record<string, unknown>): AssistantPart[] {
  if (block['type'] === 'redacted_thinking')
    return [
      { type: 'reasoning', text: '', providerOptions: { anthropic: { redactedData: String(block['data'] ?? '') } } },
    ];
  if (typeof block['signature'] !== 'string') return [];
  return [
    {
      type: 'reasoning',
      text: String(block['thinking'] ?? ''),
      providerOptions: { anthropic: { signature: block['signature'] } },
    },
  ];
}

function converted(api: 'openai' | 'anthropic', message: LlmMessage): PromptMessage[] {
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.text }];
    case 'user':
      return [{ role: 'user', content: userParts([...message.content, ...(message.extra ?? [])]) }];
    case 'assistant':
      return [{ role: 'assistant', content: assistantParts(api, message) }];
    case 'tool':
      return [
        {
          role: 'tool',
          content: [
            {
              type: 'tool-result',
              toolCallId: message.toolCallId,
              toolName: message.toolName,
              output: { type: 'text', value: words(message.content) },
            },
          ],
        },
      ];
  }
}

/** Tool results are text; their pictures follow as a message of their own, behind the last result of the turn. */
function withPictures(messages: LlmMessage[]): LlmMessage[] {
  const out: LlmMessage[] = [];
  let pictures: Content[] = [];
  for (const message of messages) {
    if (message.role !== 'tool' && pictures.length > 0) {
      out.push({ role: 'user', content: [{ type: 'text', text: 'Pictures of the tool results above:' }, ...pictures] });
      pictures = [];
    }
    out.push(message);
    if (message.role === 'tool') pictures.push(...message.content.filter((part) => part.type === 'image'));
  }
  if (pictures.length > 0)
    out.push({ role: 'user', content: [{ type: 'text', text: 'Pictures of the tool results above:' }, ...pictures] });
  return out;
}

const CACHED = { anthropic: { cacheControl: { type: 'ephemeral' } } };

/** With `cache`, the system prompt and the newest message are marked for Anthropic's prompt cache. */
export function toPrompt(request: LlmRequest, options: { api: 'openai' | 'anthropic'; cache: boolean }): Prompt {
  const prompt = withPictures(request.messages).flatMap((message) => converted(options.api, message));
  if (options.api !== 'anthropic' || !options.cache) return prompt;
  const last = prompt.length - 1;
  return prompt.map((message, index) =>
    index === 0 || index === last ? { ...message, providerOptions: CACHED } : message,
  );
}
