/**
 * The built-in model `builtin/line-runner`: it runs the lines that the user writes, as a machine without a model key
 * can, and claims no intelligence. It is asked and answers like any model: from the messages alone.
 *
 * A message is run as follows: each fenced block is one command; without a fence, each line that begins with `$ ` is
 * one, and other lines are left out; without either, each line is one command, or the whole message is one when its
 * lines belong together (quotes, here-documents, loops).
 */
import { randomUUID } from 'node:crypto';
import { contentText } from '../../tools/tool.js';
import { LINE_RUNNER } from './names.js';
import type { Llm, LlmMessage, LlmRequest, LlmResponse, LlmToolCall } from './types.js';

/** Terminal parameters that suit it: a program that serves is noticed soon, any other is waited for. */
export const LINE_RUNNER_TERMINAL = { no_change_timeout_seconds: 2, longest_wait_seconds: 120, quiet_needs_port: true };
/** How often it waits on for a command that prints nothing and serves nothing. */
const MAX_WAITS = 4;

const JOINED =
  /<<-?\s*['"]?\w|[\\|({]\s*$|&&\s*$|^\s*(?:for|while|until|if|case|select|function)\b|^\s*(?:do|then|fi|done|esac|\}|\))|^\s*#!/;

function quotesBalance(line: string): boolean {
  let open = '';
  for (let at = 0; at < line.length; at++) {
    const char = line[at] ?? '';
    if (char === '\\' && open !== "'") at++;
    else if (open === '' && char === '#' && (at === 0 || line[at - 1] === ' ')) break;
    else if (open === '' && (char === "'" || char === '"' || char === '`')) open = char;
    else if (char === open) open = '';
  }
  return open === '';
}

/** The commands of a message. Pure. */
export function commandsOf(message: string): string[] {
  const fenced = [...message.matchAll(/^```[^\n]*\n([\s\S]*?)^```\s*$/gm)].map((hit) => (hit[1] ?? '').trim());
  if (fenced.length > 0) return fenced.filter((block) => block !== '');
  const lines = message.split('\n').map((line) => line.trimEnd());
  const prompted = lines.filter((line) => /^\s*\$ /.test(line)).map((line) => line.replace(/^\s*\$ /, '').trim());
  if (prompted.length > 0) return prompted;
  const filled = lines.filter((line) => line.trim() !== '' && !/^\s*#(?!!)/.test(line));
  if (filled.length > 1 && filled.some((line) => JOINED.test(line) || !quotesBalance(line))) return [message.trim()];
  return filled.map((line) => line.trim());
}

interface Ran {
  command: string;
  /** The last report, and how often it was waited for. */
  report: string;
  waits: number;
}

/** What was run since the last message of the user. */
function progressOf(messages: LlmMessage[]): { task: string; ran: Ran[] } {
  const from = messages.findLastIndex((message) => message.role === 'user');
  const last = messages[from];
  const ran: Ran[] = [];
  for (const message of messages.slice(from + 1)) {
    if (message.role === 'assistant') for (const call of message.toolCalls) note(call, ran);
    const current = ran.at(-1);
    if (message.role === 'tool' && current !== undefined) current.report = contentText(message.content);
  }
  return { task: last?.role === 'user' ? contentText(last.content) : '', ran };
}

function note(call: LlmToolCall, ran: Ran[]): void {
  const { command } = JSON.parse(call.arguments) as { command?: string };
  const current = ran.at(-1);
  if (command === undefined) return;
  if (command === '' && current !== undefined) current.waits++;
  else ran.push({ command, report: '', waits: 0 });
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
  const unknown = ran.some((each) => exitOf(each.report) === 127);
  return `${lines}${unknown ? `\n\nA command was not found.\n${HOW_TO}` : ''}`;
}

type Step = { tool: 'terminal'; args: Record<string, unknown> } | { tool: 'finish'; args: { message: string } };

/** What it does next. Pure. */
export function nextStep(messages: LlmMessage[]): Step {
  const { task, ran } = progressOf(messages);
  const commands = commandsOf(task);
  const current = ran.at(-1);
  if (
    current !== undefined &&
    stillRuns(current.report) &&
    portsOf(current.report) === undefined &&
    current.waits < MAX_WAITS
  ) {
    return { tool: 'terminal', args: { command: '', summary: 'wait for the command' } };
  }
  const next = commands[ran.length];
  if (next !== undefined && current?.report.includes('interrupted') !== true)
    return { tool: 'terminal', args: { command: next, summary: next.split('\n')[0]?.slice(0, 80) ?? '' } };
  return { tool: 'finish', args: { message: summaryOf(ran) } };
}

function answer(request: LlmRequest, usageId: string): LlmResponse {
  const step = nextStep(request.messages);
  const available = new Set(request.tools.map((tool) => tool.name));
  const said =
    step.tool === 'finish' ? step.args.message : `The terminal tool is not among this agent's tools.\n${HOW_TO}`;
  const calls = available.has(step.tool)
    ? [{ id: `call_${randomUUID().replaceAll('-', '')}`, name: step.tool, arguments: JSON.stringify(step.args) }]
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
