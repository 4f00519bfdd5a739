/** The HTTP server: bodies as they came, answers as FastAPI gives them, 404 and 405 and slashes alike. */
import { randomBytes } from 'node:crypto';
import multipart from '@fastify/multipart';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from '../../process/log.js';
import { answerFor } from './errors.js';
import type { RawBody } from './validate.js';

/** Largest body that is held in memory (images come as data URLs); uploads are streams. */
const BODY_LIMIT = 64 << 20;

export interface Routes {
  /** Methods of the first route of each path pattern, as `Allow` names them, and all methods. */
  match(path: string): { allow: string; methods: Set<string> } | undefined;
  all(): { url: string; methods: string[] }[];
}

export async function createApp(options: { log: Logger }): Promise<{ app: FastifyInstance; routes: Routes }> {
  const app = Fastify({
    bodyLimit: BODY_LIMIT,
    exposeHeadRoutes: false,
    routerOptions: { querystringParser: parseQuery, maxParamLength: 4096 },
    forceCloseConnections: true,
    // An address that cannot be decoded leads nowhere.
    frameworkErrors: (_error, _request, reply) => {
      reply.raw.writeHead(404, { 'content-type': 'application/json' }).end('{"detail":"Not Found"}');
    },
  });
  app.addHttpMethod('GET', { hasBody: true, overrideExisting: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    const type = request.headers['content-type'] ?? 'application/json';
    const raw: RawBody = { text: (body as Buffer).toString('utf8'), json: /^application\/(.*\+)?json\b/i.test(type) };
    done(null, raw);
  });
  await app.register(multipart, { limits: { files: 1, fileSize: Number.MAX_SAFE_INTEGER } });
  const routes = collectRoutes(app);
  app.setErrorHandler((error, request, reply) => {
    const id = randomBytes(16).toString('hex');
    const answer = answerFor(error, id);
    if (answer.status >= 500)
      options.log.error({ err: error, error_id: id, route: request.routeOptions.url }, 'request failed');
    return reply.code(answer.status).send(answer.body);
  });
  app.setNotFoundHandler((request, reply) => unrouted(routes, request, reply));
  app.addHook('onSend', (_request, reply, _payload, done) => {
    // FastAPI names no charset for JSON, and some clients compare the whole header.
    if (reply.getHeader('content-type') === 'application/json; charset=utf-8')
      reply.header('content-type', 'application/json');
    done();
  });
  return { app, routes };
}

function parseQuery(text: string): Record<string, string | string[]> {
  // Without a prototype, a parameter that is called `constructor` is one like any other.
  const query = Object.create(null) as Record<string, string | string[]>;
  for (const [name, value] of new URLSearchParams(text)) {
    const before = query[name];
    query[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
  }
  return query;
}

/** What Fastify's router found nothing for: another method (405), a slash too many or too few (307), or nothing (404). */
function unrouted(routes: Routes, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const [path = '/', query] = request.url.split('?', 2);
  const here = routes.match(path);
  if (here !== undefined && !here.methods.has(request.method)) {
    void reply.code(405).header('allow', here.allow);
    return request.method === 'HEAD'
      ? reply.header('content-type', 'application/json').send('')
      : reply.send({ detail: 'Method Not Allowed' });
  }
  const other = path.endsWith('/') ? path.slice(0, -1) : `${path}/`;
  if (path !== '/' && routes.match(other) !== undefined)
    return reply
      .code(307)
      .header('location', `${request.protocol}://${request.host}${other}${query === undefined ? '' : `?${query}`}`)
      .send();
  return reply.code(404).send({ detail: 'Not Found' });
}

function collectRoutes(app: FastifyInstance): Routes {
  const known = new Map<string, { pattern: RegExp; allow: string; methods: Set<string> }>();
  app.addHook('onRoute', (route) => {
    const methods = [route.method].flat();
    const found = known.get(route.url);
    if (found !== undefined) return void methods.forEach((method) => found.methods.add(method));
    const pattern = new RegExp(
      `^${route.url
        .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
        .replace(/:[a-zA-Z_]+/g, '[^/]+')
        .replace(/\*/g, '.*')}$`,
    );
    known.set(route.url, { pattern, allow: methods.join(', '), methods: new Set(methods) });
  });
  return {
    all: () => [...known].map(([url, { methods }]) => ({ url, methods: [...methods] })),
    match(path) {
      const hits = [...known.values()].filter((route) => route.pattern.test(path));
      const [first] = hits;
      if (first === undefined) return undefined;
      return { allow: first.allow, methods: new Set(hits.flatMap((hit) => [...hit.methods])) };
    },
  };
}
