/** The HTTP application, without a port: `listen.ts` gives it one, tests call `inject`. One plugin per resource. */
import cookie from '@fastify/cookie';
import websocket from '@fastify/websocket';
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import type { Deps } from './deps.js';
import { answerErrors } from './http/answer.js';
import { requestId, tellRequestId } from './http/request-id.js';
import { describeRoutes } from './http/openapi.js';
import { allowOrigins } from './http/cors.js';
import { countRequests } from './http/count.js';
import { jsonBodies } from './http/json.js';
import { validateByZod, type Api } from './http/schema.js';
import { refuseBadUpgrades } from './http/upgrade.js';
import { guardLocalUser } from './identity/guard.js';
import { identifyCaller } from './identity/identify.js';
import { requireUser } from './identity/identity.js';
import { mcpRoutes } from './mcp/routes.js';
import { agentProfileRoutes } from './routes/agent-profiles.js';
import { adminRoutes } from './routes/admin.js';
import { cloudRoutes } from './routes/cloud.js';
import { configRoutes } from './routes/config.js';
import { conversationRoutes } from './routes/conversations.js';
import { deviceLoginRoutes, deviceRoutes } from './routes/devices.js';
import { downloadRoutes } from './routes/download.js';
import { eventRoutes } from './routes/events.js';
import { gitRoutes } from './routes/git.js';
import { identityRoutes } from './routes/identity.js';
import { insideRoutes } from './routes/inside.js';
import { keyRoutes } from './routes/keys.js';
import { liveRoutes } from './routes/live.js';
import { loginRoutes } from './routes/login.js';
import { messageRoutes } from './routes/messages.js';
import { probeRoutes } from './routes/probes.js';
import { profileRoutes } from './routes/profiles.js';
import { sandboxRoutes } from './routes/sandboxes.js';
import { sandboxSecretRoutes } from './routes/sandbox-secrets.js';
import { secretRoutes } from './routes/secrets.js';
import { settingsRoutes } from './routes/settings.js';
import { sharedRoutes } from './routes/shared.js';
import { shareRoutes } from './routes/shares.js';
import { skillRoutes } from './routes/skills.js';
import { specRoutes } from './routes/specs.js';
import { startRoutes } from './routes/starts.js';
import { userRoutes } from './routes/users.js';
import { webClientRoutes } from './routes/web-client.js';
import { webhookRoutes } from './routes/webhooks.js';
import { limitRates } from './rates/limit.js';
import { runtimeRoutes } from './runtime/routes.js';
import { protectAnswers, staticRoutes } from './static/static.js';

export type Plugin = (app: Api, deps: Deps) => void;

/** For whoever is the user. */
const USER_ROUTES: Plugin[] = [
  configRoutes,
  conversationRoutes,
  deviceLoginRoutes,
  downloadRoutes,
  eventRoutes,
  gitRoutes,
  insideRoutes,
  liveRoutes,
  messageRoutes,
  profileRoutes,
  sandboxRoutes,
  secretRoutes,
  settingsRoutes,
  shareRoutes,
  skillRoutes,
  specRoutes,
  startRoutes,
  userRoutes,
];
/** For sandboxes with their session key. */
const SANDBOX_ROUTES: Plugin[] = [webhookRoutes, sandboxSecretRoutes];

/** Largest frame of a client: ours have nothing to say. */
const FRAME_LIMIT = 1024;
/** Largest body of a user's request; webhooks have their own bound. */
const BODY_LIMIT = 10 * 1024 * 1024;

export async function buildApp(deps: Deps): Promise<FastifyInstance> {
  const app = newApp(deps);
  const { identity, uiOrigins } = deps.config;
  await allowOrigins(app, uiOrigins);
  if (identity.mode === 'single-user') guardLocalUser(app, { publicUrl: identity.publicUrl, origins: uiOrigins });
  refuseBadUpgrades(app);
  protectAnswers(app, deps);
  await app.register(websocket, { options: { maxPayload: FRAME_LIMIT } });
  await app.register(cookie);
  await describeRoutes(app);
  probeRoutes(app, deps);
  webClientRoutes(app, deps);
  const limits = await limitRates(app, { rates: deps.config.rates, registry: deps.registry, log: deps.log });
  const { prisma } = deps.db;
  await app.register((scope, _options, done) => {
    scope.addHook('onRequest', limits.address);
    loginRoutes(scope, deps);
    deviceRoutes(scope, deps);
    done();
  });
  identityRoutes(app, deps);
  await app.register(
    (scope, _options, done) => {
      scope.addHook('onRequest', limits.address);
      sharedRoutes(scope, deps);
      done();
    },
    { prefix: '/api' },
  );
  await app.register(
    async (scope) => {
      requireUser(scope, { prisma, identify: deps.identify, limit: limits.user });
      for (const routes of USER_ROUTES) routes(scope, deps);
    },
    { prefix: '/api/v1' },
  );
  await app.register(
    async (scope) => {
      requireUser(scope, { prisma, identify: deps.identify, limit: limits.user, need: 'admin' });
      adminRoutes(scope, deps);
    },
    { prefix: '/api/v1' },
  );
  await app.register(
    async (scope) => {
      requireUser(scope, { prisma, identify: deps.identify, limit: limits.user });
      agentProfileRoutes(scope, deps);
      cloudRoutes(scope);
      keyRoutes(scope, deps);
    },
    { prefix: '/api' },
  );
  await addSandboxRoutes(app, deps);
  await app.register(async (scope) => {
    requireUser(scope, {
      prisma,
      identify: identifyCaller(deps.identify),
      limit: limits.runtimeUser,
      need: 'runtime',
    });
    runtimeRoutes(scope, deps);
  });
  await staticRoutes(app, deps);
  return app;
}

/**
 * What sandboxes call and nothing else, for a port of its own: pods must reach it, but users' routes need not be within
 * their reach (nor within anyone's in single-user mode).
 */
export async function buildSandboxApp(deps: Deps): Promise<FastifyInstance> {
  const app = newApp(deps);
  await addSandboxRoutes(app, deps);
  return app;
}

function newApp(deps: Deps): FastifyInstance {
  const trusted = deps.config.rates?.trustedProxies ?? [];
  const app = Fastify({
    loggerInstance: deps.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    routerOptions: { maxParamLength: 500 },
    genReqId: requestId,
    trustProxy: trusted.length === 0 ? false : [...trusted],
    // Long polls and streams end with the client; everything else has bounds of its own.
    forceCloseConnections: 'idle',
  });
  tellRequestId(app);
  answerErrors(app, deps.log);
  validateByZod(app);
  jsonBodies(app);
  countRequests(app, deps.registry);
  return app;
}

async function addSandboxRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  await app.register(
    async (scope) => {
      scope.addHook('onRoute', (route) => {
        route.config = { ...route.config, need: 'sandbox' };
      });
      for (const routes of SANDBOX_ROUTES) routes(scope, deps);
    },
    { prefix: '/api/v1' },
  );
  await app.register((scope, _options, done) => {
    mcpRoutes(scope, deps);
    done();
  });
}
