/** Commands of hooks: the event as JSON on standard input, bounded output and time; or left to run beside the agent. */
import { spawn, type ChildProcess } from 'node:child_process';
import { z } from 'zod';
import type { HookDefinition } from '../services/hooks.js';

const OUTPUT_LIMIT = 50_000;
const CUT = '\n<TRUNCATED>';
const BLOCKS = 2;
const MAX_BACKGROUND = 32;

export interface Outcome {
  success: boolean;
  blocked: boolean;
  exitCode: number;
  stdout: string;
  stderr: string;
  reason: string | null;
  context: string | null;
  error: string | null;
}

export const outcome = (over: Partial<Outcome>): Outcome => ({
  success: true,
  blocked: false,
  exitCode: 0,
  stdout: '',
  stderr: '',
  reason: null,
  context: null,
  error: null,
  ...over,
});

const answer = z.looseObject({
  decision: z.string().optional(),
  reason: z.coerce.string().optional(),
  additionalContext: z.coerce.string().optional(),
  additional_context: z.coerce.string().optional(),
  continue: z.unknown().optional(),
});

/** What a command decided: exit code 2, or `decision` or `continue` in the JSON that it wrote. Other codes forbid nothing. Pure. */
export function outcomeOf(ran: { exitCode: number; stdout: string; stderr: string; error: string | null }): Outcome {
  let said: z.infer<typeof answer> = {};
  try {
    said = answer.parse(JSON.parse(ran.stdout));
  } catch {
    // Plain output decides nothing.
  }
  const denied = ['deny', 'block'].includes(said.decision?.toLowerCase() ?? '') || said.continue === false;
  return {
    ...ran,
    success: ran.exitCode === 0 && ran.error === null,
    blocked: ran.exitCode === BLOCKS || denied,
    reason: said.reason ?? null,
    context: said.additionalContext ?? said.additional_context ?? null,
  };
}

export interface CommandOptions {
  cwd: string;
  env: Record<string, string>;
  input: string;
  /** Shorter than the hook's own time, where nobody can wait. */
  longestSeconds?: number;
}

function start(hook: HookDefinition, options: CommandOptions, output: 'pipe' | 'ignore'): ChildProcess {
  const child = spawn('/bin/sh', ['-c', hook.command], {
    cwd: options.cwd,
    env: options.env,
    stdio: ['pipe', output, output],
    detached: true,
  });
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(options.input);
  return child;
}

function kill(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

/** Appends until the limit; says that something is missing. */
function collector(): { add(chunk: Buffer): void; text(): string } {
  let seen = '';
  let cut = false;
  return {
    add(chunk) {
      cut ||= seen.length + chunk.length > OUTPUT_LIMIT;
      seen = (seen + chunk.toString('utf8')).slice(0, OUTPUT_LIMIT - CUT.length);
    },
    text: () => (cut ? seen + CUT : seen),
  };
}

export function runCommand(hook: HookDefinition, options: CommandOptions): Promise<Outcome> {
  return new Promise((resolve) => {
    const seconds = Math.min(hook.timeout, options.longestSeconds ?? hook.timeout);
    const child = start(hook, options, 'pipe');
    const [stdout, stderr] = [collector(), collector()];
    let error: string | null = null;
    child.stdout?.on('data', (chunk: Buffer) => stdout.add(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.add(chunk));
    const done = (exitCode: number, why: string | null): void => {
      clearTimeout(timer);
      const ended = error === null ? exitCode : -1;
      resolve(outcomeOf({ exitCode: ended, stdout: stdout.text(), stderr: stderr.text(), error: error ?? why }));
    };
    const timer = setTimeout(() => {
      error = `Hook timed out after ${seconds} seconds`;
      kill(child);
      // What it started may hold its output open.
      done(-1, error);
    }, seconds * 1000);
    child.on('error', (failure) => done(-1, `Hook execution failed: ${failure.message}`));
    child.on('close', (code) => done(code ?? -1, null));
  });
}

/** Hooks that nobody waits for; ended after their time, and with the conversation. */
export interface Background {
  start(hook: HookDefinition, options: CommandOptions): Outcome;
  end(): void;
}

export function createBackground(): Background {
  const running = new Set<ChildProcess>();
  return {
    start(hook, options) {
      if (running.size >= MAX_BACKGROUND)
        return outcome({ success: false, exitCode: -1, error: `${MAX_BACKGROUND} async hooks are still running` });
      const child = start(hook, options, 'ignore');
      running.add(child);
      const timer = setTimeout(() => kill(child), hook.timeout * 1000).unref();
      const gone = () => {
        clearTimeout(timer);
        running.delete(child);
      };
      child.on('error', gone).on('close', gone);
      child.unref();
      return outcome({});
    },
    end: () => {
      for (const child of running) kill(child);
    },
  };
}
