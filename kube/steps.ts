/** Runs a reconcile as an ordered list of steps of one signature and collapses what they answer. */
import { collapse, done, retry, type Outcome } from './outcome.js';
import type { ConditionUpdate } from './status.js';

/** An outcome, with conditions that became known, and `proceed` to let the next step run although this one is not done. */
export type StepResult = Outcome & { readonly conditions?: readonly ConditionUpdate[]; readonly proceed?: boolean };

/**
 * `run` sees the situation and may record in it what later steps need. Steps must be safe to repeat.
 * A step that is not done ends the list, except for steps marked `always`; throwing is the same as retry(error).
 */
export interface Step<Situation> {
  name: string;
  always?: boolean;
  run(situation: Situation, signal: AbortSignal): Promise<StepResult> | StepResult;
}

export interface StepsResult {
  /** The most urgent of all: retry, stalled, shortest wait, done. */
  outcome: Outcome;
  /** Later steps win over earlier ones of the same type. */
  conditions: ConditionUpdate[];
  /** What ran, for the log. */
  ran: { name: string; type: Outcome['type'] }[];
  /** The step that ended the list. */
  endedBy: string | undefined;
}

export async function runSteps<Situation>(
  steps: readonly Step<Situation>[],
  situation: Situation,
  signal: AbortSignal,
): Promise<StepsResult> {
  const conditions = new Map<string, ConditionUpdate>();
  const ran: StepsResult['ran'] = [];
  let outcome: Outcome = done;
  let endedBy: string | undefined;
  for (const step of steps) {
    if (endedBy !== undefined && step.always !== true) continue;
    const result = await attempt(step, situation, signal);
    ran.push({ name: step.name, type: result.type });
    for (const condition of result.conditions ?? []) conditions.set(condition.type, condition);
    outcome = collapse(outcome, result);
    if (result.type !== 'done' && result.proceed !== true) endedBy ??= step.name;
  }
  return { outcome, conditions: [...conditions.values()], ran, endedBy };
}

async function attempt<Situation>(
  step: Step<Situation>,
  situation: Situation,
  signal: AbortSignal,
): Promise<StepResult> {
  try {
    signal.throwIfAborted();
    return await step.run(situation, signal);
  } catch (error) {
    return retry(error);
  }
}
