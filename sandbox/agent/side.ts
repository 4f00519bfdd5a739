/** Questions beside the task: an answer about it, and a title for it. */
import type { LlmConfig } from '../../contracts/agent/requests.js';
import type { Logger } from '../../process/log.js';
import type { Clock } from '../seam.js';
import { contentText, text } from '../tools/tool.js';
import { ask, llmTool } from './ask.js';
import { LlmError } from './llm/errors.js';
import { openLlm } from './llm/open.js';
import { HOW_TO } from './llm/line-runner.js';
import { toMessages } from './messages.js';
import type { Worker } from './worker.js';

const QUESTION = (question: string): string =>
  `A question about the work so far. Answer it in words from what you know, and do not call tools.\n\n${question}`;

/** Answers from the history, without leaving a trace in it. Rejects with LlmError. */
export async function answerQuestion(worker: Worker, question: string, signal: AbortSignal): Promise<string> {
  const { agent } = worker.conversation.settings();
  const llm = worker.open({ ...agent.llm, usage_id: 'ask-agent-llm' });
  if (!llm.intelligent) return HOW_TO;
  const view = await worker.view.refresh();
  const messages = [
    ...toMessages(view.events, worker.tools),
    { role: 'user' as const, content: [text(QUESTION(question))] },
  ];
  const tools = [...worker.tools.values()].map((tool) => llmTool(tool, { risk: false }));
  const response = await ask(worker, llm, { messages, tools }, { signal, deltas: false });
  return worker.conversation.secrets.mask(response.text);
}

/** The beginning of a text as a title. Pure. */
export function shortTitle(words: string, maxLength: number): string {
  const line = words
    .replace(/```\w*/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  const characters = [...line];
  if (characters.length <= maxLength) return line;
  return `${characters
    .slice(0, maxLength - 1)
    .join('')
    .trimEnd()}…`;
}

const TITLE = (maxLength: number): string =>
  `Give the task below a title of at most ${maxLength} characters, in its own language, that tells it apart from other tasks. Answer with the title alone, without quotes.\n\n`;

export async function makeTitle(
  worker: Worker,
  options: { maxLength: number; llm?: LlmConfig; signal: AbortSignal },
): Promise<string> {
  const { conversation } = worker;
  const view = await worker.view.refresh();
  const first = view.events.find((event) => event.kind === 'MessageEvent' && event.source === 'user');
  const words = first?.kind === 'MessageEvent' ? contentText(first.llm_message.content) : '';
  const fallback = shortTitle(conversation.secrets.mask(words), options.maxLength);
  const llm = worker.open(options.llm ?? conversation.settings().agent.llm);
  if (!llm.intelligent || words === '') return fallback;
  try {
    const request = {
      messages: [{ role: 'user' as const, content: [text(TITLE(options.maxLength) + words.slice(0, 4000))] }],
      tools: [],
    };
    const response = await ask(worker, llm, request, { signal: options.signal, deltas: false });
    const title = shortTitle(response.text.replace(/^["'«“]+|["'»”.]+$/g, ''), options.maxLength);
    return title === '' ? fallback : conversation.secrets.mask(title);
  } catch (error) {
    if (options.signal.aborted || error instanceof LlmError) return fallback;
    throw error;
  }
}

/** Some models refuse to answer with fewer. */
const TRY_TOKENS = 16;
/** What says nothing about whether the model is configured well. */
const PASSING = ['LLMRateLimitError', 'LLMTimeoutError', 'LLMNoResponseError'];

/** Null when the model answers, or would at another time. Errors do not show its keys. */
export async function tryModel(
  config: LlmConfig,
  { signal, ...options }: { clock: Clock; log: Logger; signal: AbortSignal },
): Promise<{ type: string; message: string } | null> {
  const llm = openLlm({ ...config, num_retries: 0, max_output_tokens: TRY_TOKENS, stream: false }, options);
  try {
    await llm.complete({ messages: [{ role: 'user', content: [text('ping')] }], tools: [] }, { signal });
    return null;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const type = error instanceof LlmError ? error.code : error.name;
    if (PASSING.includes(type) || signal.aborted) return null;
    const key = config.api_key ?? '';
    return { type, message: key.length < 4 ? error.message : error.message.replaceAll(key, '**********') };
  }
}
