/** Errors of model calls, named and classified as the OpenHands agent server shows them. */
import type { ErrorClassification } from '../../../contracts/agent/events.js';

/** `code` is that of a ConversationErrorEvent. */
export class LlmError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly details: {
      classification: ErrorClassification;
      retryable: boolean;
      retryAfterMs?: number;
      context?: boolean;
      cause?: unknown;
    },
  ) {
    super(message, { cause: details.cause });
    this.name = code;
  }
}

type Kind = ErrorClassification['kind'];
export const classify = (
  kind: Kind,
  retryable: boolean,
  user_action: ErrorClassification['user_action'],
): ErrorClassification => ({ kind, retryable, user_action, error_id: null });

/** What a provider answered, from whatever library. */
export interface Failure {
  /** HTTP status; undefined when no answer came. */
  status?: number;
  message: string;
  code?: string;
  headers?: Record<string, string>;
  /** As `OpenAI`, for the text. */
  provider: string;
  timedOut?: boolean;
  /** It answered with more than is read. */
  tooLarge?: boolean;
  cause?: unknown;
}

const CONTEXT =
  /context.{0,20}(length|window)|maximum context|prompt is too long|input is too long|too many (input )?tokens|exceeds? the (model'?s )?(maximum|context)|reduce the length/i;
const BUDGET =
  /exceeded.{0,10}budget|budget has been exceeded|insufficient_quota|insufficient (credits?|balance|funds)|credit balance is too low|exceeded your current quota/i;

/** Milliseconds of a Retry-After header (seconds or a date) or its millisecond form. */
export function retryAfterMs(headers: Record<string, string> | undefined, now: number): number | undefined {
  const precise = Number(headers?.['retry-after-ms']);
  if (Number.isFinite(precise) && precise >= 0 && headers?.['retry-after-ms'] !== undefined) return precise;
  const value = headers?.['retry-after'];
  if (value === undefined) return undefined;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Name in the text, code and class of each status that has its own. */
const BY_STATUS: Record<number, { name: string; code: string; kind: Kind }> = {
  404: { name: 'NotFoundError', code: 'NotFoundError', kind: 'config' },
  408: { name: 'Timeout', code: 'LLMTimeoutError', kind: 'transient' },
  429: { name: 'RateLimitError', code: 'LLMRateLimitError', kind: 'rate_limit' },
  503: { name: 'ServiceUnavailableError', code: 'LLMServiceUnavailableError', kind: 'transient' },
};
const SERVER_ERROR = { name: 'InternalServerError', code: 'LLMServiceUnavailableError', kind: 'transient' as const };
const OTHER_ERROR = { name: 'APIError', code: 'APIError', kind: 'transient' as const };

const isContext = ({ status, code, message }: Failure): boolean =>
  (status === 400 || status === 413) && (code === 'context_length_exceeded' || CONTEXT.test(message));
const isQuota = ({ status, code, message }: Failure): boolean =>
  status === 402 || ([400, 403, 429].includes(status ?? 0) && (code === 'insufficient_quota' || BUDGET.test(message)));

/** The error that a failure is. Pure. */
export function llmError(failure: Failure, now: number): LlmError {
  const { status, message, provider, cause } = failure;
  const said = (name: string): string => `litellm.${name}: ${name}: ${provider}Exception - ${message}`;
  const settled = (kind: Kind): LlmError['details'] => ({
    classification: classify(kind, false, 'settings'),
    retryable: false,
    cause,
  });
  const wait = retryAfterMs(failure.headers, now);
  const passing = (kind: Kind): LlmError['details'] => ({
    classification: classify(kind, true, 'retry'),
    retryable: true,
    cause,
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
  });

  if (failure.timedOut === true) return new LlmError('LLMTimeoutError', said('Timeout'), passing('transient'));
  if (status === undefined) {
    const details = { ...passing('transient'), retryable: failure.tooLarge !== true };
    return new LlmError('LLMServiceUnavailableError', said('APIConnectionError'), details);
  }
  if (isContext(failure)) {
    const detail = `litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: ${provider}Exception - ${message}`;
    return new LlmError('LLMContextWindowExceedError', detail, {
      classification: classify('agent_action', true, 'retry'),
      retryable: false,
      context: true,
      cause,
    });
  }
  if (isQuota(failure))
    return new LlmError(
      status === 429 ? 'LLMRateLimitError' : 'LLMBadRequestError',
      said(status === 429 ? 'RateLimitError' : 'BadRequestError'),
      settled('quota'),
    );
  if (status === 400 || status === 422)
    return new LlmError(
      'LLMBadRequestError',
      `litellm.BadRequestError: ${provider}Exception - ${message}`,
      settled('config'),
    );
  if (status === 401)
    return new LlmError(
      'LLMAuthenticationError',
      'Your LLM API key appears to be invalid or has expired.',
      settled('auth'),
    );
  const { name, code, kind } = BY_STATUS[status] ?? (status >= 500 ? SERVER_ERROR : OTHER_ERROR);
  const details = kind === 'config' ? settled(kind) : passing(kind);
  return new LlmError(code, said(name), name === OTHER_ERROR.name ? { ...details, retryable: false } : details);
}

/** The model gave neither words nor a call. */
export const emptyAnswer = (): LlmError =>
  new LlmError('LLMNoResponseError', 'The model answered with neither text nor a tool call.', {
    classification: classify('transient', true, 'retry'),
    retryable: true,
  });
