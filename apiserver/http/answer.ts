/** The one place that turns errors into answers. */
import type { FastifyError, FastifyInstance } from 'fastify';
import type { Logger } from '../../process/log.js';
import { ApiError } from './errors.js';
import { problemFields, problemOf, PROBLEM_TYPE } from './problem.js';

export function answerErrors(app: FastifyInstance, log: Logger): void {
  app.setErrorHandler((error: unknown, request, reply) => {
    const known = apiErrorOf(error);
    if (known.status >= 500)
      log.warn({ err: error, method: request.method, route: request.routeOptions.url }, 'request failed');
    if (known.retryAfter !== undefined) reply.header('retry-after', String(known.retryAfter));
    if (known.status === 401) reply.header('www-authenticate', 'Bearer');
    const wantsProblem = request.headers.accept?.includes(PROBLEM_TYPE) === true;
    return reply
      .status(known.status)
      .header('x-sandlot-error', known.code)
      .type(wantsProblem ? PROBLEM_TYPE : 'application/json; charset=utf-8')
      .send(wantsProblem ? problemOf(known, request.id) : { ...problemFields(known, request.id), ...known.body });
  });
}

function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const { code, statusCode } = error as Partial<FastifyError>;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new ApiError('body_too_large', { cause: error });
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new ApiError('bad_media_type', { cause: error });
  if (statusCode !== undefined && statusCode < 500) return new ApiError('bad_body', { cause: error });
  return new ApiError('internal', { cause: error });
}
