/** Looks at plugins, and gives one to a conversation that goes on. Those of a new conversation are named when it is made. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { findPlugin } from '../conversations/marketplaces.js';
import { bringPlugins, withPlugins, type Brought } from '../conversations/plugins.js';
import { secretSchema } from '../conversations/secrets.js';
import { bodyOf, conversationId, SUCCESS } from '../http/route.js';
import { pluginSource, shownSource } from '../services/plugins/source.js';
import { liveOf } from './conversations.js';

export const fetchPluginSchema = pluginSource.extend({
  secrets: z.record(z.string(), secretSchema).default({}),
  /** Seconds. */
  timeout: z.number().int().min(1).max(600).default(60),
});

export const loadPluginSchema = z.looseObject({ plugin_ref: z.string().max(1024) });

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
  app.post('/api/conversations/:conversation_id/load_plugin', async (request) => {
    conversationId(request);
    const { plugin_ref: reference } = bodyOf(request, loadPluginSchema);
    const { conversation } = await liveOf(context, request);
    const { config, paths } = context;
    const how = { config, paths, secrets: conversation.record.secrets };
    const brought = await bringPlugins([await findPlugin(reference, conversation.record, how)], how);
    await conversation.update((record) => Object.assign(record, withPlugins(record, late(brought))), ['agent']);
    return SUCCESS;
  });
}

/** The model has its instructions already: skills that would stand there come with the next message. */
const late = (brought: Brought[]): Brought[] =>
  brought.map((each) => {
    const skills = each.plugin.skills.map((skill) => ({ ...skill, late: true }));
    return { ...each, plugin: { ...each.plugin, skills } };
  });
