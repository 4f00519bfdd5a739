/** `/api/settings`: a store for clients that keep their settings and secrets with the server. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { badRequest, HttpError, notFound } from '../http/errors.js';
import { bodyOf, paramOf } from '../http/route.js';

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
  app.get('/api/settings', (request) => {
    const expose = request.headers['x-expose-secrets'];
    if (expose !== undefined && expose !== 'encrypted' && expose !== 'plaintext')
      throw badRequest(
        `Invalid X-Expose-Secrets header value: '${String(expose)}'. Valid values are: 'encrypted', 'plaintext'.`,
      );
    throw new HttpError(501, 'the settings store is not built yet');
  });
}
