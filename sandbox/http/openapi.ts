/** The OpenAPI document of the routes that there are: parameters of paths, and bodies from the schemas that check them. */
import { z } from 'zod';
import {
  askSchema,
  forkSchema,
  messageSchema,
  navigateSchema,
  respondSchema,
  secretsSchema,
  setAnalyzerSchema,
  setPolicySchema,
  startSchema,
  switchLlmSchema,
  updateSchema,
} from '../conversations/requests.js';
import { bashRequest } from '../services/bash.js';
import type { Routes } from './app.js';

const ONE = '/api/conversations/:conversation_id';
const BODIES: Record<string, { schema: z.ZodType; optional?: boolean }> = {
  'POST /api/conversations': { schema: startSchema },
  [`PATCH ${ONE}`]: { schema: updateSchema },
  [`POST ${ONE}/events`]: { schema: messageSchema },
  [`POST ${ONE}/events/respond_to_confirmation`]: { schema: respondSchema },
  [`POST ${ONE}/secrets`]: { schema: secretsSchema },
  [`POST ${ONE}/confirmation_policy`]: { schema: setPolicySchema },
  [`POST ${ONE}/security_analyzer`]: { schema: setAnalyzerSchema },
  [`POST ${ONE}/switch_llm`]: { schema: switchLlmSchema },
  [`POST ${ONE}/ask_agent`]: { schema: askSchema },
  [`POST ${ONE}/fork`]: { schema: forkSchema, optional: true },
  [`POST ${ONE}/navigate`]: { schema: navigateSchema, optional: true },
  ...Object.fromEntries(
    ['/api', '/api/conversations/:runtime_conversation_id'].flatMap((prefix) =>
      ['start', 'execute'].map((verb) => [`POST ${prefix}/bash/${verb}_bash_command`, { schema: bashRequest }]),
    ),
  ),
};

export function openapiOf(routes: Routes, version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { url, methods } of routes.all()) {
    const path = url.replace(/:([a-zA-Z_]+)/g, '{$1}').replace('*', '{file_path}');
    paths[path] ??= {};
    for (const method of methods) paths[path][method.toLowerCase()] = operation(method, url, path);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'OpenHands Agent Server', version, description: 'Served by Sandlot.' },
    paths,
    components: { schemas: {}, securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-Session-API-Key' } } },
  };
}

function operation(method: string, url: string, path: string): Record<string, unknown> {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const body = BODIES[`${method} ${url}`];
  return {
    operationId: `${method}_${path}`.toLowerCase().replace(/\W+/g, '_').replace(/_+$/, ''),
    ...(path.startsWith('/api') ? { security: [{ key: [] }] } : {}),
    ...(names.length === 0
      ? {}
      : { parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })) }),
    ...(body === undefined ? {} : { requestBody: bodyOf(body) }),
    responses: { 200: { description: 'Successful Response' } },
  };
}

function bodyOf({ schema, optional }: { schema: z.ZodType; optional?: boolean }): Record<string, unknown> {
  // What a check adds to a type (a known name, a valid UUID) has no form in JSON Schema.
  const { $schema: _dialect, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return { required: optional !== true, content: { 'application/json': { schema: json } } };
}
