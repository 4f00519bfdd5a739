/** Making a long conversation shorter: a summary, written by a model, in place of its middle. */
import type { LlmConfig } from '../../contracts/agent/requests.js';
import { text } from '../tools/tool.js';
import { ask } from './ask.js';
import type { LlmMessage } from './llm/types.js';
import { toMessages } from './messages.js';
import type { View, ViewEvent } from './view.js';
import type { Worker } from './worker.js';

export interface CondenserSettings {
  llm: LlmConfig;
  /** Events in the view that are allowed; more are condensed. */
  maxSize: number;
  /** Events at the beginning that always stay (system prompt, task). */
  keepFirst: number;
}

const DEFAULT_MAX_SIZE = 240;
const DEFAULT_KEEP_FIRST = 2;
/** Characters of one event that the summarizing model reads. */
const EVENT_LIMIT = 8000;

/** The condenser of the agent; undefined when it has none that summarizes. */
export function condenserOf(worker: Worker): CondenserSettings | undefined {
  const { condenser, llm } = worker.conversation.settings().agent;
  if (condenser === null || condenser.kind === 'NoOpCondenser') return undefined;
  return {
    llm: condenser.llm ?? llm,
    maxSize: condenser.max_size ?? DEFAULT_MAX_SIZE,
    keepFirst: condenser.keep_first ?? DEFAULT_KEEP_FIRST,
  };
}

/** Indexes [from, to) of the events to forget, so that about `target` are left. Pairs of call and result stay together. Pure. */
export function forgettable(
  events: ViewEvent[],
  options: { target: number; keepFirst: number },
): { from: number; to: number } {
  const from = Math.min(options.keepFirst, events.length);
  const tail = Math.max(0, options.target - from - 1);
  let to = Math.max(from, events.length - tail);
  while (to < events.length && events[to]?.kind !== 'MessageEvent' && events[to]?.kind !== 'ActionEvent') to++;
  const before = events[to - 1];
  const next = events[to];
  if (
    before?.kind === 'ActionEvent' &&
    next?.kind === 'ActionEvent' &&
    before.llm_response_id === next.llm_response_id
  ) {
    while (to < events.length && events[to]?.kind !== 'MessageEvent') to++;
  }
  return { from, to };
}

export const tooLong = (view: View, settings: CondenserSettings | undefined): boolean =>
  settings !== undefined && (view.condensationWanted || view.events.length > settings.maxSize);

/** A message as a judge or a summarizing model reads it. Pure. */
export function asText(message: LlmMessage): string {
  const shorten = (value: string): string =>
    value.length <= EVENT_LIMIT ? value : `${value.slice(0, EVENT_LIMIT / 2)}\n[…]\n${value.slice(-EVENT_LIMIT / 2)}`;
  switch (message.role) {
    case 'system':
      return '';
    case 'user':
      return `USER: ${shorten(message.content.flatMap((part) => (part.type === 'text' ? [part.text] : ['(picture)'])).join('\n'))}`;
    case 'assistant':
      return `AGENT: ${shorten([message.text, ...message.toolCalls.map((call) => `calls ${call.name} ${call.arguments}`)].filter((part) => part !== '').join('\n'))}`;
    case 'tool':
      return `RESULT of ${message.toolName}: ${shorten(message.content.flatMap((part) => (part.type === 'text' ? [part.text] : ['(picture)'])).join('\n'))}`;
  }
}

const ORDER = `Summarize the part of an agent's work below, so that the agent can go on without it. Keep what it still needs: the user's wishes in their words, decisions and their reasons, files that were read or changed and how, commands that matter and their outcome, errors and what was found out about them, what is done and what is left. Leave out what no longer matters. Write plain notes, no greeting.`;

/** Summarizes now and stores it. Rejects with LlmError or the signal's reason. */
export async function condenseNow(worker: Worker, settings: CondenserSettings, signal: AbortSignal): Promise<void> {
  const view = await worker.view.refresh();
  const target = view.condensationWanted ? Math.floor(view.events.length / 2) : Math.floor(settings.maxSize / 2);
  const { from, to } = forgettable(view.events, { target, keepFirst: settings.keepFirst });
  const forgotten = view.events.slice(from, to);
  const story = toMessages(forgotten, worker.tools)
    .map(asText)
    .filter((line) => line !== '')
    .join('\n\n');
  const request = { messages: [{ role: 'user' as const, content: [text(`${ORDER}\n\n${story}`)] }], tools: [] };
  const llm = worker.open(settings.llm);
  const response = llm.intelligent
    ? await ask(worker, llm, request, { signal, deltas: false })
    : { text: `(${forgotten.length} earlier events were left out)`, id: 'none' };
  await worker.conversation.append({
    kind: 'Condensation',
    forgotten_event_ids: forgotten.map((event) => event.id),
    summary: worker.conversation.secrets.mask(response.text),
    summary_offset: from,
    llm_response_id: response.id,
  });
}
