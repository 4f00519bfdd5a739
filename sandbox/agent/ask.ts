/** Calls of a model with their bookkeeping: statistics, deltas, completion logs. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { LlmConfig } from '../../contracts/agent/requests.js';
import type { Tool } from '../tools/tool.js';
import { hasParameter } from './arguments.js';
import type { Llm, LlmRequest, LlmResponse, LlmTool } from './llm/types.js';
import type { Worker } from './worker.js';

const SUMMARY = { type: 'string', description: 'What this call does, in a few words, for the user.' };
const RISK = {
  type: 'string',
  enum: ['UNKNOWN', 'LOW', 'MEDIUM', 'HIGH'],
  description:
    'How much harm this call could do. LOW: reading, and changes inside the sandbox. MEDIUM: changes that last beyond the task, installs, network. HIGH: secrets leaving, data deleted outside the project, harm to other systems.',
};

/** Made once for each tool, not at each step. */
const schemas = new WeakMap<Tool, LlmTool['parameters']>();

function schemaOf(tool: Tool): LlmTool['parameters'] {
  const known = schemas.get(tool);
  if (known !== undefined) return known;
  const made = tool.parameters ?? z.toJSONSchema(tool.schema, { io: 'input' });
  schemas.set(tool, made);
  return made;
}

/** A tool as the model is told of it. With an analyzer the model also rates the risk of each call. */
export function llmTool(tool: Tool, options: { risk: boolean }): LlmTool {
  const { $schema: _schema, ...parameters } = schemaOf(tool) as Record<string, unknown> & {
    properties?: Record<string, unknown>;
    required?: string[];
  };
  const risk = options.risk && !tool.annotations.readOnlyHint ? { security_risk: RISK } : {};
  const required = [...(parameters.required ?? []), ...Object.keys(risk)];
  const summary = hasParameter(tool, 'summary') ? {} : { summary: SUMMARY };
  return {
    name: tool.name,
    description: tool.description,
    parameters: { ...parameters, properties: { ...parameters.properties, ...risk, ...summary }, required },
  };
}

export interface AskOptions {
  signal: AbortSignal;
  /** To sockets, piece by piece. */
  deltas: boolean;
}

/** Asks, and writes down what it cost. Rejects with LlmError or the signal's reason. */
export async function ask(worker: Worker, llm: Llm, request: LlmRequest, options: AskOptions): Promise<LlmResponse> {
  const { conversation } = worker;
  const words = conversation.secrets.streamMask();
  const thoughts = conversation.secrets.streamMask();
  const publish = (content: string | null, reasoning: string | null): void => {
    if ((content ?? '') === '' && (reasoning ?? '') === '') return;
    conversation.publish({ kind: 'StreamingDeltaEvent', content, reasoning_content: reasoning });
  };
  const onDelta = ({ content, reasoning }: { content: string | null; reasoning: string | null }): void =>
    publish(content === null ? null : words.push(content), reasoning === null ? null : thoughts.push(reasoning));
  const response = await llm.complete(request, {
    signal: options.signal,
    ...(options.deltas ? { onDelta } : {}),
  });
  publish(null, thoughts.end());
  publish(words.end(), null);
  await conversation.recordUsage(response.usage);
  return response;
}

/** With `log_completions`, the exchange becomes an event; with a folder, also a file. */
export async function logCompletion(worker: Worker, config: LlmConfig, response: LlmResponse): Promise<void> {
  if (!config.log_completions || response.wire === undefined) return;
  const { conversation } = worker;
  const time = conversation.clock.now() / 1000;
  const filename = `${config.model.replaceAll('/', '__')}-${time.toFixed(3)}-${response.id.slice(-8).replace(/[^\w-]/g, '')}.json`;
  const data = conversation.secrets.mask(
    JSON.stringify({
      messages: response.wire.request,
      response: response.wire.response,
      cost: response.usage.costUsd,
      timestamp: time,
      latency_sec: response.usage.latencySeconds,
    }),
  );
  await conversation.append({
    kind: 'LLMCompletionLogEvent',
    filename,
    log_data: data,
    model_name: config.model,
    usage_id: config.usage_id,
  });
  const folder = config.log_completions_folder;
  if (typeof folder !== 'string' || !folder.startsWith('/')) return;
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, filename), data, { mode: 0o600 });
  } catch (error) {
    conversation.log.warn({ error }, 'the completion log could not be written');
  }
}
