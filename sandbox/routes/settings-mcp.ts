/** `/api/settings/mcp/{name}`: one MCP server of the stored settings at a time. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { badRequest, HttpError, notFound } from '../http/errors.js';
import { bodyOf, paramOf } from '../http/route.js';
import { merge, settingsForm } from '../services/settings-form.js';
import { mcpServersOf } from '../services/settings.js';
import { mcpServer, mcpServerSchema } from '../tools/mcp/config.js';

type Fields = Record<string, unknown>;

export const mcpPatchSchema = z.record(z.string(), z.unknown());

export function settingsMcpRoutes(app: FastifyInstance, context: Context): void {
  const path = '/api/settings/mcp/:settings_key';
  const change = async (work: (servers: Fields) => Fields) => {
    const stored = await context.settings.update((settings) => {
      settings.agent['mcp_config'] = work(mcpServersOf(settings));
    });
    return settingsForm(stored, { plain: false, nowMicros: context.clock.now() * 1000 });
  };
  app.post(path, async (request, reply) => {
    const name = paramOf(request, 'settings_key');
    const given = checked(name, bodyOf(request, mcpServerSchema));
    const form = await change((servers) => {
      if (Object.hasOwn(servers, name)) throw new HttpError(409, `MCP server '${name}' already exists`);
      return { ...servers, [name]: given };
    });
    return reply.code(201).send(form);
  });
  app.patch(path, async (request) => {
    const name = paramOf(request, 'settings_key');
    const patch = bodyOf(request, mcpPatchSchema);
    return change((servers) => ({ ...servers, [name]: patched(name, known(servers, name), patch) }));
  });
  app.delete(path, async (request) => {
    const name = paramOf(request, 'settings_key');
    return change((servers) => {
      known(servers, name);
      const { [name]: _gone, ...rest } = servers;
      return rest;
    });
  });
}

function known(servers: Fields, name: string): Fields {
  if (!Object.hasOwn(servers, name)) throw notFound(`MCP server '${name}' not found`);
  return servers[name] as Fields;
}

/** Null takes a field away, also one of the environment or headers; a mask leaves it. */
function patched(name: string, server: Fields, patch: Fields): Fields {
  const merged = withoutNulls(merge(server, patch));
  const parsed = mcpServerSchema.safeParse(merged);
  if (!parsed.success) throw badRequest(`MCP server '${name}': ${z.prettifyError(parsed.error)}`);
  return checked(name, parsed.data);
}

const withoutNulls = (fields: Fields): Fields =>
  Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => {
      if (value === null) return [];
      const inner = typeof value === 'object' && !Array.isArray(value) ? withoutNulls(value as Fields) : value;
      return [[name, inner]];
    }),
  );

function checked<Server extends z.infer<typeof mcpServerSchema>>(name: string, server: Server): Server {
  if (!/^[\w.-]{1,128}$/.test(name) || name === '__proto__')
    throw badRequest('The name of an MCP server has 1 to 128 letters, digits, dots, dashes and underscores');
  const usable = mcpServer(name, server);
  if (typeof usable === 'string') throw badRequest(`MCP server '${name}' cannot be used: ${usable}`);
  return server;
}
