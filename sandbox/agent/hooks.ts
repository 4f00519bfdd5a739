/**
 * Hooks: commands and models of the user that judge or follow the agent's work. Before a call, a message and the end
 * they may forbid it.
 */
import type { NewEvent } from '../../contracts/agent/events.js';
import { HOOK_MOMENTS, hookConfigSchema, type HookDefinition, type HookMoment } from '../services/hooks.js';
import { terminalEnvironment } from '../tools/environment.js';
import { runCommand, type Outcome } from './hook-command.js';
import { askAgent, askModel } from './hook-model.js';
import { maskDeep } from './mask.js';
import type { Worker } from './worker.js';

type HookEvent = Extract<NewEvent, { kind: 'HookExecutionEvent' }>;

/** Nobody waits long for a conversation to end. */
const LAST_SECONDS = 10;
/** Longer inputs are not repeated in the event: they stand in the events that they are about. */
const INPUT_LIMIT = 50_000;
const FORBIDS: readonly HookMoment[] = ['PreToolUse', 'UserPromptSubmit', 'Stop'];

/** The hooks for a moment, from a configuration with either spelling of its keys. Pure. */
export function hooksFor(
  config: Record<string, unknown> | null,
  moment: HookMoment,
  toolName?: string,
): HookDefinition[] {
  const parsed = hookConfigSchema.safeParse(config ?? {});
  if (!parsed.success) return [];
  return parsed.data[HOOK_MOMENTS[moment]]
    .filter(({ matcher }) => matches(matcher, toolName))
    .flatMap(({ hooks }) => hooks);
}

function matches(matcher: string, toolName: string | undefined): boolean {
  if (matcher === '*' || matcher === '') return true;
  if (toolName === undefined) return false;
  if (matcher === toolName) return true;
  const source = /^\/(.+)\/$/.exec(matcher)?.[1] ?? (/[|.*+?^$()[\]\\]/.test(matcher) ? matcher : undefined);
  if (source === undefined) return false;
  try {
    return new RegExp(`^(?:${source})$`).test(toolName);
  } catch {
    return false;
  }
}

export interface HookSubject {
  toolName?: string;
  actionId?: string;
  messageId?: string;
  /** What the hook is told: `tool_input`, `tool_response`, `message`, `reason`. */
  details: Record<string, unknown>;
}

/** Runs the hooks of a moment, each with its event. Gives back why the step is forbidden, if it is, and what to tell the model. */
export async function runHooks(
  worker: Worker,
  moment: HookMoment,
  subject: HookSubject,
): Promise<{ blocked: string | undefined; context: string[] }> {
  const { conversation } = worker;
  const { mask } = conversation.secrets;
  const context: string[] = [];
  for (const hook of hooksFor(conversation.settings().hookConfig, moment, subject.toolName)) {
    const ran = maskDeep(await execute(worker, hook, { moment, subject }), mask);
    await conversation.append(eventOf(hook, { moment, subject, ran, mask }));
    if (ran.context !== null) context.push(ran.context);
    if (ran.blocked && FORBIDS.includes(moment)) {
      const why = [ran.reason ?? '', ran.stderr.trim()].find((words) => words !== '') ?? 'Blocked by hook';
      return { blocked: why, context };
    }
  }
  return { blocked: undefined, context };
}

async function execute(
  worker: Worker,
  hook: HookDefinition,
  { moment, subject }: { moment: HookMoment; subject: HookSubject },
): Promise<Outcome> {
  const { conversation } = worker;
  const { reason, ...details } = subject.details;
  const input = JSON.stringify({
    event_type: moment,
    tool_name: subject.toolName ?? null,
    tool_input: null,
    tool_response: null,
    message: null,
    session_id: conversation.id,
    working_dir: conversation.workspaceDir,
    metadata: reason === undefined ? {} : { reason },
    ...details,
  });
  // Models are told what the conversation's own model knows, not more.
  if (hook.type === 'prompt') return askModel(worker, hook, conversation.secrets.mask(input));
  if (hook.type === 'agent') return askAgent(worker, hook, conversation.secrets.mask(input));
  const options = {
    cwd: conversation.workspaceDir,
    env: {
      ...terminalEnvironment(conversation.commandEnvironment()),
      OPENHANDS_PROJECT_DIR: conversation.workspaceDir,
      OPENHANDS_SESSION_ID: conversation.id,
      OPENHANDS_EVENT_TYPE: moment,
      ...(subject.toolName === undefined ? {} : { OPENHANDS_TOOL_NAME: subject.toolName }),
      ...(await conversation.secrets.forCommand(hook.command)),
    },
    input,
    ...(moment === 'SessionEnd' ? { longestSeconds: LAST_SECONDS } : {}),
  };
  return hook.async ? worker.background.start(hook, options) : runCommand(hook, options);
}

/** What an event says was run. Pure. */
function shown(hook: HookDefinition): string {
  if (hook.command !== '') return hook.command;
  const words = hook.name ?? (hook.type === 'prompt' ? hook.prompt : hook.system_prompt)?.slice(0, 20);
  return `${hook.type}-hook:${words ?? hook.type}`;
}

function eventOf(
  hook: HookDefinition,
  about: { moment: HookMoment; subject: HookSubject; ran: Outcome; mask: (text: string) => string },
): HookEvent {
  const { moment, subject, ran, mask } = about;
  const input = maskDeep(
    { ...(subject.toolName === undefined ? {} : { tool_name: subject.toolName }), ...subject.details },
    mask,
  );
  const told = Object.keys(input).length > 0 && JSON.stringify(input).length <= INPUT_LIMIT;
  return {
    kind: 'HookExecutionEvent',
    hook_event_type: moment,
    hook_command: mask(shown(hook)),
    tool_name: subject.toolName ?? null,
    success: ran.success,
    blocked: ran.blocked,
    exit_code: ran.exitCode,
    stdout: ran.stdout,
    stderr: ran.stderr,
    reason: ran.reason,
    additional_context: ran.context,
    error: ran.error,
    action_id: subject.actionId ?? null,
    message_id: subject.messageId ?? null,
    hook_input: told ? input : null,
  };
}
