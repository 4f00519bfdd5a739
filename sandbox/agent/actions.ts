/** From the calls of an answer to stored actions, and from actions to observations. */
import type { AgentEventOf, NewEvent, SecurityRisk, TextContent } from '../../contracts/agent/events.js';
import { text } from '../tools/tool.js';
import { parseCall, type ParsedCall } from './arguments.js';
import { needsConfirmation } from './confirmation.js';
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

function parse(worker: Worker, call: LlmToolCall): ParsedCall {
  const tool = worker.tools.get(call.name);
  if (tool !== undefined) return parseCall(tool, call.arguments);
  return {
    ok: false,
    arguments: call.arguments,
    error: `Tool '${call.name}' not found. Available: ${pythonList([...worker.tools.keys()])}`,
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

/** Writes the actions of an answer. Gives back those that can be run, in order. Called inside `exclusive`. */
export async function appendActions(worker: Worker, response: LlmResponse): Promise<ActionEvent[]> {
  const { conversation } = worker;
  const analyzed = conversation.settings().securityAnalyzer !== null;
  const valid: ActionEvent[] = [];
  for (const [index, call] of response.toolCalls.entries()) {
    const parsed = parse(worker, call);
    const event = actionEvent(
      { call, parsed, first: index === 0 },
      response,
      analyzed && parsed.ok ? parsed.risk : 'UNKNOWN',
    );
    const stored = (await conversation.append(maskDeep(event, conversation.secrets.mask))) as ActionEvent;
    if (parsed.ok) {
      worker.unmasked.set(stored.id, parsed.action);
      valid.push(stored);
    } else await appendCallError(worker, stored, { error: parsed.error });
  }
  if (analyzed) await appendAnalysis(worker, valid);
  return valid;
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

async function execute(worker: Worker, event: ActionEvent, signal: AbortSignal): Promise<Executed> {
  const { conversation } = worker;
  const tool = worker.tools.get(event.tool_name);
  const action = { ...event.action, ...worker.unmasked.get(event.id), kind: event.action?.kind ?? '' };
  worker.unmasked.delete(event.id);
  if (tool === undefined) {
    await appendCallError(worker, event, {
      error: `Tool '${event.tool_name}' not found. Available: ${pythonList([...worker.tools.keys()])}`,
    });
    return 'done';
  }
  try {
    const observation = await tool.run(action, { signal });
    if (signal.aborted) throw signal.reason;
    await conversation.append({
      kind: 'ObservationEvent',
      tool_name: event.tool_name,
      tool_call_id: event.tool_call_id,
      observation: maskDeep(observation, conversation.secrets.mask),
      action_id: event.id,
      extended_content: [],
    });
    return event.action?.kind === 'FinishAction' ? 'finished' : 'done';
  } catch (error) {
    if (signal.aborted) {
      await appendCallError(worker, event, { error: INTERRUPTED, kind: 'transient' });
      return 'interrupted';
    }
    conversation.log.error({ error, tool: event.tool_name }, 'a tool failed');
    await appendCallError(worker, event, {
      error: `The tool ${event.tool_name} failed: ${error instanceof Error ? error.message : String(error)}`,
      kind: 'internal',
    });
    return 'done';
  }
}

/** Runs actions one after the other; what follows an interrupt or a finish is not run, and says so. Called inside `exclusive`. */
export async function executeActions(worker: Worker, actions: ActionEvent[], signal: AbortSignal): Promise<Executed> {
  let state: Executed = 'done';
  for (const event of actions) {
    if (state === 'finished')
      await appendCallError(worker, event, {
        error: 'Not run: the task was finished by an earlier call of the same answer.',
      });
    else if (state === 'interrupted' || signal.aborted) {
      state = 'interrupted';
      await appendCallError(worker, event, { error: INTERRUPTED, kind: 'transient' });
    } else state = await execute(worker, event, signal);
  }
  return state;
}
