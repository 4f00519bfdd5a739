import type { Status } from './types.js';

/**
 * Every failed call of the client. `code` is the HTTP status, or 0 when no answer came (`reason` is then `Timeout`,
 * `ConnectionFailed`, `BadAnswer` or `TooLarge`; a write may or may not have happened). `reason` is the API's word
 * (`NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `TooManyRequests`, …). Never holds credentials or request bodies.
 */
export class KubeError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: Status['details'];
  /** How long the server asks to wait (Retry-After), in ms. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    facts: { code: number; reason: string; details?: Status['details']; retryAfterMs?: number; cause?: unknown },
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'KubeError';
    this.code = facts.code;
    this.reason = facts.reason;
    this.details = facts.details;
    this.retryAfterMs = facts.retryAfterMs;
  }
}

const REASONS: Record<number, string> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Gone',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

const MESSAGE_LIMIT = 2_000;
const RETRY_AFTER_LIMIT_MS = 300_000;

const isStatus = (body: unknown): body is Status =>
  typeof body === 'object' && body !== null && (body as { kind?: unknown }).kind === 'Status';

/** Retry-After as ms: seconds or an HTTP date. Capped, since a wrong clock must not stop a controller for a day. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined || header === '') return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), RETRY_AFTER_LIMIT_MS) : undefined;
}

export interface Answer {
  code: number;
  /** Parsed JSON when it was JSON, else the text. */
  body: unknown;
  retryAfterMs?: number | undefined;
  /** For the message: `GET /api/v1/pods`. */
  call: string;
}

/** The error of an answer outside 2xx. A body that is no Status (a proxy's HTML page) is told by its first characters. */
export function errorOf({ code, body, retryAfterMs, call }: Answer): KubeError {
  const status = isStatus(body) ? body : undefined;
  const seconds = status?.details?.retryAfterSeconds;
  const text = status?.message ?? (typeof body === 'string' ? body.slice(0, 200) : '');
  const retryAfter =
    retryAfterMs ?? (seconds === undefined ? undefined : Math.min(seconds * 1000, RETRY_AFTER_LIMIT_MS));
  return new KubeError(`${call}: ${code} ${text}`.slice(0, MESSAGE_LIMIT).trim(), {
    code,
    reason: status?.reason ?? REASONS[code] ?? 'Unknown',
    ...(status?.details === undefined ? {} : { details: status.details }),
    ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
  });
}

const has = (error: unknown, code: number): error is KubeError => error instanceof KubeError && error.code === code;

export const isNotFound = (error: unknown): error is KubeError => has(error, 404);
/** The name is taken: another create won. */
export const isAlreadyExists = (error: unknown): error is KubeError =>
  has(error, 409) && error.reason === 'AlreadyExists';
/** The object changed since it was read (or a precondition failed): read again and decide again. */
export const isConflict = (error: unknown): error is KubeError => has(error, 409) && error.reason !== 'AlreadyExists';
/** The resourceVersion or continue token is too old: list again. */
export const isGone = (error: unknown): error is KubeError => has(error, 410);
export const isTooManyRequests = (error: unknown): error is KubeError => has(error, 429);
/** The server understood and will never accept this: changing the request is the only way. */
export const isInvalid = (error: unknown): error is KubeError =>
  error instanceof KubeError && [400, 413, 415, 422].includes(error.code);
/** No answer came; a write may have happened. */
export const isUnanswered = (error: unknown): error is KubeError => has(error, 0);
