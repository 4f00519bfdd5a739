/**
 * Errors as RFC 9457 has them. Every error body has its members beside the compatible `detail` or `error`; who asks for
 * `application/problem+json` gets the plain problem, whose `detail` is always a sentence.
 */
import type { ApiError } from './errors.js';

export const PROBLEM_TYPE = 'application/problem+json';

export interface ProblemFields {
  /** `urn:sandlot:error:<code>`; the code is that of the header `x-sandlot-error`. */
  type: string;
  title: string;
  status: number;
  /** `urn:sandlot:request:<id>`; the id is that of the header `x-request-id`. */
  instance: string;
}

export function problemFields({ code, status, title }: ApiError, requestId: string): ProblemFields {
  return {
    type: `urn:sandlot:error:${code}`,
    title,
    status,
    instance: `urn:sandlot:request:${encodeURIComponent(requestId)}`,
  };
}

export function problemOf(error: ApiError, requestId: string): Record<string, unknown> {
  const { detail, error: _words, ...more } = error.body;
  return {
    ...more,
    ...problemFields(error, requestId),
    detail: error.message,
    ...(Array.isArray(detail) ? { errors: detail as unknown[] } : {}),
  };
}

/** For the OpenAPI document. */
export const problemSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'instance'],
  properties: {
    type: { type: 'string', examples: ['urn:sandlot:error:conversation_not_found'] },
    title: { type: 'string' },
    status: { type: 'integer' },
    instance: { type: 'string' },
    detail: {
      description: 'A sentence; a list where the request did not match its schema. Some routes say `error` instead.',
      anyOf: [
        { type: 'string' },
        {
          type: 'array',
          items: {
            type: 'object',
            properties: {
              type: { type: 'string' },
              loc: { type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'integer' }] } },
              msg: { type: 'string' },
              input: {},
            },
          },
        },
      ],
    },
    error: { type: 'string' },
  },
};
