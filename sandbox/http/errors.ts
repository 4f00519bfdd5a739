/** Errors of the REST API and their bodies, which are those of FastAPI: clients read `detail`. */
import { DISK_FULL, isDiskFull } from '../disk.js';

/** One entry of a 422 body. */
export interface Problem {
  type: string;
  loc: (string | number)[];
  msg: string;
  input: unknown;
  ctx?: Record<string, unknown>;
}

/** Answers `status` with `{detail}`. From 500 on, clients get `{detail: "Internal Server Error", exception: "<status>: <detail>"}`. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    readonly detail: unknown = REASONS[status] ?? 'Error',
    options?: ErrorOptions,
  ) {
    super(typeof detail === 'string' ? detail : JSON.stringify(detail), options);
    this.name = 'HttpError';
  }
}

/** 422 with a list of problems. */
export class ValidationError extends Error {
  constructor(readonly problems: Problem[]) {
    super(problems.map((problem) => `${problem.loc.join('.')}: ${problem.msg}`).join('; '));
    this.name = 'ValidationError';
  }
}

const REASONS: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
};

export const notFound = (detail = 'Not Found') => new HttpError(404, detail);
export const badRequest = (detail: string) => new HttpError(400, detail);

const SECRET_NAME = /key|secret|token|password|authorization|credential|cookie/i;

/** A copy of what a client sent in which all texts and numbers below secret-looking fields are `<redacted>`, for error bodies. */
export function redactInput(value: unknown, at = { depth: 0, secret: false }): unknown {
  if (at.depth > 20) return null;
  if (typeof value !== 'object' || value === null)
    return at.secret && (typeof value === 'string' || typeof value === 'number') ? '<redacted>' : value;
  const below = (name?: string) => ({
    depth: at.depth + 1,
    // What kind of secret it was to be is the client's mistake as often as not.
    secret: (at.secret && name !== 'kind') || (name !== undefined && SECRET_NAME.test(name)),
  });
  if (Array.isArray(value)) return value.map((entry) => redactInput(entry, below()));
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, redactInput(entry, below(name))]));
}

export interface ErrorAnswer {
  status: number;
  body: unknown;
}

/** The answer for an error that a handler threw; `errorId` names an unexpected one in the log. */
export function answerFor(error: unknown, errorId: string): ErrorAnswer {
  if (error instanceof ValidationError)
    return {
      status: 422,
      body: {
        detail: error.problems.map((problem) => {
          const secret = problem.loc.some((name) => typeof name === 'string' && SECRET_NAME.test(name));
          return { ...problem, input: redactInput(problem.input, { depth: 0, secret }) };
        }),
      },
    };
  if (error instanceof HttpError) {
    if (error.status < 500) return { status: error.status, body: { detail: error.detail } };
    return {
      status: error.status,
      body: { detail: 'Internal Server Error', exception: `${error.status}: ${error.message}` },
    };
  }
  if (isDiskFull(error)) return { status: 507, body: { detail: DISK_FULL } };
  const status = statusOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (status !== undefined && status < 500) return { status, body: { detail: message } };
  return { status: 500, body: { detail: 'Internal Server Error', exception: message, error_id: errorId } };
}

/** Fastify's own errors carry a status: body too large, unsupported media type. */
function statusOf(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : undefined;
}
