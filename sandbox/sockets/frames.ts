/** Validation of client frames, with the words of the original's pydantic errors. */
import type { z } from 'zod';
import { ValidationError } from '../http/errors.js';
import { pythonJsonError } from '../http/json.js';
import { check } from '../http/validate.js';
import { pythonRepr } from './python.js';

export type Frame<T> = { ok: true; value: T } | { ok: false; code: string; detail: string };

/** Reads a text frame. `model` is the name of the checked class. */
export function readFrame<Schema extends z.ZodType>(
  text: string,
  schema: Schema,
  model: string,
): Frame<z.infer<Schema>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, code: 'JSONDecodeError', detail: pythonJsonError(text) };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const line = `Input should be a valid dictionary or instance of ${model} ${inputOf('model_type', value)}`;
    return { ok: false, code: 'ValidationError', detail: complaint(model, [`  ${line}${seeAlso('model_type')}`]) };
  }
  try {
    return { ok: true, value: check(value, schema, []) };
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error;
    const lines = error.problems.map(
      (problem) =>
        `${problem.loc.join('.')}\n  ${problem.msg} ${inputOf(problem.type, problem.input)}${seeAlso(problem.type)}`,
    );
    return { ok: false, code: 'ValidationError', detail: complaint(model, lines) };
  }
}

const complaint = (model: string, lines: string[]): string =>
  `${lines.length} validation error${lines.length === 1 ? '' : 's'} for ${model}\n${lines.join('\n')}`;

const inputOf = (type: string, input: unknown): string =>
  `[type=${type}, input_value=${pythonRepr(input)}, input_type=${typeName(input)}]`;

const seeAlso = (type: string): string =>
  `\n    For further information visit https://errors.pydantic.dev/2.14/v/${type}`;

function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'NoneType';
  if (Array.isArray(value)) return 'list';
  switch (typeof value) {
    case 'string':
      return 'str';
    case 'number':
      return Number.isInteger(value) ? 'int' : 'float';
    case 'boolean':
      return 'bool';
    default:
      return 'dict';
  }
}
