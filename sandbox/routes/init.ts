/** `/api/init`: a server that was started dormant gets its keys, folders and webhooks, once. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { webhookSpec, type ServerConfig } from '../config.js';
import type { Context } from '../context.js';
import { requireInitKey } from '../http/auth.js';
import { badRequest, notFound } from '../http/errors.js';
import { bodyOf } from '../http/route.js';

const initSchema = z.strictObject({
  session_api_keys: z.array(z.string()).nullish(),
  secret_key: z.string().nullish(),
  previous_secret_keys: z.array(z.string()).nullish(),
  conversations_path: z.string().nullish(),
  bash_events_dir: z.string().nullish(),
  conversation_worktree_root: z.string().nullish(),
  webhooks: z.array(webhookSpec).nullish(),
  web_url: z.string().nullish(),
  allow_cors_origins: z.array(z.string()).nullish(),
  max_concurrent_runs: z.number().int().min(1).nullish(),
  env: z.record(z.string(), z.string()).nullish(),
  telemetry: z.looseObject({}).nullish(),
});
export type InitRequest = z.infer<typeof initSchema>;

const NOT_DEFERRED = 'server is not running with deferred_init=True; the /api/init endpoint is not available';

/** `activate` brings the server up with the configuration that is set by then. */
export function initRoutes(app: FastifyInstance, context: Context, activate: () => Promise<void>): void {
  const deferred = context.config.deferredInit;
  app.get('/api/init', () => {
    if (!deferred) throw notFound(NOT_DEFERRED);
    return context.init;
  });
  app.post('/api/init', async (request) => {
    requireInitKey(context, request.headers);
    if (!deferred) throw notFound(NOT_DEFERRED);
    const body = bodyOf(request, initSchema);
    if (context.init.state !== 'dormant') throw badRequest(`server already in state: ${context.init.state}`);
    const before = context.config;
    context.config = personalised(before, body);
    context.init = { state: 'initializing', error: null };
    try {
      await activate();
      context.init = { state: 'ready', error: null };
    } catch (error) {
      // The caller may try again, with another folder for instance.
      context.config = before;
      context.init = { state: 'dormant', error: error instanceof Error ? error.message : String(error) };
      throw error;
    }
    context.lastActivity = context.clock.monotonic();
    return context.init;
  });
}

/** The configuration with what the body says. */
export function personalised(config: ServerConfig, body: InitRequest): ServerConfig {
  const keys = body.session_api_keys ?? config.sessionApiKeys;
  return {
    ...config,
    sessionApiKeys: keys,
    secretKey: body.secret_key ?? config.secretKey ?? keys[0] ?? null,
    conversationsPath: body.conversations_path ?? config.conversationsPath,
    bashEventsDir: body.bash_events_dir ?? config.bashEventsDir,
    webhooks:
      body.webhooks?.map((spec) => ({ ...spec, base_url: spec.base_url.replace(/\/+$/, '') })) ?? config.webhooks,
    webUrl: body.web_url ?? config.webUrl,
    corsOrigins: body.allow_cors_origins ?? config.corsOrigins,
    maxConcurrentRuns: body.max_concurrent_runs ?? config.maxConcurrentRuns,
    commandEnv: { ...config.commandEnv, ...body.env },
  };
}
