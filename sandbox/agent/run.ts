/** The loop: ask the model, do what it says, until the task is done or somebody stops it. */
import type { AgentEventOf } from '../../contracts/agent/events.js';
import { isDiskFull } from '../disk.js';
import { text } from '../tools/tool.js';
import type { RunEnd, RunSignals } from '../seam.js';
import { appendActions, executeActions, mustWait } from './actions.js';
import { ask, llmTool, logCompletion } from './ask.js';
import { condenseNow, condenserOf, tooLong } from './condense.js';
import { hooksFor, runHooks } from './hooks.js';
import { classify, LlmError } from './llm/errors.js';
import type { LlmResponse } from './llm/types.js';
import { maskDeep } from './mask.js';
import { toMessages } from './messages.js';
import { isStuck } from './stuck.js';
import { openCalls, type View } from './view.js';
import type { Worker } from './worker.js';
import { wantsDeltas } from './system-prompt.js';

/** 'again': the step is over and the work is not. */
type StepEnd = RunEnd | 'again';

const MAX_STOPS = 3;
/** Condensations that may follow one another without an answer between. */
const MAX_CONDENSATIONS = 3;

export async function runLoop(worker: Worker, signals: RunSignals): Promise<RunEnd> {
  const { conversation } = worker;
  let condensations = 0;
  try {
    const pending = await executePending(worker, signals);
    if (pending !== 'again') return pending;
    for (let iteration = 0; ;) {
      const stopped = await stopBefore(worker, signals, iteration);
      if (stopped !== undefined) return stopped;
      const { maxIterations, stuckDetection } = conversation.settings();
      const view = await worker.view.refresh();
      if (stuckDetection && worker.llm().intelligent && isStuck(view.events)) return 'stuck';
      const condenser = condenserOf(worker);
      if (condenser !== undefined && tooLong(view, condenser) && condensations < MAX_CONDENSATIONS) {
        condensations++;
        await condenseNow(worker, condenser, signals.interrupt);
        continue;
      }
      if (isForbidden(worker, view)) return 'finished';
      if (iteration >= maxIterations) return await outOfIterations(worker, maxIterations);
      const before = condensations;
      const end = await step(worker, signals);
      if (end !== 'again') return end;
      if (!(await worker.view.refresh()).condensationWanted && condensations === before) condensations = 0;
      iteration++;
    }
  } catch (error) {
    if (signals.interrupt.aborted) return 'interrupted';
    // The server tells of it, also where the history takes nothing.
    if (isDiskFull(error)) throw error;
    return reportError(worker, error);
  }
}

async function stopBefore(worker: Worker, signals: RunSignals, iteration: number): Promise<RunEnd | undefined> {
  if (signals.interrupt.aborted) return 'interrupted';
  if (signals.pause.aborted) return 'paused';
  const { maxBudget } = worker.conversation.settings();
  // Not before the first step: a person who says more wants an answer, and each costs one step at most.
  if (iteration === 0 || maxBudget === null || worker.conversation.spent() < maxBudget) return undefined;
  return await outOfBudget(worker, maxBudget);
}

/** Actions that waited for the user's word. */
async function executePending(worker: Worker, signals: RunSignals): Promise<StepEnd> {
  return worker.conversation.whileTools(async () => {
    const view = await worker.view.refresh();
    const waiting = openCalls(view.events).filter((event) => event.action != null);
    if (waiting.length === 0) return 'again';
    return endOf(await executeActions(worker, waiting, signals));
  });
}

const endOf = (executed: 'done' | 'finished' | 'interrupted'): StepEnd => (executed === 'done' ? 'again' : executed);

async function step(worker: Worker, signals: RunSignals): Promise<StepEnd> {
  const { conversation } = worker;
  const { agent, securityAnalyzer } = conversation.settings();
  const llm = worker.llm();
  const view = await worker.view.refresh();
  const seen = view.events.at(-1)?.id;
  await worker.connected();
  const request = {
    messages: toMessages(view.events, worker.tools),
    tools: [...worker.tools.values()].map((tool) => llmTool(tool, { risk: securityAnalyzer !== null })),
  };
  let response: LlmResponse;
  try {
    response = await ask(worker, llm, request, { signal: signals.interrupt, deltas: wantsDeltas(agent.llm) });
  } catch (error) {
    if (
      !(error instanceof LlmError) ||
      error.details.context !== true ||
      condenserOf(worker) === undefined ||
      view.condensationWanted
    )
      throw error;
    await conversation.append({ kind: 'CondensationRequest' });
    return 'again';
  }
  await logCompletion(worker, agent.llm, response);
  if (signals.interrupt.aborted) return 'interrupted';
  return conversation.whileTools(async () => {
    const end = await act(worker, response, signals);
    if (end !== 'finished') return end;
    return (await spokenSince(worker, seen)) || (await mustGoOn(worker)) ? 'again' : end;
  });
}

/** Whether a hook forbade the newest message of the user. */
function isForbidden({ blockedMessages }: Worker, view: View): boolean {
  const last = view.events.findLast((event) => event.kind === 'MessageEvent' && event.source === 'user');
  return last !== undefined && last === view.events.at(-1) && blockedMessages.has(last.id);
}

/** Stop hooks may say that the work is not done: the agent is told why. At most `MAX_STOPS` times for one message. */
async function mustGoOn(worker: Worker): Promise<boolean> {
  const { conversation } = worker;
  if (hooksFor(conversation.settings().hookConfig, 'Stop').length === 0) return false;
  const { events } = await worker.view.refresh();
  const from = events.findLastIndex((event) => event.kind === 'MessageEvent' && event.source === 'user');
  const told = events
    .slice(from + 1)
    .filter((event) => event.kind === 'MessageEvent' && event.source === 'hook').length;
  if (told >= MAX_STOPS) return false;
  const { blocked, context } = await runHooks(worker, 'Stop', { details: { reason: 'finished' } });
  if (blocked === undefined) return false;
  const words = [text(`The work is not done yet: ${context.length > 0 ? context.join('\n') : blocked}`)];
  await conversation.append({
    kind: 'MessageEvent',
    source: 'hook',
    llm_message: { role: 'user', content: words },
    activated_skills: [],
    extended_content: [],
  });
  return true;
}

/** Whether the user said something that the model has not seen: then the task is not finished. */
async function spokenSince(worker: Worker, seen: string | undefined): Promise<boolean> {
  const { events } = await worker.view.refresh();
  const from = events.findIndex((event) => event.id === seen);
  return events.slice(from + 1).some((event) => event.kind === 'MessageEvent' && event.source === 'user');
}

async function act(worker: Worker, response: LlmResponse, signals: RunSignals): Promise<StepEnd> {
  if (response.toolCalls.length === 0) {
    await appendAnswer(worker, response);
    return 'finished';
  }
  const actions = await appendActions(worker, response);
  if (mustWait(worker, actions)) return 'waiting_for_confirmation';
  return endOf(await executeActions(worker, actions, signals));
}

async function appendAnswer({ conversation }: Worker, response: LlmResponse): Promise<void> {
  await conversation.append(
    maskDeep(
      {
        kind: 'MessageEvent' as const,
        source: 'agent' as const,
        llm_message: {
          role: 'assistant' as const,
          content: [text(response.text)],
          tool_calls: null,
          tool_call_id: null,
          name: null,
          reasoning_content: response.reasoning,
          thinking_blocks: response.thinkingBlocks,
          responses_reasoning_item: null,
        },
        llm_response_id: response.id,
        activated_skills: [],
        extended_content: [],
        sender: null,
        critic_result: null,
      },
      conversation.secrets.mask,
    ),
  );
}

const outOfIterations = (worker: Worker, limit: number): Promise<RunEnd> =>
  atLimit(worker, 'MaxIterationsReached', `Agent reached maximum iterations limit (${limit}).`);

const outOfBudget = (worker: Worker, limit: number): Promise<RunEnd> =>
  atLimit(
    worker,
    'MaxBudgetReached',
    `Agent reached maximum budget limit ($${limit.toFixed(4)}); accumulated cost $${worker.conversation.spent().toFixed(4)}.`,
  );

async function atLimit({ conversation }: Worker, code: string, detail: string): Promise<RunEnd> {
  await conversation.append({
    kind: 'ConversationErrorEvent',
    code,
    detail,
    classification: classify('agent_action', true, 'retry'),
  });
  return 'error';
}

/** What went wrong, as an event that a person understands. */
async function reportError(worker: Worker, error: unknown): Promise<RunEnd> {
  const { conversation } = worker;
  const detail = error instanceof Error ? error.message : String(error);
  const known = error instanceof LlmError;
  if (known) conversation.log.warn({ code: error.code }, 'the model call failed');
  else conversation.log.error({ error }, 'the run failed');
  const event: Pick<AgentEventOf<'ConversationErrorEvent'>, 'code' | 'detail' | 'classification'> = {
    code: known ? error.code : error instanceof Error ? error.name : 'Error',
    detail: withoutKeys(worker, detail),
    classification: known ? error.details.classification : classify('internal', false, 'none'),
  };
  await conversation.append({ kind: 'ConversationErrorEvent', ...event });
  return 'error';
}

/** Providers may repeat the key that they refuse. */
function withoutKeys({ conversation }: Worker, detail: string): string {
  const { agent } = conversation.settings();
  const keys = [agent.llm.api_key, agent.condenser?.llm?.api_key].filter(
    (key): key is string => typeof key === 'string' && key.length >= 4,
  );
  return conversation.secrets.mask(keys.reduce((said, key) => said.replaceAll(key, '**********'), detail));
}
