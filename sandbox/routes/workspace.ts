/** `/api/conversations/{id}/workspace`: files of a conversation as web pages, for a browser with the session cookie. */
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { extname, join, resolve, sep } from 'node:path';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Context } from '../context.js';
import { requireKeyOrCookie, requireReady } from '../http/auth.js';
import { badRequest, notFound } from '../http/errors.js';
import { conversationId, paramOf } from '../http/route.js';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.htm': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.pdf': 'application/pdf',
  '.txt': 'text/plain; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.wasm': 'application/wasm',
};

export function workspaceRoutes(app: FastifyInstance, context: Context): void {
  app.register(async (scope) => {
    scope.addHook('onRequest', async (request) => {
      requireReady(context);
      requireKeyOrCookie(context, request.headers);
    });
    const base = '/api/conversations/:conversation_id/workspace';
    scope.get(base, (request, reply) => serve(context, request, reply, ''));
    scope.get(`${base}/*`, (request, reply) => serve(context, request, reply, paramOf(request, '*')));
  });
}

async function serve(
  context: Context,
  request: FastifyRequest,
  reply: FastifyReply,
  path: string,
): Promise<FastifyReply> {
  const id = conversationId(request);
  const record = context.conversations.record(id);
  if (record === undefined) throw notFound(`Conversation not found: ${id}`);
  const root = await realpath(context.paths.toLocal(record.workspace.working_dir)).catch(() => {
    throw notFound('File not found');
  });
  const wanted = resolve(root, path);
  if (!inside(root, wanted)) throw badRequest('Path is outside the workspace');
  const folder = (await stat(wanted).catch(() => undefined))?.isDirectory() === true;
  // A link inside the workspace must not lead out of it.
  const file = await realpath(folder ? join(wanted, 'index.html') : wanted).catch(() => {
    throw notFound('File not found');
  });
  if (!inside(root, file)) throw badRequest('Path is outside the workspace');
  const found = await stat(file);
  if (!found.isFile()) throw notFound('File not found');
  return reply
    .type(TYPES[extname(file).toLowerCase()] ?? 'application/octet-stream')
    .header('content-length', found.size)
    .header('x-content-type-options', 'nosniff')
    .send(createReadStream(file));
}

const inside = (root: string, path: string): boolean => path === root || path.startsWith(`${root}${sep}`);
