/** Probes, server info, documents: open to everybody. */
import type { FastifyInstance } from 'fastify';
import { version } from '../../process/root.js';
import type { Context } from '../context.js';
import { usableTools } from '../tools/catalog.js';
import type { Routes } from '../http/app.js';
import { openapiOf } from '../http/openapi.js';

/** The contract that this server speaks: clients switch features on by this number. */
export const CONTRACT_VERSION = '1.58.0';

const CAPABILITIES = ['conversation_runtime_routes_v1', 'deferred_init_v1', 'event_history_v1', 'session_socket_v1'];

export function probeRoutes(app: FastifyInstance, context: Context, routes: Routes): void {
  app.get('/alive', () => ({ status: 'ok' }));
  app.get('/health', () => ({ status: 'ok' }));
  app.get('/ready', (_request, reply) =>
    context.init.state === 'initializing'
      ? reply.code(503).send({ status: 'initializing', message: 'Server is initializing' })
      : { status: 'ready' },
  );
  app.get('/server_info', () => serverInfo(context));
  app.get('/', () => serverInfo(context));
  app.get('/openapi.json', () => openapiOf(routes, CONTRACT_VERSION));
  for (const path of ['/docs', '/redoc'])
    app.get(path, (_request, reply) => reply.type('text/html; charset=utf-8').send(DOCS_PAGE));
}

function serverInfo(context: Context): Record<string, unknown> {
  const now = context.clock.monotonic();
  const { runtimeIdleTimeoutSeconds: idleTimeout, appBackendUrl } = context.config;
  return {
    uptime: (now - context.startedAt) / 1000,
    idle_time: context.conversations.runningCount > 0 ? 0 : (now - context.lastActivity) / 1000,
    title: 'OpenHands Agent Server',
    version: CONTRACT_VERSION,
    sdk_version: CONTRACT_VERSION,
    tools_version: CONTRACT_VERSION,
    workspace_version: CONTRACT_VERSION,
    build_git_sha: `sandlot-${version()}`,
    build_git_ref: `sandlot-${version()}`,
    python_version: `none (Node.js ${process.version})`,
    usable_tools: usableTools(context.config.commandEnv),
    runtime_idle_timeout_seconds: idleTimeout,
    conversation_runtime: 'local',
    available_conversation_runtimes: [],
    capabilities: CAPABILITIES,
    app_backend_ingress_url: appBackendUrl,
    max_foreground_terminal_timeout_seconds: idleTimeout === null ? null : idleTimeout * 0.9,
    docs: '/docs',
    redoc: '/redoc',
  };
}

const DOCS_PAGE = `<!doctype html><meta charset="utf-8"><title>Agent server</title>
<h1>Agent server</h1><p>Routes: <a href="openapi.json">openapi.json</a></p>`;
