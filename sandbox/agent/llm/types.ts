/** What the loop asks of a model and gets from it, whoever makes it. */
import type { Content } from '../../../contracts/agent/events.js';
import type { ModelUsage } from '../../seam.js';

export interface LlmToolCall {
  id: string;
  name: string;
  /** JSON text exactly as it was written. */
  arguments: string;
}

export type LlmMessage =
  | { role: 'system'; text: string }
  /** `extra` is what the agent adds to the user's words (skills, suffixes). */
  | { role: 'user'; content: Content[]; extra?: Content[] }
  | {
      role: 'assistant';
      text: string;
      reasoning: string | null;
      thinkingBlocks: Record<string, unknown>[];
      toolCalls: LlmToolCall[];
    }
  | { role: 'tool'; toolCallId: string; toolName: string; content: Content[] };

export interface LlmTool {
  name: string;
  description: string;
  /** JSON schema of the arguments. */
  parameters: Record<string, unknown>;
}

export interface LlmRequest {
  messages: LlmMessage[];
  /** Empty: an answer in words is wanted. */
  tools: LlmTool[];
}

export interface LlmDelta {
  content: string | null;
  reasoning: string | null;
}

export interface LlmResponse {
  id: string;
  text: string;
  reasoning: string | null;
  /** Signed thoughts that the provider wants back (`{type: 'thinking', thinking, signature}`). */
  thinkingBlocks: Record<string, unknown>[];
  toolCalls: LlmToolCall[];
  usage: ModelUsage;
  /** Request and answer as they went over the wire, for completion logs. */
  wire?: { request: unknown; response: unknown };
}

export interface CompleteOptions {
  signal: AbortSignal;
  /** Given when deltas are wanted. */
  onDelta?: (delta: LlmDelta) => void;
}

export interface Llm {
  /** The name as users write it. */
  model: string;
  usageId: string;
  /**
   * False for the built-in model, which only runs lines: no titles or summaries can be asked of it, its repeating
   * itself is what the user wanted, and a new line does not wait for a program that never ends.
   */
  intelligent: boolean;
  /** Rejects with LlmError, or with the signal's reason when aborted. Retries are done inside. */
  complete(request: LlmRequest, options: CompleteOptions): Promise<LlmResponse>;
}
