/** From the calls of an answer to stored actions, and from actions to observations. */
import { randomUUID } from 'node:crypto';
import type { AgentEventOf, NewEvent, Observation, SecurityRisk, TextContent } from '../../contracts/agent/events.js';
import type { RunSignals } from '../seam.js';
import { text } from '../tools/tool.js';
import { parseCall, type ParsedCall } from './arguments.js';
import { needsConfirmation } from './confirmation.js';
import { runHooks } from './hooks.js';
import { classify } from './llm/errors.js';
import type { LlmResponse, LlmToolCall } from './llm/types.js';
import { maskDeep } from './mask.js';
import { pythonList } from './python-json.js';
import type { Worker } from './worker.js';

type ActionEvent = AgentEventOf<'ActionEvent'>;

const AGENT_ACTION = classify('agent_action', true, 'retry');
const INTERRUPTED = 'Tool call interrupted before completion. The conversation was paused.';
export const RESTARTED =
  'A restart occurred while this tool was in progress. This may indicate a fatal memory error or system crash. The tool execution was interrupted and did not complete.';

export async function appendCallError(
  worker: Worker,
  call: { tool_name: string; tool_call_id: string },
  options: { error: string; kind?: 'agent_action' | 'internal' | 'transient' },
): Promise<void> {
  const classification =
    options.kind === undefined || options.kind === 'agent_action'
      ? AGENT_ACTION
      : classify(options.kind, options.kind === 'transient', options.kind === 'transient' ? 'retry' : 'none');
  await worker.conversation.append({
    kind: 'AgentErrorEvent',
    tool_name: call.tool_name,
    tool_call_id: call.tool_call_id,
    error: worker.conversation.secrets.mask(options.error),
    classification,
  });
}

const notFound = (worker: Worker, name: string): string =>
  `Tool '${name}' not found. Available: ${pythonList([...worker.tools.keys()])}`;

function parse(worker: Worker, call: LlmToolCall): ParsedCall {
  const tool = worker.tools.get(call.name);
  if (tool !== undefined) return parseCall(tool, call.arguments);
  return {
    ok: false,
    arguments: call.arguments,
    error: notFound(worker, call.name),
  };
}

interface Draft {
  call: LlmToolCall;
  parsed: ParsedCall;
  first: boolean;
}

function actionEvent(
  { call, parsed, first }: Draft,
  response: LlmResponse,
  risk: SecurityRisk,
): Extract<NewEvent, { kind: 'ActionEvent' }> {
  const thought: TextContent[] = first && response.text !== '' ? [text(response.text)] : [];
  return {
    kind: 'ActionEvent',
    thought,
    reasoning_content: first ? response.reasoning : null,
    thinking_blocks: first ? response.thinkingBlocks : [],
    responses_reasoning_item: null,
    action: parsed.ok ? parsed.action : null,
    tool_name: call.name,
    tool_call_id: call.id,
    tool_call: {
      id: call.id,
      responses_item_id: null,
      name: call.name,
      arguments: parsed.arguments,
      origin: 'completion',
    },
    llm_response_id: response.id,
    security_risk: risk,
    summary: parsed.ok ? parsed.summary : null,
    critic_result: null,
  };
}

/** Some models number their calls anew in each answer, or not at all; results are found by the id. */
async function withOwnIds(worker: Worker, calls: LlmToolCall[]): Promise<LlmToolCall[]> {
  const { events } = await worker.view.refresh();
  const used = new Set(events.flatMap((event) => (event.kind === 'ActionEvent' ? [event.tool_call_id] : [])));
  return calls.map((call) => {
    const id = call.id === '' || used.has(call.id) ? `call_${randomUUID().replaceAll('-', '')}` : call.id;
    used.add(id);
    return { ...call, id };
  });
}

/** Writes the actions of an answer. Gives back those that can be run, in order. Called inside `whileTools`. */
export async function appendActions(worker: Worker, response: LlmResponse): Promise<ActionEvent[]> {
  const { conversation } = worker;
  const analyzed = conversation.settings().securityAnalyzer !== null;
  const valid: ActionEvent[] = [];
  for (const [index, call] of (await withOwnIds(worker, response.toolCalls)).entries()) {
    const parsed = parse(worker, call);
    const event = actionEvent(
      { call, parsed, first: index === 0 },
      response,
      analyzed && parsed.ok ? parsed.risk : 'UNKNOWN',
    );
    const id = randomUUID();
    const { blocked } = parsed.ok
      ? await runHooks(worker, 'PreToolUse', {
          toolName: call.name,
          actionId: id,
          details: { tool_input: parsed.action },
        })
      : {};
    const stored = (await conversation.append({ ...maskDeep(event, conversation.secrets.mask), id })) as ActionEvent;
    if (parsed.ok && blocked !== undefined) await reject(worker, stored, blocked);
    else if (parsed.ok) {
      worker.unmasked.set(stored.id, parsed.action);
      valid.push(stored);
    } else await appendCallError(worker, stored, { error: parsed.error });
  }
  if (analyzed) await appendAnalysis(worker, valid);
  return valid;
}

/** An action that a hook forbids. */
async function reject({ conversation }: Worker, event: ActionEvent, reason: string): Promise<void> {
  await conversation.block('action', event.id, reason);
  await conversation.append({
    kind: 'UserRejectObservation',
    tool_name: event.tool_name,
    tool_call_id: event.tool_call_id,
    rejection_reason: reason,
    rejection_source: 'hook',
    action_id: event.id,
  });
}

async function appendAnalysis(worker: Worker, actions: ActionEvent[]): Promise<void> {
  const { securityAnalyzer, confirmationPolicy } = worker.conversation.settings();
  if (securityAnalyzer === null || actions.length === 0) return;
  const risks = Object.fromEntries(actions.map((event) => [event.id, event.security_risk]));
  await worker.conversation.append({
    kind: 'SecurityAnalysisEvent',
    analyzer: securityAnalyzer.kind,
    policy: confirmationPolicy.kind,
    risks,
    details: {},
  });
}

export const mustWait = (worker: Worker, actions: ActionEvent[]): boolean =>
  needsConfirmation(worker.conversation.settings().confirmationPolicy, actions);

type Executed = 'done' | 'finished' | 'interrupted';

type Ran = { observation: Observation } | { error: unknown };

async function runTool(worker: Worker, event: ActionEvent, signals: RunSignals): Promise<Ran> {
  const action = { ...event.action, ...worker.unmasked.get(event.id), kind: event.action?.kind ?? '' };
  worker.unmasked.delete(event.id);
  const tool = worker.tools.get(event.tool_name);
  if (tool === undefined) return { error: new Error(notFound(worker, event.tool_name)) };
  try {
    return { observation: await tool.run(action, { signal: signals.interrupt, pause: signals.pause }) };
  } catch (error) {
    return { error };
  }
}

async function appendResult(
  worker: Worker,
  event: ActionEvent,
  options: { ran: Ran; signal: AbortSignal },
): Promise<Executed> {
  const { conversation } = worker;
  const { ran, signal } = options;
  if (signal.aborted) {
    await appendCallError(worker, event, { error: INTERRUPTED, kind: 'transient' });
    return 'interrupted';
  }
  if ('error' in ran) {
    conversation.log.error({ error: ran.error, tool: event.tool_name }, 'a tool failed');
    const why = ran.error instanceof Error ? ran.error.message : String(ran.error);
    await appendCallError(worker, event, { error: `The tool ${event.tool_name} failed: ${why}`, kind: 'internal' });
    return 'done';
  }
  await conversation.append({
    kind: 'ObservationEvent',
    tool_name: event.tool_name,
    tool_call_id: event.tool_call_id,
    observation: maskDeep(ran.observation, conversation.secrets.mask),
    action_id: event.id,
    extended_content: [],
  });
  await runHooks(worker, 'PostToolUse', {
    toolName: event.tool_name,
    actionId: event.id,
    details: { tool_input: event.action, tool_response: maskDeep(ran.observation, conversation.secrets.mask) },
  });
  return event.action?.kind === 'FinishAction' ? 'finished' : 'done';
}

/** Neighbours that only read may run together, as many as the agent is allowed. Pure. */
export function batchesOf<T>(actions: T[], options: { limit: number; parallel: (action: T) => boolean }): T[][] {
  const batches: T[][] = [];
  for (const action of actions) {
    const last = batches.at(-1);
    const joins =
      last !== undefined && last.length < options.limit && options.parallel(action) && last.every(options.parallel);
    if (joins) last.push(action);
    else batches.push([action]);
  }
  return batches;
}

/** Runs actions in their order; what follows an interrupt or a finish is not run, and says so. Called inside `whileTools`. */
export async function executeActions(worker: Worker, actions: ActionEvent[], signals: RunSignals): Promise<Executed> {
  const signal = signals.interrupt;
  const limit = Math.max(1, worker.conversation.settings().agent.tool_concurrency_limit);
  const parallel = (event: ActionEvent): boolean => {
    const tool = worker.tools.get(event.tool_name);
    return tool?.concurrent ?? tool?.annotations.readOnlyHint === true;
  };
  let state: Executed = 'done';
  for (const batch of batchesOf(actions, { limit, parallel })) {
    if (state === 'finished') {
      for (const event of batch)
        await appendCallError(worker, event, {
          error: 'Not run: the task was finished by an earlier call of the same answer.',
        });
      continue;
    }
    const ran = signal.aborted ? [] : await Promise.all(batch.map((event) => runTool(worker, event, signals)));
    for (const [index, event] of batch.entries()) {
      const end = await appendResult(worker, event, { ran: ran[index] ?? { error: signal.reason }, signal });
      if (state !== 'finished') state = end;
    }
  }
  return state;
}
