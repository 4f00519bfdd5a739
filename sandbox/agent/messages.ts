/** From events to what the model reads. Pure. */
import type { AgentEventOf, Content } from '../../contracts/agent/events.js';
import type { Tool } from '../tools/tool.js';
import { text } from '../tools/tool.js';
import type { LlmMessage } from './llm/types.js';
import type { ViewEvent } from './view.js';

type Assistant = Extract<LlmMessage, { role: 'assistant' }>;
interface Turn {
  message: Assistant;
  results: Map<string, LlmMessage>;
}

const NO_RESULT = 'There is no result of this call: it was interrupted.';

function resultOf(event: ViewEvent, tools: ReadonlyMap<string, Tool>): Content[] | undefined {
  switch (event.kind) {
    case 'ObservationEvent': {
      const own = tools.get(event.tool_name)?.modelContent?.(event.observation) ?? event.observation.content;
      return [...own, ...event.extended_content];
    }
    case 'UserRejectObservation':
      return [text(`The user rejected this action: ${event.rejection_reason}`)];
    case 'AgentErrorEvent':
      return [text(`Error: ${event.error}`)];
    default:
      return undefined;
  }
}

function assistantOf(event: AgentEventOf<'ActionEvent'>): Assistant {
  return {
    role: 'assistant',
    text: event.thought.map((part) => part.text).join('\n'),
    reasoning: event.reasoning_content ?? null,
    thinkingBlocks: event.thinking_blocks,
    toolCalls: [],
  };
}

function systemText(event: AgentEventOf<'SystemPromptEvent'>): string {
  const context = event.dynamic_context?.text;
  return context === undefined ? event.system_prompt.text : `${event.system_prompt.text}\n\n${context}`;
}

/** Calls of one answer become one message with their results behind it, whatever was said in between. */
export function toMessages(events: ViewEvent[], tools: ReadonlyMap<string, Tool>): LlmMessage[] {
  const out: (LlmMessage | Turn)[] = [];
  const turns = new Map<string, Turn>();
  const turnOfCall = new Map<string, Turn>();
  for (const event of events) {
    if (event.kind === 'ActionEvent') {
      let turn = turns.get(event.llm_response_id);
      if (turn === undefined) {
        turn = { message: assistantOf(event), results: new Map() };
        turns.set(event.llm_response_id, turn);
        out.push(turn);
      }
      turn.message.toolCalls.push({
        id: event.tool_call_id,
        name: event.tool_name,
        arguments: event.tool_call.arguments,
      });
      turnOfCall.set(event.tool_call_id, turn);
    } else if (event.kind === 'SystemPromptEvent') {
      out.push({ role: 'system', text: systemText(event) });
    } else if (event.kind === 'CondensationSummaryEvent') {
      out.push({ role: 'user', content: [text(event.summary)] });
    } else if (event.kind === 'MessageEvent') {
      out.push(messageOf(event));
    } else {
      const content = resultOf(event, tools);
      if (content !== undefined)
        turnOfCall.get(event.tool_call_id)?.results.set(event.tool_call_id, {
          role: 'tool',
          toolCallId: event.tool_call_id,
          toolName: event.tool_name,
          content,
        });
    }
  }
  return out.flatMap((entry) => ('message' in entry ? [entry.message, ...resultsOf(entry)] : [entry]));
}

function resultsOf({ message, results }: Turn): LlmMessage[] {
  return message.toolCalls.map(
    (call) =>
      results.get(call.id) ?? { role: 'tool', toolCallId: call.id, toolName: call.name, content: [text(NO_RESULT)] },
  );
}

function messageOf(event: AgentEventOf<'MessageEvent'>): LlmMessage {
  const { llm_message: message } = event;
  if (message.role !== 'assistant') return { role: 'user', content: message.content, extra: event.extended_content };
  const said = message.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
  return {
    role: 'assistant',
    text: said,
    reasoning: message.reasoning_content ?? null,
    thinkingBlocks: message.thinking_blocks ?? [],
    toolCalls: [],
  };
}
