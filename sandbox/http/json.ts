/** Where and why a text is no JSON, in the words of Python's json module, which clients of the original see. */
import type { Problem } from './errors.js';

export interface JsonComplaint {
  at: number;
  message: string;
}

/** The 422 entry for a body that is no JSON. */
export function jsonProblem(text: string): Problem {
  const { at, message } = complaintOf(text);
  return { type: 'json_invalid', loc: ['body', at], msg: 'JSON decode error', input: {}, ctx: { error: message } };
}

/** `Expecting value: line 1 column 1 (char 0)`, as str(JSONDecodeError) says it. */
export function pythonJsonError(text: string): string {
  const { at, message } = complaintOf(text);
  const before = text.slice(0, at);
  const line = before.split('\n').length;
  const column = at - before.lastIndexOf('\n');
  return `${message}: line ${line} column ${column} (char ${at})`;
}

/** The first complaint that Python's decoder has. Only for texts that JSON.parse refused. */
export function complaintOf(text: string): JsonComplaint {
  const scanner = { text, at: 0 };
  try {
    value(scanner, 0);
    space(scanner);
    return { at: scanner.at, message: 'Extra data' };
  } catch (complaint) {
    if (complaint instanceof Complaint) return { at: complaint.at, message: complaint.message };
    throw complaint;
  }
}

interface Scanner {
  text: string;
  at: number;
}
class Complaint extends Error {
  constructor(
    readonly at: number,
    message: string,
  ) {
    super(message);
  }
}
const MAX_DEPTH = 500;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const WORD = /true|false|null|NaN|-?Infinity/y;

function space(scanner: Scanner): void {
  while (/[ \t\n\r]/.test(scanner.text[scanner.at] ?? '')) scanner.at++;
}

function value(scanner: Scanner, depth: number): void {
  space(scanner);
  const letter = scanner.text[scanner.at];
  if (depth > MAX_DEPTH) throw new Complaint(scanner.at, 'Nested too deeply');
  if (letter === '{') return object(scanner, depth);
  if (letter === '[') return array(scanner, depth);
  if (letter === '"') return string(scanner);
  for (const pattern of [WORD, NUMBER]) {
    pattern.lastIndex = scanner.at;
    const hit = pattern.exec(scanner.text);
    if (hit !== null) {
      scanner.at += hit[0].length;
      return;
    }
  }
  throw new Complaint(scanner.at, 'Expecting value');
}

function string(scanner: Scanner): void {
  const start = scanner.at++;
  for (; scanner.at < scanner.text.length; scanner.at++) {
    const letter = scanner.text[scanner.at] ?? '';
    if (letter === '"') {
      scanner.at++;
      return;
    }
    if (letter === '\\') scanner.at++;
    else if (letter < ' ') throw new Complaint(scanner.at, 'Invalid control character at');
  }
  throw new Complaint(start, 'Unterminated string starting at');
}

function object(scanner: Scanner, depth: number): void {
  scanner.at++;
  space(scanner);
  if (scanner.text[scanner.at] === '}') return void scanner.at++;
  for (;;) {
    space(scanner);
    if (scanner.text[scanner.at] !== '"')
      throw new Complaint(scanner.at, 'Expecting property name enclosed in double quotes');
    string(scanner);
    space(scanner);
    if (scanner.text[scanner.at] !== ':') throw new Complaint(scanner.at, "Expecting ':' delimiter");
    scanner.at++;
    value(scanner, depth + 1);
    if (!next(scanner, '}')) return;
  }
}

function array(scanner: Scanner, depth: number): void {
  scanner.at++;
  space(scanner);
  if (scanner.text[scanner.at] === ']') return void scanner.at++;
  for (;;) {
    value(scanner, depth + 1);
    if (!next(scanner, ']')) return;
  }
}

/** True at a comma, false at the end. */
function next(scanner: Scanner, end: string): boolean {
  space(scanner);
  const letter = scanner.text[scanner.at];
  if (letter !== ',' && letter !== end) throw new Complaint(scanner.at, "Expecting ',' delimiter");
  scanner.at++;
  return letter === ',';
}
