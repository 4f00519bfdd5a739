/**
 * Schemas of routes: `schema: { params, querystring, body, headers }` in zod. What they say is checked before the handler
 * runs, types what it gets, and is what the OpenAPI document shows; so none of the three can differ from the others.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifySchema, FastifyTypeProvider, RawServerDefault } from 'fastify';
import { z } from 'zod';
import { parse, type Where } from './validate.js';

interface ZodProvider extends FastifyTypeProvider {
  validator: this['schema'] extends z.ZodType ? z.output<this['schema']> : unknown;
}

/** What routes are added to. */
export type Api = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodProvider>;

const WHERE: Record<string, Where> = { params: 'path', querystring: 'query', body: 'body', headers: 'header' };

/** No body is an empty one: what a schema needs, it says. */
export function validateByZod(app: FastifyInstance): void {
  app.setValidatorCompiler<unknown>(({ schema, httpPart = '' }) => {
    if (!(schema instanceof z.ZodType)) throw new TypeError(`the schema of ${httpPart} is none of zod`);
    return (value: unknown) => {
      try {
        return { value: parse(schema, value ?? {}, WHERE[httpPart] ?? 'body') };
      } catch (error) {
        return { error: error as Error };
      }
    };
  });
}

/** The schemas of a route as JSON Schema: what it accepts, before defaults and conversions. */
export function jsonSchemas(schema: FastifySchema): FastifySchema {
  return Object.fromEntries(
    Object.entries(schema as Record<string, unknown>).map(([part, value]) => [
      part,
      value instanceof z.ZodType ? jsonSchema(value) : value,
    ]),
  );
}

export function jsonSchema(schema: z.ZodType): object {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}
