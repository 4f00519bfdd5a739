/** Hook configurations: checked, in one spelling, and joined. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

const MAX_BYTES = 1 << 20;

export const HOOK_MOMENTS = {
  PreToolUse: 'pre_tool_use',
  PostToolUse: 'post_tool_use',
  UserPromptSubmit: 'user_prompt_submit',
  SessionStart: 'session_start',
  SessionEnd: 'session_end',
  Stop: 'stop',
} as const;
export type HookMoment = keyof typeof HOOK_MOMENTS;
const FIELDS = Object.values(HOOK_MOMENTS);

const definition = z
  .looseObject({
    type: z.enum(['command', 'prompt', 'agent']).default('command'),
    name: z.string().nullable().default(null),
    command: z.string().default(''),
    prompt: z.string().nullable().default(null),
    system_prompt: z.string().nullable().default(null),
    tools: z.array(z.string()).default([]),
    /** Seconds. */
    timeout: z.number().int().positive().max(3600).default(60),
    max_iterations: z.number().int().positive().max(500).default(3),
    async: z.boolean().default(false),
  })
  .superRefine((hook, context) => {
    const wrong = problemOf(hook);
    if (wrong !== undefined) context.addIssue({ code: 'custom', message: wrong });
  });
export type HookDefinition = z.infer<typeof definition>;

function problemOf(hook: { type: string; command: string; prompt: string | null; async: boolean }): string | undefined {
  if (hook.type === 'command') return hook.command === '' ? "'command' is required when type is 'command'" : undefined;
  if (hook.command !== '') return `'command' must not be set when type is '${hook.type}'`;
  if (hook.async) return `'async' is not supported for ${hook.type} hooks`;
  if (hook.type === 'prompt' && (hook.prompt ?? '') === '') return "'prompt' is required when type is 'prompt'";
  return undefined;
}

const matchers = z
  .array(z.looseObject({ matcher: z.string().default('*'), hooks: z.array(definition).max(100).default([]) }))
  .max(100)
  .default([]);
const whole = z.strictObject(
  Object.fromEntries(FIELDS.map((field) => [field, matchers])) as Record<(typeof FIELDS)[number], typeof matchers>,
);
export type HookConfig = z.infer<typeof whole>;

/** Either spelling of the moments (`PreToolUse`, `pre_tool_use`), inside a `hooks` object or without. */
export const hookConfigSchema = z
  .looseObject({})
  .transform((given) => {
    const inner = (given['hooks'] ?? given) as Record<string, unknown>;
    if (typeof inner !== 'object' || inner === null) return inner;
    return Object.fromEntries(
      Object.entries(inner).map(([name, value]) => [HOOK_MOMENTS[name as HookMoment] ?? name, value]),
    );
  })
  .pipe(whole);

export const isEmpty = (config: HookConfig): boolean => FIELDS.every((field) => config[field].length === 0);

/** All hooks of all, in their order; null when there are none. Pure. */
export function mergeHooks(configs: readonly HookConfig[]): HookConfig | null {
  const merged = Object.fromEntries(
    FIELDS.map((field) => [field, configs.flatMap((config) => config[field])]),
  ) as HookConfig;
  return isEmpty(merged) ? null : merged;
}

/** The hooks of a file; null when it is not there, empty, or no configuration. */
export async function readHookFile(path: string): Promise<HookConfig | null> {
  try {
    const text = await readFile(path, 'utf8');
    if (text.length > MAX_BYTES) return null;
    const config = hookConfigSchema.parse(JSON.parse(text));
    return isEmpty(config) ? null : config;
  } catch {
    return null;
  }
}

/** The hooks of a repository (`.openhands/hooks.json`); null when there are none. */
export const readHooks = (folder: string): Promise<HookConfig | null> =>
  readHookFile(join(folder, '.openhands', 'hooks.json'));
