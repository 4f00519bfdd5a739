/** The terminal tool: one shell per conversation that keeps its state, and reports that a model can act on. */
import { existsSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { terminalEnvironment } from '../environment.js';
import {
  contentText,
  text,
  type Action,
  type Observation,
  type RunOptions,
  type Tool,
  type ToolContext,
  type ToolDefinition,
} from '../tool.js';
import { keysFor } from './keys.js';
import { openSession, type Session, type WaitEnd } from './session.js';

/** Seconds without new output after which a command is reported as still running. */
const QUIET_SECONDS = 30;
/** Longest wait for a command that was given no time of its own. */
const LONGEST_SECONDS = 600;
const OUTPUT_LIMIT = 30_000;
/** Terminals that were set aside with their command still running. */
const ASIDE_MAX = 8;

const schema = z.strictObject({
  command: z
    .string()
    .describe(
      'The command line, or several. An empty string waits for more output of the command that still runs. With is_input: text or a key (C-c, C-d, C-z, UP, ENTER, …) for the running program.',
    ),
  is_input: z
    .boolean()
    .default(false)
    .describe('True: the command is typed into the program that is running, not run by the shell.'),
  timeout: z
    .number()
    .min(0)
    .nullable()
    .default(null)
    .describe(
      `Seconds to wait for the end of the command. Without it, the wait ends after ${QUIET_SECONDS} seconds without new output. The command is not killed in either case.`,
    ),
  reset: z
    .boolean()
    .default(false)
    .describe('True: ends the terminal with everything that runs in it and opens a new one.'),
});

export const terminalDefinition: ToolDefinition = {
  name: 'terminal',
  kind: 'TerminalTool',
  actionKind: 'TerminalAction',
  observationKind: 'TerminalObservation',
  description: `Runs commands in a bash terminal that stays open: the current folder, variables and functions last from call to call.
- A command that is still running is not ended by a time limit. Send "" to wait longer, type into it with is_input, or stop it with is_input and "C-c".
- Start servers and other programs that do not end in the background, with their output in a file: \`npm start > server.log 2>&1 &\`.
- Secrets of the user are environment variables; name them in the command ($NAME) and never print them.
- Long outputs are shortened in the middle; the whole is kept in a file that the report names.`,
  annotations: {
    title: 'terminal',
    readOnlyHint: false,
    destructiveHint: true,
    idempotentHint: false,
    openWorldHint: true,
  },
  schema,
};

interface Report {
  output: string;
  prefix?: string;
  end: WaitEnd | 'none';
  ports?: number[];
}

function user(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? '');
  }
}

function pythonOf(path: string): string {
  const folder = path.split(':').find((entry) => entry.startsWith('/') && existsSync(join(entry, 'python')));
  return folder === undefined ? '' : join(folder, 'python');
}

function suffixFor(
  end: Report['end'],
  exitCode: number,
  waited: { quiet: number; timeout: number },
  ports: number[],
): string {
  const listening = ports.length === 0 ? '' : ` It listens on port ${ports.join(', ')}.`;
  const next = ' Send an empty command to wait longer, is_input to type into it, or C-c as input to stop it.';
  switch (end) {
    case 'done':
      return `\n[The command completed with exit code ${exitCode}.]`;
    case 'ended':
      return `\n[The shell ended with exit code ${exitCode}; the next command gets a new one.]`;
    case 'quiet':
      return `\n[The command is still running and printed nothing new for ${waited.quiet} seconds.${listening}${next}]`;
    case 'timeout':
      return `\n[The command is still running after ${waited.timeout} seconds.${listening}${next}]`;
    case 'aborted':
      return '\n[The command was interrupted.]';
    case 'none':
      return '';
  }
}

const withoutKind = ({ kind: _kind, ...fields }: Action): Record<string, unknown> => fields;
const seconds = (value: unknown): number | undefined => (typeof value === 'number' && value > 0 ? value : undefined);

export function createTerminalTool(context: ToolContext): Tool {
  const quietSeconds = (): number =>
    context.waiting().quietSeconds ?? seconds(context.params['no_change_timeout_seconds']) ?? QUIET_SECONDS;
  const longestSeconds = (): number => context.waiting().longestSeconds ?? LONGEST_SECONDS;
  const prefer = context.params['terminal_type'] === 'subprocess' ? 'pipe' : undefined;
  const spillDir = join(context.dataDir, 'observations');
  const aside: Session[] = [];
  let session: Session | undefined;
  let running = '';

  async function open(from?: Session): Promise<Session> {
    const cwd =
      [from?.prompt.cwd, context.workingDir].find((folder) => folder !== undefined && existsSync(folder)) ?? '/';
    return openSession({
      cwd,
      env: terminalEnvironment(context.environment()),
      clock: context.clock,
      limit: OUTPUT_LIMIT,
      spillDir,
      ...(prefer === undefined ? {} : { prefer }),
      ...(from === undefined ? {} : { exports: from.exportsFile }),
    });
  }

  async function current(): Promise<Session> {
    if (session !== undefined && !session.ended) return session;
    const before = session;
    session = undefined;
    const opened = await open(before);
    await before?.close();
    return (session = opened);
  }

  /** Leaves the running command in its terminal and opens a fresh one at the same place. */
  async function setAside(busy: Session): Promise<Session> {
    const opened = await open(busy);
    aside.push(busy);
    if (aside.length > ASIDE_MAX) await aside.shift()?.close();
    return (session = opened);
  }

  function observation(command: string, report: Report, isError = false): Observation {
    const prompt = session?.prompt ?? {
      exitCode: -1,
      cwd: context.workingDir,
      path: context.environment()['PATH'] ?? '',
      background: -1,
    };
    const open = report.end !== 'done' && report.end !== 'ended';
    const exitCode = open ? -1 : prompt.exitCode;
    return {
      content: [text(report.output)],
      is_error: isError,
      command,
      exit_code: exitCode,
      timeout: report.end === 'quiet' || report.end === 'timeout',
      metadata: {
        exit_code: exitCode,
        pid: prompt.background,
        username: user(),
        hostname: hostname(),
        working_dir: prompt.cwd,
        py_interpreter_path: pythonOf(prompt.path),
        prefix: report.prefix ?? '',
        suffix: suffixFor(report.end, exitCode, { quiet: quietSeconds(), timeout: lastTimeout }, report.ports ?? []),
      },
      full_output_save_dir: spillDir,
      kind: 'TerminalObservation',
    };
  }
  let lastTimeout = LONGEST_SECONDS;

  const refusal = (command: string, why: string): Observation =>
    observation(command, { output: why, end: 'none' }, true);

  async function finish(
    active: Session,
    action: { command: string; timeout: number | null; prefix?: string },
    signal: AbortSignal,
  ): Promise<Observation> {
    lastTimeout = action.timeout ?? longestSeconds();
    const deadline = context.clock.monotonic() + lastTimeout * 1000;
    const quiet = action.timeout === null ? { quietMs: quietSeconds() * 1000 } : {};
    let end: WaitEnd;
    let ports: number[] = [];
    do {
      end = await active.wait({ ...quiet, timeoutMs: deadline - context.clock.monotonic(), signal });
      if (end === 'quiet' || end === 'timeout') ports = await active.ports();
    } while (end === 'quiet' && context.waiting().quietNeedsPort && ports.length === 0);
    if (end === 'aborted') end = await stop(active);
    const prefix = action.prefix === undefined ? {} : { prefix: action.prefix };
    return observation(action.command, { output: await active.takeOutput(), end, ports, ...prefix });
  }

  /** After an interrupt: Ctrl-C, and the end of the terminal for a program that ignores it. */
  async function stop(active: Session): Promise<WaitEnd> {
    for (let attempt = 0; attempt < 2 && active.busy; attempt++) {
      active.type('\u0003');
      await active.wait({ timeoutMs: 700, signal: new AbortController().signal });
    }
    if (active.busy) {
      await active.close();
      if (session === active) session = undefined;
    }
    return 'aborted';
  }

  async function reset(): Promise<void> {
    const old = [...aside.splice(0), ...(session === undefined ? [] : [session])];
    session = undefined;
    await Promise.all(old.map((each) => each.close()));
  }

  async function run(action: Action, { signal }: RunOptions): Promise<Observation> {
    const {
      command,
      is_input,
      timeout,
      reset: wantsReset,
    } = schema.parse(withoutKind(action)) as z.infer<typeof schema>;
    if (wantsReset) {
      await reset();
      session = await open();
      if (command.trim() === '')
        return observation(command, {
          output: 'The terminal was reset. Folder and variables are as at the beginning.',
          end: 'done',
        });
    }
    let active = await current();
    if (is_input || command.trim() === '') {
      if (!active.busy)
        return refusal(
          command,
          is_input
            ? 'No program is running that could read this input.'
            : 'No command is running, so there is no further output.',
        );
      if (command !== '') active.type(keysFor(command));
      return finish(active, { command, timeout, prefix: `[Further output of \`${running}\`]\n` }, signal);
    }
    if (active.busy && context.waiting().onBusy === 'refuse') {
      return refusal(
        command,
        `Not run: \`${running}\` is still running in this terminal. Send an empty command to wait for it, type into it with is_input, stop it with C-c as input, or reset the terminal.`,
      );
    }
    if (active.busy) active = await setAside(active);
    active.start(command, await context.secretsFor(command));
    running = command.length > 80 ? `${command.slice(0, 80)}…` : command;
    return finish(active, { command, timeout }, signal);
  }

  return { ...terminalDefinition, run, modelContent: (seen) => [text(terminalText(seen))], close: reset };
}

/** What the model reads of a TerminalObservation: output, how it ended, and where the shell is now. */
export function terminalText(observation: Observation): string {
  const metadata = observation['metadata'] as
    { prefix?: string; suffix?: string; working_dir?: string | null } | undefined;
  const where = metadata?.working_dir == null ? '' : `\n[Current folder: ${metadata.working_dir}]`;
  return `${metadata?.prefix ?? ''}${contentText(observation.content)}${metadata?.suffix ?? ''}${where}`;
}
