/** `/api/plugins`: looks at plugins; a conversation that names them fetches them itself. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { bringPlugins } from '../conversations/plugins.js';
import { secretSchema } from '../conversations/secrets.js';
import { bodyOf } from '../http/route.js';
import { pluginSource, shownSource } from '../services/plugins/source.js';

export const fetchPluginSchema = pluginSource.extend({
  secrets: z.record(z.string(), secretSchema).default({}),
  /** Seconds. */
  timeout: z.number().int().min(1).max(600).default(60),
});

export function pluginRoutes(app: FastifyInstance, context: Context): void {
  app.post('/api/plugins/fetch', async (request) => {
    const { secrets, timeout, ...source } = bodyOf(request, fetchPluginSchema);
    const { config, paths } = context;
    const [brought] = await bringPlugins([source], { config, paths, secrets, timeoutMs: timeout * 1000 });
    const { fetched, plugin } = brought as NonNullable<typeof brought>;
    return {
      path: paths.toClient(fetched.path),
      resolved_ref: fetched.resolvedRef,
      source: shownSource(source.source),
      repo_path: source.repo_path ?? null,
      manifest: plugin.manifest,
      skills: plugin.skills.map((skill) => skill['name']),
      commands: plugin.commands,
    };
  });
}
