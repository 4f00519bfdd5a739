/** Whether the agent goes in circles since the last message of the user. Pure. */
import type { ViewEvent } from './view.js';

const SAME_STEPS = 4;
const SAME_ERRORS = 3;
const MONOLOGUE = 3;
const ALTERNATIONS = 6;

interface Step {
  call: string;
  result: string;
  failed: boolean;
}

/** What makes two events of a kind equal: not ids and times, nor what differs from process to process. */
function essence(value: unknown): string {
  return JSON.stringify(value, (key, field: unknown) =>
    key === 'pid' || key === 'metadata' || key === 'full_output_save_dir' ? undefined : field,
  );
}

function stepsOf(events: ViewEvent[]): Step[] {
  const results = new Map<string, ViewEvent>();
  for (const event of events)
    if (event.kind !== 'ActionEvent' && 'tool_call_id' in event) results.set(event.tool_call_id, event);
  return events.flatMap((event) => {
    if (event.kind !== 'ActionEvent' || isWaiting(event)) return [];
    const result = results.get(event.tool_call_id);
    if (result === undefined) return [];
    const call = essence([event.tool_name, event.action ?? event.tool_call.arguments]);
    if (result.kind === 'ObservationEvent') return [{ call, result: essence(result.observation), failed: false }];
    return [
      {
        call,
        result: essence(result.kind === 'AgentErrorEvent' ? result.error : result.kind),
        failed: result.kind === 'AgentErrorEvent',
      },
    ];
  });
}

/** Waiting for a command that prints nothing is no circle. */
const isWaiting = (event: Extract<ViewEvent, { kind: 'ActionEvent' }>): boolean =>
  event.action?.kind === 'TerminalAction' && event.action['command'] === '';

const allEqual = (items: string[]): boolean => items.every((item) => item === items[0]);

export function isStuck(events: ViewEvent[]): boolean {
  const from = events.findLastIndex((event) => event.kind === 'MessageEvent' && event.source === 'user');
  const recent = events.slice(from + 1);
  const steps = stepsOf(recent);
  const same = steps.slice(-SAME_STEPS);
  if (same.length === SAME_STEPS && allEqual(same.map((step) => step.call + step.result))) return true;
  const errors = steps.slice(-SAME_ERRORS);
  if (errors.length === SAME_ERRORS && errors.every((step) => step.failed) && allEqual(errors.map((step) => step.call)))
    return true;
  const spoken = recent.slice(-MONOLOGUE);
  if (spoken.length === MONOLOGUE && spoken.every((event) => event.kind === 'MessageEvent' && event.source === 'agent'))
    return true;
  const pairs = steps.slice(-ALTERNATIONS).map((step) => step.call + step.result);
  const [odd, even] = [pairs.filter((_, index) => index % 2 === 0), pairs.filter((_, index) => index % 2 === 1)];
  return pairs.length === ALTERNATIONS && allEqual(odd) && allEqual(even);
}
