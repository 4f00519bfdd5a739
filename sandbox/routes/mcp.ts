/** `POST /api/mcp/test`: tries a server that a client wants to add. A server that cannot be used is an answer, not an error. */
import { mkdir } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { bodyOf } from '../http/route.js';
import { mcpServer, mcpServerSchema } from '../tools/mcp/config.js';
import type { McpConnection } from '../tools/mcp/connect.js';
import { terminalEnvironment } from '../tools/environment.js';

const testSchema = z.looseObject({
  name: z.string().min(1).max(128).default('test-server'),
  server: mcpServerSchema,
  /** Seconds for connecting and listing. */
  timeout: z.number().gt(0).max(120).default(15),
  tool_call: z
    .looseObject({ name: z.string().min(1), arguments: z.record(z.string(), z.unknown()).default({}) })
    .nullish(),
});
type TestRequest = z.infer<typeof testSchema>;
type Failure = { ok: false; error: string; error_kind: 'timeout' | 'connection' | 'unknown' };

const failure = (error: string, kind: Failure['error_kind']): Failure => ({ ok: false, error, error_kind: kind });

export function mcpRoutes(app: FastifyInstance, context: Context): void {
  app.post('/api/mcp/test', async (request) => {
    const body = bodyOf(request, testSchema);
    const signal = AbortSignal.timeout(body.timeout * 1000);
    try {
      return await tryServer(body, context, signal);
    } catch (error) {
      if (signal.aborted) return failure(`No answer within ${body.timeout} s.`, 'timeout');
      return failure(error instanceof Error ? error.message : String(error), 'connection');
    }
  });
}

async function tryServer({ name, server: given, tool_call: call }: TestRequest, context: Context, signal: AbortSignal) {
  const server = mcpServer(name, given);
  if (typeof server === 'string') return failure(`The server cannot be used: ${server}.`, 'unknown');
  const { connectMcp } = await import('../tools/mcp/connect.js');
  const cwd = context.paths.toLocal('/workspace');
  await mkdir(cwd, { recursive: true });
  const connection = await connectMcp(server, { cwd, env: terminalEnvironment(context.config.commandEnv), signal });
  try {
    const tools = (await connection.list({ signal })).map((tool) => tool.name);
    const result = call == null ? {} : { tool_result: await outcomeOf(connection, call, signal) };
    return { ok: true, tools, tool_result: null, resolved_mcp_servers: null, oauth_state: null, ...result };
  } finally {
    await connection.close();
  }
}

async function outcomeOf(
  connection: McpConnection,
  call: { name: string; arguments: Record<string, unknown> },
  signal: AbortSignal,
) {
  const { isError, content } = await connection.call(call.name, call.arguments, { signal });
  const text = content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
  return { is_error: isError === true, text };
}
