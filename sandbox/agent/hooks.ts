/**
 * Hooks: commands of the user that run around the agent's work and may forbid a step (exit code 2, or
 * `{"decision": "deny"}` on standard output). They get a JSON document on standard input.
 */
import { spawn } from 'node:child_process';
import { z } from 'zod';
import type { NewEvent } from '../../contracts/agent/events.js';
import { terminalEnvironment } from '../tools/environment.js';
import type { AgentConversation } from '../seam.js';

type HookEvent = Extract<NewEvent, { kind: 'HookExecutionEvent' }>;
export type HookMoment = 'PreToolUse' | 'PostToolUse' | 'UserPromptSubmit' | 'Stop';

const KEYS: Record<HookMoment, string> = {
  PreToolUse: 'pre_tool_use',
  PostToolUse: 'post_tool_use',
  UserPromptSubmit: 'user_prompt_submit',
  Stop: 'stop',
};
const OUTPUT_LIMIT = 50_000;
const BLOCKS = 2;

const definition = z.looseObject({
  type: z.string().default('command'),
  command: z.string(),
  timeout: z.number().positive().max(600).default(60),
});
const matchers = z.array(z.looseObject({ matcher: z.string().default('*'), hooks: z.array(definition).default([]) }));
const answer = z.looseObject({
  decision: z.string().optional(),
  reason: z.string().optional(),
  additionalContext: z.string().optional(),
  additional_context: z.string().optional(),
});

/** The commands for a moment, from a configuration with either spelling of its keys. Pure. */
export function hooksFor(
  config: Record<string, unknown> | null,
  moment: HookMoment,
  toolName?: string,
): { command: string; timeout: number }[] {
  const inner = (config?.['hooks'] ?? config) as Record<string, unknown> | null;
  const parsed = matchers.safeParse(inner?.[KEYS[moment]] ?? inner?.[moment] ?? []);
  if (!parsed.success) return [];
  return parsed.data
    .filter(({ matcher }) => toolName === undefined || matches(matcher, toolName))
    .flatMap(({ hooks }) => hooks.filter((hook) => hook.type === 'command'));
}

function matches(matcher: string, toolName: string): boolean {
  if (matcher === '*' || matcher === '' || matcher === toolName) return true;
  const source = /^\/(.*)\/$/.exec(matcher)?.[1] ?? (/[|.*+?^$()[\]]/.test(matcher) ? matcher : undefined);
  if (source === undefined) return false;
  try {
    return new RegExp(`^(?:${source})$`).test(toolName);
  } catch {
    return false;
  }
}

interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
  error: string | null;
}

function execute(
  hook: { command: string; timeout: number },
  options: { cwd: string; env: Record<string, string>; input: string },
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn('/bin/sh', ['-c', hook.command], {
      cwd: options.cwd,
      env: options.env,
      stdio: 'pipe',
      detached: true,
    });
    const seen = { stdout: '', stderr: '' };
    let error: string | null = null;
    const timer = setTimeout(() => {
      error = `the hook took longer than ${hook.timeout} seconds`;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, hook.timeout * 1000);
    for (const name of ['stdout', 'stderr'] as const)
      child[name].on(
        'data',
        (chunk: Buffer) => (seen[name] = (seen[name] + chunk.toString('utf8')).slice(0, OUTPUT_LIMIT)),
      );
    const done = (exitCode: number, why: string | null): void => {
      clearTimeout(timer);
      resolve({ exitCode, ...seen, error: error ?? why });
    };
    child.on('error', (failure) => done(-1, failure.message));
    child.on('close', (code) => done(code ?? -1, null));
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input);
  });
}

/** What a hook decided. Pure. */
export function verdictOf(outcome: Outcome): { blocked: boolean; reason: string | null; context: string | null } {
  let said: z.infer<typeof answer> = {};
  try {
    said = answer.parse(JSON.parse(outcome.stdout));
  } catch {
    // Plain output decides nothing.
  }
  const blocked = outcome.exitCode === BLOCKS || said.decision === 'deny' || said.decision === 'block';
  return {
    blocked,
    reason: said.reason ?? (blocked ? outcome.stderr.trim() : null),
    context: said.additionalContext ?? said.additional_context ?? null,
  };
}

export interface HookSubject {
  toolName?: string;
  actionId?: string;
  messageId?: string;
  /** What the hook reads beside the moment and the folder. */
  details: Record<string, unknown>;
}

/** Runs the hooks of a moment, each with its event. Gives back why the step is forbidden, if it is, and what to tell the model. */
export async function runHooks(
  conversation: AgentConversation,
  moment: HookMoment,
  subject: HookSubject,
): Promise<{ blocked: string | undefined; context: string[] }> {
  const context: string[] = [];
  let blocked: string | undefined;
  for (const hook of hooksFor(conversation.settings().hookConfig, moment, subject.toolName)) {
    const input = {
      event_type: moment,
      session_id: conversation.id,
      working_dir: conversation.workspaceDir,
      tool_name: subject.toolName ?? null,
      ...subject.details,
    };
    const env = {
      ...terminalEnvironment(conversation.commandEnvironment()),
      ...(await conversation.secrets.forCommand(hook.command)),
    };
    const outcome = await execute(hook, { cwd: conversation.workspaceDir, env, input: JSON.stringify(input) });
    const verdict = verdictOf(outcome);
    const { mask } = conversation.secrets;
    const event: HookEvent = {
      kind: 'HookExecutionEvent',
      hook_event_type: moment,
      hook_command: mask(hook.command),
      tool_name: subject.toolName ?? null,
      success: outcome.exitCode === 0 && outcome.error === null,
      blocked: verdict.blocked,
      exit_code: outcome.exitCode,
      stdout: mask(outcome.stdout),
      stderr: mask(outcome.stderr),
      reason: verdict.reason === null ? null : mask(verdict.reason),
      additional_context: verdict.context === null ? null : mask(verdict.context),
      error: outcome.error,
      action_id: subject.actionId ?? null,
      message_id: subject.messageId ?? null,
      hook_input: null,
    };
    await conversation.append(event);
    if (verdict.context !== null) context.push(mask(verdict.context));
    if (verdict.blocked) {
      blocked = mask(verdict.reason ?? '');
      break;
    }
  }
  return { blocked, context };
}
