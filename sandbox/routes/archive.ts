/** `/api/file/archive`: a folder as one file, to be kept when the sandbox goes. */
import { realpath, stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Context } from '../context.js';
import { badRequest, notFound } from '../http/errors.js';
import { optionalChoice, optionalFlag, optionalText, requiredText, texts } from '../http/query.js';
import { queryOf } from '../http/route.js';
import { deltaOf } from '../services/archive/delta.js';
import { excluder, USUAL_EXCLUDES } from '../services/archive/excludes.js';
import { archiveName, archiveRoot, originHeaders } from '../services/archive/repository.js';
import { tarOf } from '../services/archive/tar.js';

const FORMATS = ['git-delta', 'tar.gz'] as const;
const MAX_EXCLUDES = 1000;

export function archiveRoutes(app: FastifyInstance, context: Context, prefix: string): void {
  app.get(`${prefix}/file/archive`, async (request, reply) => {
    const wanted = wantedOf(request);
    const root = await archiveRoot(await folderOf(context.paths.toLocal(wanted.path)));
    const origin = await originHeaders(root, context.paths.toClient(root));
    const name = archiveName(root);
    if (wanted.format === 'tar.gz') {
      const { excludes } = wanted;
      const tar = Readable.from(tarOf(root, { name, excludes, excluded: excluder(excludes) }));
      const packed = createGzip();
      tar.on('error', (error) => packed.destroy(error));
      packed.on('close', () => tar.destroy());
      return attached(reply, `${name}.tar.gz`, 'application/gzip').headers(origin).send(tar.pipe(packed));
    }
    const { patch, baseCommit } = await deltaOf(root, wanted.baseRef, wanted.excludes);
    const base =
      baseCommit === null
        ? {}
        : { 'x-archive-base-commit': baseCommit, 'x-archive-base-ref': encodeURIComponent(wanted.baseRef ?? 'auto') };
    return attached(reply, `${name}.patch`, 'text/x-patch')
      .headers({ ...origin, ...base })
      .send(patch);
  });
}

function wantedOf(request: FastifyRequest) {
  const query = queryOf(request);
  const path = requiredText(query, 'path');
  const format = optionalChoice(query, 'format', FORMATS) ?? 'git-delta';
  const usual = optionalFlag(query, 'use_default_excludes') ?? true;
  const baseRef = optionalText(query, 'base_ref');
  if (!isAbsolute(path)) throw badRequest('Path must be absolute');
  if (baseRef?.startsWith('-') === true) throw badRequest("base_ref must not start with '-'");
  const more = texts(query, 'exclude');
  if (more.length > MAX_EXCLUDES) throw badRequest(`At most ${MAX_EXCLUDES} patterns may be excluded`);
  return { path, format, baseRef, excludes: [...(usual ? USUAL_EXCLUDES : []), ...more] };
}

async function folderOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw notFound('Directory not found');
  if (!found.isDirectory()) throw badRequest('Path is not a directory');
  return realpath(path);
}

const attached = (reply: FastifyReply, name: string, type: string): FastifyReply =>
  reply.type(type).header('content-disposition', `attachment; filename*=utf-8''${encodeURIComponent(name)}`);
