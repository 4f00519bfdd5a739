/** Small helpers that every route file uses. */
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import type { Query } from './query.js';
import { parseBody, pathUuid, type RawBody } from './validate.js';

export const queryOf = (request: FastifyRequest): Query => request.query as Query;
export const paramOf = (request: FastifyRequest, name: string): string =>
  (request.params as Record<string, string | undefined>)[name] ?? '';

/** The checked body; throws ValidationError. */
export const bodyOf = <Schema extends z.ZodType>(
  request: FastifyRequest,
  schema: Schema,
  options: { optional?: boolean } = {},
): z.infer<Schema> => parseBody(request.body as RawBody | undefined, schema, options);

/** The conversation id of the path. */
export const conversationId = (request: FastifyRequest): string =>
  pathUuid(paramOf(request, 'conversation_id'), 'conversation_id');

export const SUCCESS = { success: true } as const;
