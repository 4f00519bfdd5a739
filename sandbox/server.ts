/** The agent server of one pod, put together: services, routes, sockets; and its life from start to end. */
import type { AddressInfo } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from '../process/log.js';
import type { ServerConfig } from './config.js';
import type { Context } from './context.js';
import { createConversations } from './conversations/service.js';
import { createPathMap } from './conversations/workspace.js';
import { createApp, type Routes } from './http/app.js';
import { requireKey, requireReady } from './http/auth.js';
import { addCors } from './http/cors.js';
import { notFound } from './http/errors.js';
import { pathUuid } from './http/validate.js';
import { agentProfileRoutes } from './routes/agent-profiles.js';
import { archiveRoutes } from './routes/archive.js';
import { bashRoutes } from './routes/bash.js';
import { browseRoutes } from './routes/browse.js';
import { controlRoutes } from './routes/control.js';
import { conversationRoutes } from './routes/conversations.js';
import { eventRoutes } from './routes/events.js';
import { fileRoutes } from './routes/files.js';
import { gitRoutes } from './routes/git.js';
import { initRoutes } from './routes/init.js';
import { installedRoutes } from './routes/installed.js';
import { mcpRoutes } from './routes/mcp.js';
import { miscRoutes, vscodeRoutes } from './routes/misc.js';
import { openAiRoutes } from './routes/openai.js';
import { pluginRoutes } from './routes/plugins.js';
import { probeRoutes } from './routes/probes.js';
import { profileRoutes } from './routes/profiles.js';
import { settingsRoutes } from './routes/settings.js';
import { settingsMcpRoutes } from './routes/settings-mcp.js';
import { workspaceRoutes } from './routes/workspace.js';
import { workspacesRoutes } from './routes/workspaces.js';
import type { AgentRuntime, Clock } from './seam.js';
import { createBash } from './services/bash.js';
import { createExtensions } from './services/installed/index.js';
import { createProfiles } from './services/profiles.js';
import { createSettings } from './services/settings.js';
import { serveSockets, type Sockets } from './sockets/upgrade.js';
import { createVscode } from './vscode/service.js';
import { createWebhooks } from './webhooks/webhooks.js';

export interface AgentServer {
  /** `http://host:port` */
  url: string;
  port: number;
  context: Context;
  /** Ends runs, sends what webhooks wait for, writes everything, closes. */
  close(): Promise<void>;
}

export interface ServerOptions {
  config: ServerConfig;
  log: Logger;
  clock: Clock;
  /** The agent; loaded when the first conversation needs it. */
  runtime?: () => Promise<AgentRuntime>;
}

export async function startServer(options: ServerOptions): Promise<AgentServer> {
  const context = createContext(options);
  const { app, routes } = await createApp({ log: context.log });
  const activate = async () => {
    await context.conversations.start();
    await context.vscode.start();
  };
  addRoutes(app, context, { routes, activate });
  await app.ready();
  const sockets: Sockets = serveSockets(app.server, context);
  // Conversations are there before the first request can ask for them.
  if (context.init.state === 'ready') await activate();
  await app.listen({ host: options.config.host, port: options.config.port });
  const { port } = app.server.address() as AddressInfo;
  context.config.port = port;
  return {
    url: `http://${options.config.host}:${port}`,
    port,
    context,
    async close() {
      // Sockets last: they still carry how the runs ended.
      await context.conversations.close();
      sockets.close();
      await context.bash.close();
      await context.vscode.close();
      await app.close();
    },
  };
}

function createContext(options: ServerOptions): Context {
  const { clock, log } = options;
  const config = { ...options.config };
  const paths = createPathMap(config.workspaceRoot);
  const current = () => context.config;
  const touch = () => {
    context.lastActivity = clock.monotonic();
  };
  let loaded: Promise<AgentRuntime> | undefined;
  const runtime =
    options.runtime ??
    (() =>
      (loaded ??= import('./agent/runtime.js').then(({ createAgentRuntime }) => createAgentRuntime({ log, clock }))));
  const webhooks = createWebhooks({
    specs: () => current().webhooks,
    sessionKey: () => current().sessionApiKeys[0] ?? null,
    clock,
    log,
  });
  const settings = createSettings(current);
  const profiles = createProfiles(settings);
  const extensions = createExtensions({ config: current, toLocal: paths.toLocal, clock });
  const context: Context = {
    config,
    initKey: config.secretKey,
    init: { state: config.deferredInit ? 'dormant' : 'ready', error: null },
    startedAt: clock.monotonic(),
    lastActivity: clock.monotonic(),
    paths,
    webhooks,
    conversations: createConversations({
      config: current,
      paths,
      webhooks,
      runtime,
      profiles,
      settings,
      extensions,
      touch,
      log,
      clock,
    }),
    bash: createBash({ config: current, paths, touch, clock, log }),
    vscode: createVscode({ config: current, paths, touch, log }),
    settings,
    profiles,
    extensions,
    log,
    clock,
  };
  return context;
}

/** Routes below a conversation (`/api/conversations/{id}/bash/…`) are there only for one that exists. */
function requireConversation(context: Context, request: FastifyRequest): void {
  const id = (request.params as Record<string, string | undefined>)['runtime_conversation_id'];
  if (id !== undefined && context.conversations.record(pathUuid(id, 'runtime_conversation_id')) === undefined)
    throw notFound();
}

function addRoutes(
  app: FastifyInstance,
  context: Context,
  parts: { routes: Routes; activate: () => Promise<void> },
): void {
  addCors(app, context);
  probeRoutes(app, context, parts.routes);
  initRoutes(app, context, parts.activate);
  openAiRoutes(app, context);
  workspaceRoutes(app, context);
  app.register(async (api) => {
    api.addHook('onRequest', async (request) => {
      requireReady(context);
      requireKey(context, request.headers);
      requireConversation(context, request);
    });
    conversationRoutes(api, context);
    controlRoutes(api, context);
    eventRoutes(api, context);
    for (const prefix of ['/api', '/api/conversations/:runtime_conversation_id']) {
      bashRoutes(api, context, prefix);
      fileRoutes(api, context, prefix);
      archiveRoutes(api, context, prefix);
      gitRoutes(api, context, prefix);
      vscodeRoutes(api, context, prefix);
    }
    browseRoutes(api, context);
    miscRoutes(api, context);
    mcpRoutes(api, context);
    pluginRoutes(api, context);
    installedRoutes(api, context);
    settingsRoutes(api, context);
    settingsMcpRoutes(api, context);
    workspacesRoutes(api, context);
    profileRoutes(api, context);
    agentProfileRoutes(api, context);
  });
}
