/**
 * The OpenAPI document, made from the routes as they are registered and from the schemas that check their requests, and its
 * page. `security` is what the route's scope really asks for (identity.ts); `[]` means that it is open to everybody.
 */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, RouteOptions } from 'fastify';
import { answerOf } from '../answers/answers.js';
import { version } from '../../process/root.js';
import { problemSchema } from './problem.js';
import { jsonSchema, jsonSchemas } from './schema.js';

export const DOCUMENT = '/openapi.json';
export const DOCUMENT_PAGE = '/docs';

/** The mark of the UI (web/public/favicon.svg) in place of the plugin's own. */
const MARK = {
  type: 'image/svg+xml',
  content: Buffer.from(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" height="32"><rect width="32" height="32" rx="7" fill="#b4531a"/><path d="M7 22h18v3H7zM9 14h6v6H9zM17 8h6v12h-6z" fill="#fff"/></svg>',
  ),
};

const securitySchemes = {
  session: { type: 'apiKey', in: 'cookie', name: 'sandlot_session', description: 'After a login at /oauth/login.' },
  bearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key.' },
  sandbox: { type: 'apiKey', in: 'header', name: 'X-Session-API-Key', description: 'The session key of a sandbox.' },
} as const;
type Security = Record<string, string[]>[];
const USER: Security = [{ session: [] }, { bearer: [] }, { apiKey: [] }];

/** To be called before the routes are added. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Sandlot', version: version(), description: 'The REST API of the Sandlot API server.' },
      components: { securitySchemes },
    },
    transform: ({ schema, url, route }) => ({ url, schema: { ...jsonSchemas(schema ?? {}), ...told(route, url) } }),
  });
  app.get(DOCUMENT, { schema: { hide: true } }, () => app.swagger());
  await app.register(swaggerUi, {
    routePrefix: DOCUMENT_PAGE,
    uiConfig: { deepLinking: true },
    logo: { type: MARK.type, content: MARK.content, href: DOCUMENT_PAGE, target: '_self' },
    theme: { title: 'Sandlot API', favicon: [{ filename: 'mark.svg', rel: 'icon', sizes: 'any', ...MARK }] },
  });
}

/** What a route tells of itself without saying it. */
function told({ config, method, websocket }: RouteOptions, url: string) {
  const need = config?.need;
  return {
    // The plugin of WebSockets hides its routes.
    ...(websocket === true ? { hide: false, summary: 'A WebSocket.' } : {}),
    tags: [tagOf(url)],
    operationId: `${String(method).toLowerCase()}${url.replace(/[^A-Za-z0-9]+(\w?)/g, (_, next: string) => next.toUpperCase())}`,
    security: securityOf(need),
    ...(need === undefined || need === 'sandbox' ? {} : { 'x-sandlot-needs': need }),
    response: {
      '2XX': { description: 'Done.', content: { 'application/json': { schema: answered(String(method), url) } } },
      default: { description: 'Refused or failed.', content: { 'application/json': { schema: problemSchema } } },
    },
  };
}

/** `{}` where only the route knows: files, streams, what agents say. */
function answered(method: string, url: string): object {
  const schema = answerOf(method, url);
  return schema === undefined ? {} : jsonSchema(schema);
}

function securityOf(need: string | undefined): Security {
  if (need === undefined) return [];
  return need === 'sandbox' ? [{ sandbox: [] }] : USER;
}

/** `app-conversations` of `/api/v1/app-conversations/search`. */
function tagOf(url: string): string {
  const [first = 'root', ...more] = url.split('/').filter((part) => part !== '' && !part.startsWith(':'));
  if (first !== 'api') return first;
  return (more[0] === 'v1' ? more[1] : more[0]) ?? first;
}
