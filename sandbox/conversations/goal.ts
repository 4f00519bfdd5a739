/** A goal: the agent is sent back to work, with what is missing, until a judge finds it reached or the rounds are used up. */
import type { Message } from '../../contracts/agent/events.js';
import { badRequest, HttpError } from '../http/errors.js';
import type { AgentRuntime, GoalVerdict } from '../seam.js';
import type { Conversation } from './conversation.js';
import { runLimitReached, type Runner, type RunSlots } from './runner.js';

/** The value of state updates with the key `goal`, as clients show it. */
export interface GoalStatus {
  active: boolean;
  status: 'running' | 'complete' | 'capped' | 'interrupted';
  /** Rounds that were judged. */
  iteration: number;
  max_iterations: number;
  objective: string;
  /** Of the last round. */
  verdict: GoalVerdict | null;
}

export interface Goal {
  /** Both throw HttpError 409 when a run or goal goes on, 429 at the limit of runs, 400 for what cannot be. */
  start(objective: string, maxIterations: number): Promise<void>;
  /** Goes on with the one that was stopped. */
  resume(): Promise<void>;
  /** Ends the loop, not the run. False when there was none. */
  stop(): Promise<boolean>;
}

export interface GoalOptions {
  conversation: Conversation;
  runner: Runner;
  runtime: () => Promise<AgentRuntime>;
  slots: RunSlots;
}

const GO_ON =
  'The work on the goal was interrupted and goes on now. Look at the real state of the workspace, do not rely on what you remember, and continue until everything that the goal demands is done and checked.';
const nextRound = (iteration: number, missing: string): string =>
  `The goal is not reached yet (check ${iteration}).\nWhat is missing: ${missing === '' ? 'proof that everything is done.' : missing}\n\nLook at the real state of the workspace, do what is left, and prove it by running the tests or commands that show it. The goal stays as it was; finish when all of it is done and proven.`;
const user = (words: string): Message => ({
  role: 'user',
  content: [{ type: 'text', text: words, cache_prompt: false }],
  thinking_blocks: [],
});

/** These answer to the user first. A run that is stuck is judged: the next message may get it going. */
const HALTS = new Set(['paused', 'error', 'waiting_for_confirmation', 'deleting']);

export function createGoal({ conversation, runner, runtime, slots }: GoalOptions): Goal {
  let shut = false;
  conversation.onShut(() => {
    shut = true;
    current?.cancel.abort();
  });
  let current: { cancel: AbortController; done: Promise<void> } | undefined;

  const tell = (change: Partial<GoalStatus>) =>
    conversation.update(
      (record) => {
        if (record.goal != null) record.goal = { ...record.goal, ...change };
      },
      ['goal'],
    );

  const work = async (first: string, { told, signal }: { told: Promise<void>; signal: AbortSignal }) => {
    await told;
    for (let words = first; ;) {
      signal.throwIfAborted();
      await runner.message(user(words), { run: true });
      await unless(signal, runner.ended());
      const goal = conversation.record.goal;
      // Stopped without a word: deleted, or another server has it.
      if (conversation.status() === 'running') return;
      if (goal == null || HALTS.has(conversation.status())) return tell({ active: false, status: 'interrupted' });
      const verdict = await (await runtime()).judgeGoal(conversation, goal.objective, signal);
      signal.throwIfAborted();
      const iteration = goal.iteration + 1;
      const done = verdict.complete ? 'complete' : iteration >= goal.max_iterations ? 'capped' : undefined;
      await tell({ active: done === undefined, status: done ?? 'running', iteration, verdict });
      if (done !== undefined) return;
      words = nextRound(iteration, verdict.missing);
    }
  };

  const begin = async (goal: Omit<GoalStatus, 'active' | 'status'>, first: string) => {
    if (conversation.settings().agent.llm.model.startsWith('builtin/'))
      throw badRequest('A goal needs a model that can judge it. Choose one for the conversation (switch_llm).');
    if (current !== undefined || runner.running)
      throw new HttpError(409, 'Conversation run or goal loop already running.');
    if (!slots.free()) throw runLimitReached();
    const cancel = new AbortController();
    conversation.record.goal = { ...goal, active: true, status: 'running' };
    const told = tell({});
    const loop = {
      cancel,
      done: work(first, { told, signal: cancel.signal })
        .catch((error: unknown) =>
          shut ? undefined : cancel.signal.aborted ? tell({ active: false, status: 'interrupted' }) : fail(error),
        )
        .catch((error: unknown) => conversation.log.error({ err: error }, 'the end of a goal could not be noted'))
        .finally(() => {
          if (current === loop) current = undefined;
        }),
    };
    current = loop;
    // Who asks for it next finds it running.
    await told;
  };
  const fail = async (error: unknown) => {
    conversation.log.warn({ err: error }, 'a goal was left');
    const detail = conversation.secrets.mask(error instanceof Error ? error.message : String(error));
    await conversation.append({
      kind: 'ConversationErrorEvent',
      code: error instanceof Error ? error.name : 'Error',
      detail: `The goal is not pursued any more: ${detail}`,
      classification: { kind: 'transient', retryable: true, user_action: 'retry' },
    });
    await tell({ active: false, status: 'interrupted' });
  };

  // The server died in it.
  if (conversation.record.goal?.active === true)
    tell({ active: false, status: 'interrupted' }).catch((error: unknown) =>
      conversation.log.error({ err: error }, 'the end of a goal could not be noted'),
    );

  return {
    async start(objective, maxIterations) {
      const masked = conversation.secrets.mask(objective);
      await begin({ iteration: 0, max_iterations: maxIterations, objective: masked, verdict: null }, objective);
    },
    async resume() {
      const last = conversation.record.goal;
      if (last == null || last.status === 'complete' || last.status === 'capped')
        throw badRequest('There is no interrupted goal to resume.');
      await begin(last, GO_ON);
    },
    async stop() {
      if (current === undefined) return false;
      const { cancel, done } = current;
      cancel.abort();
      await done;
      return true;
    },
  };
}

/** Waits for the work, or rejects when the signal fires first. */
function unless(signal: AbortSignal, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
