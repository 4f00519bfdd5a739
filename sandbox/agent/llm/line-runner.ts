/**
 * The built-in model `builtin/line-runner`: it runs the lines that the user writes, as a machine without a model key
 * can, and claims no intelligence. It is asked and answers like any model: from the messages alone.
 *
 * A message is run as follows: each fenced block is one command; without a fence, each line that begins with `$ ` is
 * one, and other lines are left out; without either, each line is one. Here-documents, open quotes and continued lines
 * belong to the line that began them; a message with loops or functions is run as one script.
 */
import { randomUUID } from 'node:crypto';
import { contentText } from '../../tools/tool.js';
import { commandsOf } from './lines.js';
import { LINE_RUNNER } from './names.js';
import type { Llm, LlmMessage, LlmRequest, LlmResponse, LlmToolCall } from './types.js';

/** How the terminal waits for it: a program that serves is noticed soon, any other is waited for. */
export const LINE_RUNNER_WAITING = {
  quietSeconds: 2,
  quietNeedsPort: true,
  longestSeconds: 120,
  onBusy: 'set-aside' as const,
};
/** How often it waits on for a command that prints nothing and serves nothing. */
const MAX_WAITS = 4;

interface Ran {
  command: string;
  /** The last report, and how often it was waited for. */
  report: string;
  waits: number;
}

/** Where it is: which message of the user, which command in it. Calls carry it in their id, so that nothing else needs to be kept. */
interface Place {
  message: number;
  command: number;
}
const callId = (kind: 'run' | 'wait' | 'end', place: Place): string =>
  `call_${kind}_${place.message}_${place.command}_${randomUUID().slice(0, 8)}`;
function placeOf(id: string): (Place & { kind: string }) | undefined {
  const [, kind, message, command] = /^call_(run|wait|end)_(\d+)_(\d+)_/.exec(id) ?? [];
  return kind === undefined ? undefined : { kind, message: Number(message), command: Number(command) };
}

/** Results that are no report of a command. */
const FAILED = /^Error: |^The user rejected/;

interface Progress {
  /** The commands of each message of the user. */
  tasks: string[][];
  /** What was run since the last word to the user. */
  ran: Ran[];
  /** What comes next. */
  next: Place;
}

function progressOf(messages: LlmMessage[]): Progress {
  const tasks: string[][] = [];
  const ran: Ran[] = [];
  /** First message since somebody last answered. */
  let next: Place = { message: 0, command: 0 };
  for (const message of messages) {
    if (message.role === 'user') {
      tasks.push(commandsOf(contentText(message.content)));
      if (ran.some((each) => FAILED.test(each.report))) ran.length = 0;
    }
    if (message.role === 'assistant' && message.toolCalls.every((call) => placeOf(call.id) === undefined))
      next = { message: tasks.length, command: 0 };
    if (message.role === 'assistant') for (const call of message.toolCalls) next = follow(call, { ran, next });
    const current = ran.at(-1);
    if (message.role !== 'tool' || current === undefined || placeOf(message.toolCallId) === undefined) continue;
    current.report = contentText(message.content);
    // After an interrupt, a refusal or a failure the rest of that message is not run.
    if (FAILED.test(current.report)) next = { message: next.message + (next.command > 0 ? 1 : 0), command: 0 };
  }
  return { tasks, ran, next };
}

function follow(call: LlmToolCall, { ran, next }: { ran: Ran[]; next: Place }): Place {
  const place = placeOf(call.id);
  if (place === undefined) return next;
  const { command } = JSON.parse(call.arguments) as { command?: string };
  const current = ran.at(-1);
  if (place.kind === 'run') ran.push({ command: command ?? '', report: '', waits: 0 });
  if (place.kind === 'wait' && current !== undefined) current.waits++;
  if (place.kind !== 'end') return { message: place.message, command: place.command + 1 };
  ran.length = 0;
  return { message: place.message, command: 0 };
}

const stillRuns = (report: string): boolean => report.includes('\n[The command is still running');
const portsOf = (report: string): string | undefined => /It listens on port ([\d, ]+)\./.exec(report)?.[1];
const exitOf = (report: string): number | undefined => {
  const code = /\n\[The (?:command completed|shell ended) with exit code (-?\d+)/.exec(report)?.[1];
  return code === undefined ? undefined : Number(code);
};

function outcome({ command, report }: Ran): string {
  const shown = command.includes('\n') ? `${command.split('\n')[0] ?? ''} …` : command;
  const ports = portsOf(report);
  if (stillRuns(report))
    return `- \`${shown}\`: still running in the background${ports === undefined ? '' : `, listening on port ${ports}`}`;
  const code = exitOf(report);
  if (code === undefined) return `- \`${shown}\`: ${(report.split('\n')[0] ?? '').slice(0, 200)}`;
  return `- \`${shown}\`: ${code === 0 ? 'done' : `exit code ${code}`}`;
}

export const HOW_TO = `I am the built-in model "${LINE_RUNNER}". I have no intelligence: I run the lines that you write as shell commands in the sandbox, one after the other.
Write one command per line, or mark commands with "$ " at the beginning of a line, or put a script between \`\`\` lines. A program that keeps running, such as a web server, is left running in the background.
To have an agent that understands tasks, set a model and its key in the settings.`;

/** The last word about what was run. Pure. */
export function summaryOf(ran: Ran[]): string {
  if (ran.length === 0) return HOW_TO;
  const lines = ran.map(outcome).join('\n');
  const unknown = ran.some((each) => exitOf(each.report) === 127 || /bash: .*unexpected EOF/.test(each.report));
  return `${lines}${unknown ? `\n\nThat was no command.\n${HOW_TO}` : ''}`;
}

type Step = { id: string } & (
  { tool: 'terminal'; args: Record<string, unknown> } | { tool: 'finish'; args: { message: string } }
);

const mustWait = (ran: Ran | undefined): boolean =>
  ran !== undefined && stillRuns(ran.report) && portsOf(ran.report) === undefined && ran.waits < MAX_WAITS;

/** What it does next. Pure but for the random end of ids. */
export function nextStep(messages: LlmMessage[]): Step {
  const { tasks, ran, next } = progressOf(messages);
  if (mustWait(ran.at(-1))) {
    return {
      tool: 'terminal',
      args: { command: '', summary: 'wait for the command' },
      id: callId('wait', { ...next, command: Math.max(0, next.command - 1) }),
    };
  }
  let place = next;
  while (place.message < tasks.length && place.command >= (tasks[place.message]?.length ?? 0))
    place = { message: place.message + 1, command: 0 };
  const command = tasks[place.message]?.[place.command];
  if (command === undefined)
    return {
      tool: 'finish',
      args: { message: summaryOf(ran) },
      id: callId('end', { message: tasks.length, command: 0 }),
    };
  return {
    tool: 'terminal',
    args: { command, summary: command.split('\n')[0]?.slice(0, 80) ?? '' },
    id: callId('run', place),
  };
}

function answer(request: LlmRequest, usageId: string): LlmResponse {
  const step = nextStep(request.messages);
  const available = new Set(request.tools.map((tool) => tool.name));
  const said =
    step.tool === 'finish' ? step.args.message : `The terminal tool is not among this agent's tools.\n${HOW_TO}`;
  const calls = available.has(step.tool)
    ? [{ id: step.id, name: step.tool, arguments: JSON.stringify(step.args) }]
    : [];
  const id = `${LINE_RUNNER.replace('/', '-')}-${randomUUID()}`;
  return {
    id,
    text: calls.length === 0 ? said : '',
    reasoning: null,
    thinkingBlocks: [],
    toolCalls: calls,
    usage: {
      usageId,
      model: LINE_RUNNER,
      responseId: id,
      latencySeconds: 0,
      costUsd: 0,
      priceUnknown: true,
      tokens: {
        prompt_tokens: 0,
        completion_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        reasoning_tokens: 0,
        context_window: 0,
      },
    },
  };
}

export function createLineRunner(usageId: string): Llm {
  return {
    model: LINE_RUNNER,
    usageId,
    intelligent: false,
    complete: (request, { signal }) =>
      signal.aborted ? Promise.reject(signal.reason as Error) : Promise.resolve(answer(request, usageId)),
  };
}
