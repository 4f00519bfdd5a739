/** The web UI: files of the build, index.html for every other path, cache headers as the recorded server has them, and a CSP. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import type { GatewayAddress } from '../../contracts/urls.js';
import type { Deps } from '../deps.js';
import { ApiError } from '../http/errors.js';

const NO_STORE = {
  'cache-control': 'no-cache, no-store, must-revalidate, max-age=0',
  pragma: 'no-cache',
  expires: '0',
};
/** Names of assets change with their content. */
const IMMUTABLE = 'public, max-age=2592000, immutable';

/** Headers of every answer of the users' port; to be called before the routes are added, or their scopes do not have it. */
export function protectAnswers(app: FastifyInstance, { config, webRoot }: Pick<Deps, 'config' | 'webRoot'>): void {
  const index = indexOf(webRoot);
  const policy = contentSecurityPolicy(config.gateway, index === undefined ? [] : inlineScripts(index));
  app.addHook('onSend', (request, reply, payload, done) => {
    if (!request.url.startsWith('/assets/') && !reply.hasHeader('cache-control')) reply.headers(NO_STORE);
    reply.header('x-content-type-options', 'nosniff').header('referrer-policy', 'same-origin');
    if (String(reply.getHeader('content-type') ?? '').startsWith('text/html'))
      reply.header('content-security-policy', policy).header('x-frame-options', 'DENY');
    done(null, payload);
  });
}

const indexOf = (root: string | undefined): string | undefined =>
  root !== undefined && existsSync(`${root}/index.html`) ? readFileSync(`${root}/index.html`, 'utf8') : undefined;

export async function staticRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  const root = deps.webRoot;
  const built = indexOf(root) !== undefined;
  if (root !== undefined && built) {
    await app.register(fastifyStatic, {
      root,
      wildcard: false,
      index: false,
      cacheControl: false,
      setHeaders: (response, path) => {
        if (path.includes('/assets/')) response.header('cache-control', IMMUTABLE);
      },
    });
  }
  app.setNotFoundHandler((request, reply) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') throw new ApiError('method_not_allowed');
    if (request.url.startsWith('/api/')) throw new ApiError('not_found');
    if (!built)
      return reply
        .type('text/html; charset=utf-8')
        .send(
          '<!doctype html><title>Sandlot</title><p>The API runs. The web UI is not built: <code>npm run build</code>.',
        );
    return reply.type('text/html; charset=utf-8').sendFile('index.html');
  });
}

/** CSP sources of the scripts that stand in a page itself: OpenHands' frontend starts by such ones. */
export function inlineScripts(html: string): string[] {
  return [...html.matchAll(/<script(?![^>]*\ssrc\s*=)[^>]*>([^]*?)<\/script>/gi)].map(
    ([, text = '']) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`,
  );
}

/** Scripts of our own only; connections and frames to the gateway's site beside it. */
export function contentSecurityPolicy({ form, protocol, domain }: GatewayAddress, inline: string[] = []): string {
  // The sibling form puts the sandbox before the domain's first label, where a wildcard cannot stand.
  const hosts =
    form === 'path' ? domain : form === 'host' ? `*.${domain}` : `*.${domain.slice(domain.indexOf('.') + 1)}`;
  const http = `${protocol}://${hosts}`;
  const socket = `${protocol === 'https' ? 'wss' : 'ws'}://${hosts}`;
  return [
    `default-src 'self'`,
    [`script-src 'self'`, ...inline].join(' '),
    `style-src 'self' 'unsafe-inline'`,
    `img-src 'self' data: blob: https:`,
    `font-src 'self' data:`,
    `connect-src 'self' ${http} ${socket}`,
    `frame-src 'self' ${http}`,
    `worker-src 'self' blob:`,
    `object-src 'none'`,
    `base-uri 'self'`,
    `form-action 'self'`,
    `frame-ancestors 'none'`,
  ].join('; ');
}
