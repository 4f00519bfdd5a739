/** `/api/settings`: a store for clients that keep their settings and secrets with the server. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { badRequest, HttpError, notFound } from '../http/errors.js';
import { headerOf } from '../http/auth.js';
import { bodyOf, paramOf } from '../http/route.js';
import { merge, settingsForm } from '../services/settings-form.js';

const secretSchema = z.looseObject({ name: z.string(), value: z.string(), description: z.string().nullish() });
const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

export function settingsRoutes(app: FastifyInstance, context: Context): void {
  const { settings } = context;
  app.get('/api/settings/secrets', async () => {
    const { secrets } = await settings.read();
    return { secrets: Object.entries(secrets).map(([name, { description }]) => ({ name, description })) };
  });
  app.put('/api/settings/secrets', async (request) => {
    const { name, value, description = null } = bodyOf(request, secretSchema);
    if (!NAME.test(name))
      throw new HttpError(
        422,
        'Invalid secret name format. Must start with a letter, contain only letters, numbers, and underscores, and be 1-64 characters long.',
      );
    await settings.update((stored) => (stored.secrets[name] = { value, description }));
    return { name, description };
  });
  app.get('/api/settings/secrets/:name', async (request, reply) => {
    const secret = (await settings.read()).secrets[paramOf(request, 'name')];
    if (secret === undefined) throw notFound('Secret not found');
    return reply.type('text/plain; charset=utf-8').send(secret.value);
  });
  app.delete('/api/settings/secrets/:name', async (request) => {
    const name = paramOf(request, 'name');
    if ((await settings.read()).secrets[name] === undefined) throw notFound('Secret not found');
    await settings.update((stored) => void delete stored.secrets[name]);
    return { deleted: true };
  });
  for (const [path, model] of [
    ['agent-schema', 'AgentSettings'],
    ['conversation-schema', 'ConversationSettings'],
  ] as const)
    app.get(`/api/settings/${path}`, () => ({ model_name: model, sections: [] }));
  app.get('/api/settings', async (request) => {
    const plain = exposure(request) === 'plaintext';
    return settingsForm(await settings.read(), { plain, nowMicros: context.clock.now() * 1000 });
  });
  app.patch('/api/settings', async (request) => {
    const body = bodyOf(request, patchSchema);
    if (!PARTS.some((part) => body[part] !== undefined && body[part] !== null))
      throw badRequest(`At least one of ${PARTS.slice(0, -1).join(', ')}, or ${PARTS.at(-1) ?? ''} must be provided`);
    const stored = await settings.update((before) => {
      before.agent = merge(before.agent, body.agent_settings_diff ?? {});
      before.conversation = merge(before.conversation, body.conversation_settings_diff ?? {});
      before.misc = merge(before.misc, body.misc_settings_diff ?? {});
      if (body.active_profile !== undefined) before.activeProfile = body.active_profile;
      if (body.active_agent_profile_id !== undefined) before.activeAgentProfileId = body.active_agent_profile_id;
    });
    return settingsForm(stored, { plain: false, nowMicros: context.clock.now() * 1000 });
  });
}

const PARTS = [
  'agent_settings_diff',
  'conversation_settings_diff',
  'misc_settings_diff',
  'active_profile',
  'active_agent_profile_id',
  'active_meta_profile',
] as const;
const diff = z.record(z.string(), z.unknown()).nullish();
const patchSchema = z.looseObject({
  agent_settings_diff: diff,
  conversation_settings_diff: diff,
  misc_settings_diff: diff,
  active_profile: z.string().nullable().optional(),
  active_agent_profile_id: z.string().max(128).nullable().optional(),
});

/** How a client wants to see secrets; "encrypted" is answered masked: nobody else has our key. */
export function exposure(request: FastifyRequest): string | undefined {
  const asked = headerOf(request.headers, 'x-expose-secrets');
  if (asked !== undefined && asked !== 'encrypted' && asked !== 'plaintext')
    throw badRequest(`Invalid X-Expose-Secrets header value: '${asked}'. Valid values are: 'encrypted', 'plaintext'.`);
  return asked;
}
