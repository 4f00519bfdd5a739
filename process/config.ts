/**
 * Configuration: one zod object per program whose keys are environment variable names. A typo must stop the process,
 * so every wrong value is named at once, and no message repeats a value that could be a secret.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { z } from 'zod';

/** Wrong configuration; `problems` has one sentence per variable. Programs print them and exit with 2. */
export class ConfigError extends Error {
  constructor(readonly problems: string[]) {
    super(`wrong configuration:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/**
 * Parses the variables that the schema names; empty strings count as not set. `NAME_FILE` names a file that holds the
 * value of `NAME` (mounted Secrets). Throws ConfigError.
 */
export function readConfig<Schema extends z.ZodObject>(
  schema: Schema,
  env: NodeJS.ProcessEnv,
): Readonly<z.infer<Schema>> {
  const problems: string[] = [];
  const values: Record<string, string> = {};
  for (const name of Object.keys(schema.shape)) {
    try {
      const value = valueOf(name, env);
      if (value !== undefined) values[name] = value;
    } catch (error) {
      problems.push(
        `${name}_FILE: cannot read the file that it names (${(error as NodeJS.ErrnoException).code ?? 'error'})`,
      );
    }
  }
  const parsed = schema.safeParse(values);
  if (!parsed.success) problems.push(...parsed.error.issues.map((issue) => problemOf(issue, values)));
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems);
  return Object.freeze(parsed.data);
}

function valueOf(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const plain = env[name];
  if (plain !== undefined && plain !== '') return plain;
  const file = env[`${name}_FILE`];
  return file === undefined || file === '' ? undefined : readFileSync(file, 'utf8').trim();
}

function problemOf(issue: z.core.$ZodIssue, values: Record<string, string>): string {
  const name = String(issue.path[0] ?? '');
  return name in values ? `${name}: ${issue.message}` : `${name}: must be set (${issue.message})`;
}

/** A TCP port; 0 lets the system choose. */
export const port = () =>
  z
    .string()
    .regex(/^[0-9]{1,5}$/, 'must be a port number from 0 to 65535')
    .transform(Number)
    .refine((value) => value <= 65535, 'must be a port number from 0 to 65535');

/** A whole number within bounds. */
export const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^[0-9]{1,15}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be a whole number from ${min} to ${max}`);

/** true or false, 1 or 0. */
export const flag = () =>
  z
    .enum(['true', 'false', '1', '0'], { error: 'must be true or false' })
    .transform((value) => value === 'true' || value === '1');

/** A secret of at least 32 characters. */
export const secret = () =>
  z.string({ error: 'a secret of at least 32 characters' }).min(32, 'must have at least 32 characters');

/** Secrets of at least 32 characters each, one a line: any other separator may be part of one. */
export const secrets = () =>
  z
    .string()
    .transform((text) =>
      text
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== ''),
    )
    .refine((all) => all.every((one) => one.length >= 32), 'each must have at least 32 characters');

/** An http or https URL, without a trailing slash. */
export const url = () =>
  z
    .string()
    .refine(
      (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
      'must be an http:// or https:// URL',
    )
    .transform((value) => value.replace(/\/+$/, ''));

/** A comma-separated list; blanks around entries and empty entries are dropped. */
export const list = () =>
  z.string().transform((value) =>
    value
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== ''),
  );

/** An IP address, or a range of them: `10.0.0.0/8`, `fc00::/7`. */
export function isRange(entry: string): boolean {
  const [address = '', bits, ...rest] = entry.split('/');
  const version = isIP(address);
  const most = version === 4 ? 32 : 128;
  return version !== 0 && rest.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most));
}

/** Origins of web pages: scheme, host and port, nothing behind. */
export const origins = () =>
  list().refine(
    (entries) => entries.every((entry) => URL.canParse(entry) && new URL(entry).origin === entry),
    'must be a comma-separated list of origins like https://app.example.org',
  );

/** Level of the log. */
export const logLevel = () =>
  z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], {
    error: 'must be one of fatal, error, warn, info, debug, trace',
  });

const BY_NAME = 'must be a JSON object of numbers from 0 to 1000000, like {"alice":20,"bob":0}';

/** A JSON object of numbers. */
export function numbersByName() {
  const shape = z.record(z.string().min(1), z.number().int().min(0).max(1_000_000));
  return z.string().transform((text, context): ReadonlyMap<string, number> => {
    const parsed = shape.safeParse(parseJson(text));
    if (parsed.success) return new Map(Object.entries(parsed.data));
    context.addIssue({ code: 'custom', message: BY_NAME });
    return z.NEVER;
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
