/** `/api/file`: the pod's files. There is no jail: who has the key may run commands anyway. */
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Context } from '../context.js';
import { ensureFolder } from '../conversations/record.js';
import { badRequest, notFound, ValidationError } from '../http/errors.js';
import { requiredText } from '../http/query.js';
import { conversationId, queryOf, SUCCESS } from '../http/route.js';
import { hexOf } from '../http/uuid.js';
import { trajectory } from '../services/trajectory.js';
import { rangeOf } from '../services/range.js';

export function fileRoutes(app: FastifyInstance, context: Context, prefix: string): void {
  const pathOf = (request: FastifyRequest): string => {
    const path = requiredText(queryOf(request), 'path');
    if (!isAbsolute(path)) throw badRequest('Path must be absolute');
    return context.paths.toLocal(path);
  };
  app.post(`${prefix}/file/upload`, async (request) => ({
    ...SUCCESS,
    file_size: await upload(request, pathOf(request)),
  }));
  app.get(`${prefix}/file/download`, async (request, reply) => sendFile(request, reply, pathOf(request)));
  app.post(`${prefix}/file/create_directory`, async (request) => {
    const path = pathOf(request);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && !found.isDirectory()) throw badRequest('Path is not a directory');
    await ensureFolder(path);
    return SUCCESS;
  });
  app.get(`${prefix}/file/download-trajectory/:conversation_id`, async (request, reply) => {
    const id = conversationId(request);
    const live = await context.conversations.live(id);
    if (live === undefined) throw notFound('Conversation not found');
    return reply
      .type('application/octet-stream')
      .header('content-disposition', `attachment; filename="${hexOf(id)}.zip"`)
      .send(Readable.from(trajectory(live.conversation)));
  });
}

/** Streams the multipart field `file` to its place; returns its size. */
async function upload(request: FastifyRequest, path: string): Promise<number> {
  const missing = () =>
    new ValidationError([{ type: 'missing', loc: ['body', 'file'], msg: 'Field required', input: null }]);
  if (!request.isMultipart()) throw missing();
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) throw badRequest('Path is a directory');
  const part = await request.file();
  if (part === undefined) throw missing();
  if (part.fieldname !== 'file') {
    part.file.resume();
    throw missing();
  }
  await ensureFolder(dirname(path));
  const aside = `${path}.upload-${process.pid}-${Date.now()}`;
  try {
    const target = createWriteStream(aside);
    await pipeline(part.file, target);
    await rename(aside, path);
    return target.bytesWritten;
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}

async function sendFile(request: FastifyRequest, reply: FastifyReply, path: string): Promise<FastifyReply> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw notFound('File not found');
  if (!found.isFile()) throw badRequest('Path is not a file');
  const name = basename(path);
  const ascii = /^[\x20-\x7e]+$/.test(name) && !name.includes('"');
  void reply
    .type('application/octet-stream')
    .header('accept-ranges', 'bytes')
    .header('last-modified', found.mtime.toUTCString())
    .header(
      'content-disposition',
      ascii ? `attachment; filename="${name}"` : `attachment; filename*=utf-8''${encodeURIComponent(name)}`,
    );
  const range = rangeOf(request.headers.range, found.size);
  if (range === 'unsatisfiable') return reply.code(416).header('content-range', `bytes */${found.size}`).send('');
  if (range === undefined) return reply.header('content-length', found.size).send(createReadStream(path));
  return reply
    .code(206)
    .header('content-range', `bytes ${range.start}-${range.end}/${found.size}`)
    .header('content-length', range.end - range.start + 1)
    .send(createReadStream(path, range));
}
