/** From the arguments of a tool call, as the model wrote them, to an action; and what the wire shows of them. Pure. */
import type { z } from 'zod';
import type { SecurityRisk, ToolPayload } from '../../contracts/agent/events.js';
import type { ToolDefinition } from '../tools/tool.js';
import { pythonJson, pythonJsonError, pythonList, pythonRepr, pythonType } from './python-json.js';

export type ParsedCall =
  | { ok: true; action: ToolPayload; arguments: string; summary: string | null; risk: SecurityRisk }
  | { ok: false; error: string; arguments: string };

const RISKS: readonly SecurityRisk[] = ['UNKNOWN', 'LOW', 'MEDIUM', 'HIGH'];
const MALFORMED = '_openhands_malformed_tool_call';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What the model says about the call beside the tool's own parameters; a tool may have a `summary` of its own. */
function common(
  tool: ToolDefinition,
  args: Record<string, unknown>,
): {
  summary: string | null;
  risk: SecurityRisk;
  own: Record<string, unknown>;
} {
  const { summary, security_risk: risk, ...rest } = args;
  const ownSummary = hasParameter(tool, 'summary');
  return {
    summary: !ownSummary && typeof summary === 'string' && summary.trim() !== '' ? summary : null,
    risk: RISKS.find((each) => each === risk) ?? 'UNKNOWN',
    own: ownSummary && summary !== undefined ? { ...rest, summary } : rest,
  };
}

/** Whether the tool itself has a parameter of that name. */
export const hasParameter = (tool: ToolDefinition, name: string): boolean =>
  name in ((tool.parameters?.['properties'] as object | undefined) ?? tool.schema.shape);

/** Mends what models often get wrong: a forgotten command of the file editor, lists written as strings. */
function mend(tool: ToolDefinition, args: Record<string, unknown>): Record<string, unknown> {
  const mended = { ...args };
  for (const [key, value] of Object.entries(args)) {
    if (typeof value !== 'string' || !/^\s*\[/.test(value) || !takesArray(tool, key)) continue;
    try {
      const parsed: unknown = JSON.parse(value);
      if (Array.isArray(parsed)) mended[key] = parsed;
    } catch {
      // Stays as it is; validation says what is wrong.
    }
  }
  if (tool.name !== 'file_editor' || 'command' in args || !('path' in args)) return mended;
  const command =
    'file_text' in args ? 'create' : 'old_str' in args ? 'str_replace' : 'insert_line' in args ? 'insert' : 'view';
  return { command, ...mended };
}

function takesArray(tool: ToolDefinition, key: string): boolean {
  const field = tool.schema.shape[key] as z.ZodType | undefined;
  return field !== undefined && field.safeParse([]).success && !field.safeParse('').success;
}

/** `raw` is the JSON text of the model. */
export function parseCall(tool: ToolDefinition, raw: string): ParsedCall {
  const source = raw.trim() === '' ? '{}' : raw;
  const broken = pythonJsonError(source);
  const parsed: unknown = broken === undefined ? safeParse(source) : undefined;
  if (broken !== undefined || parsed === undefined) {
    const error = `Error validating tool '${tool.name}': ${broken ?? 'not a JSON value'}. Arguments: unparseable JSON`;
    return { ok: false, error, arguments: pythonJson({ [MALFORMED]: true, error }) };
  }
  if (!isRecord(parsed))
    return {
      ok: false,
      error: `Error validating tool '${tool.name}': the arguments must be a JSON object, not ${pythonType(parsed)}`,
      arguments: raw,
    };
  const mended = mend(tool, parsed);
  const { summary, risk, own } = common(tool, mended);
  const checked = tool.schema.safeParse(own);
  if (!checked.success) {
    const provided = pythonList(Object.keys(own));
    return {
      ok: false,
      error: `Error validating tool '${tool.name}': ${describeIssues(tool.actionKind, checked.error.issues, own)}. Parameters provided: ${provided}`,
      arguments: raw,
    };
  }
  const action = tool.toAction?.(own) ?? { ...checked.data, kind: tool.actionKind };
  return { ok: true, action, arguments: pythonJson(mended), summary, risk };
}

function safeParse(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    return undefined;
  }
}

const at = (value: unknown, path: PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );

interface Line {
  path: PropertyKey[];
  message: string;
  type: string;
  input: unknown;
}

const TYPE_NAMES: Record<string, [string, string]> = {
  string: ['string_type', 'Input should be a valid string'],
  boolean: ['bool_type', 'Input should be a valid boolean'],
  number: ['float_type', 'Input should be a valid number'],
  int: ['int_type', 'Input should be a valid integer'],
  array: ['list_type', 'Input should be a valid list'],
  object: ['dict_type', 'Input should be a valid dictionary'],
};

function lineOf(issue: z.core.$ZodIssue, input: unknown): Line[] {
  const got = at(input, issue.path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: [...issue.path, key],
      message: 'Extra inputs are not permitted',
      type: 'extra_forbidden',
      input: at(got, [key]),
    }));
  }
  if (got === undefined)
    return [
      { path: issue.path, message: 'Field required', type: 'missing', input: at(input, issue.path.slice(0, -1)) },
    ];
  if (issue.code === 'invalid_type') {
    const [type, message] = TYPE_NAMES[issue.expected] ?? ['value_error', issue.message];
    return [{ path: issue.path, message, type, input: got }];
  }
  if (issue.code === 'invalid_value') {
    const values = issue.values.map((each) => `'${String(each)}'`);
    const listed = values.length < 2 ? values.join('') : `${values.slice(0, -1).join(', ')} or ${values.at(-1) ?? ''}`;
    return [{ path: issue.path, message: `Input should be ${listed}`, type: 'literal_error', input: got }];
  }
  return [{ path: issue.path, message: issue.message, type: 'value_error', input: got }];
}

const HELP = 'https://errors.pydantic.dev/2.14/v/';

/** Validation errors in the form that models of this contract are used to (the one of pydantic). */
export function describeIssues(shape: string, issues: z.core.$ZodIssue[], input: unknown): string {
  const lines = issues.flatMap((issue) => lineOf(issue, input));
  const body = lines.map(
    (line) =>
      `${line.path.map(String).join('.')}\n  ${line.message} [type=${line.type}, input_value=${pythonRepr(line.input)}, input_type=${pythonType(line.input)}]\n    For further information visit ${HELP}${line.type}`,
  );
  return `${lines.length} validation error${lines.length === 1 ? '' : 's'} for ${shape}\n${body.join('\n')}`;
}
