/** `/api/profiles`: saved models by name, tried out and made the settings' own. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { llmSchema, redactLlm, unmasked } from '../conversations/llm.js';
import { ValidationError, type Problem } from '../http/errors.js';
import { bodyOf, paramOf } from '../http/route.js';
import { hasKey, noProfile, PROFILE_NAME } from '../services/profiles.js';
import { exposure } from './settings.js';

const TRY_MS = 60_000;
const BASE = '/api/profiles';
const saveSchema = z.looseObject({ llm: llmSchema, include_secrets: z.boolean().default(true) });
const trySchema = z.looseObject({ llm: llmSchema });
const renameSchema = z.looseObject({ new_name: z.string() });

export function profileRoutes(app: FastifyInstance, context: Context): void {
  const { profiles } = context;
  app.get(BASE, async () => {
    const { profiles: list, active } = await profiles.list();
    return { profiles: list, active_profile: active };
  });
  app.get(`${BASE}/:name`, async (request) => {
    const name = profileNameOf(request);
    const plain = exposure(request) === 'plaintext';
    const llm = await profiles.find(name);
    if (llm === undefined) throw noProfile(name);
    return { name, config: plain ? llm : redactLlm(llm, null), api_key_set: hasKey(llm) };
  });
  app.post(`${BASE}/:name`, async (request, reply) => {
    const name = profileNameOf(request);
    const { llm, include_secrets: withSecrets } = bodyOf(request, saveSchema);
    await profiles.save(name, llm, { withSecrets });
    return reply.code(201).send({ name, message: `Profile '${name}' saved` });
  });
  app.post(`${BASE}/:name/validate`, async (request) => {
    const name = profileNameOf(request);
    const { llm } = bodyOf(request, trySchema);
    const known = (await profiles.find(name)) ?? (await profiles.current());
    const runtime = await context.conversations.runtime();
    const error = await runtime.tryModel(unmasked(llm, known), AbortSignal.timeout(TRY_MS));
    return { valid: error === null, error };
  });
  app.delete(`${BASE}/:name`, async (request) => {
    const name = profileNameOf(request);
    await profiles.remove(name);
    return { name, message: `Profile '${name}' deleted` };
  });
  app.post(`${BASE}/:name/rename`, async (request) => {
    const name = profileNameOf(request);
    const { new_name: next } = bodyOf(request, renameSchema);
    checkProfileName(next, ['body', 'new_name']);
    await profiles.rename(name, next);
    const message = name === next ? `Profile '${name}' keeps its name` : `Profile '${name}' renamed to '${next}'`;
    return { name: next, message };
  });
  app.post(`${BASE}/:name/activate`, async (request) => {
    const name = profileNameOf(request);
    await profiles.activate(name);
    return { name, message: `Profile '${name}' activated`, llm_applied: true };
  });
}

export const profileNameOf = (request: FastifyRequest): string =>
  checkProfileName(paramOf(request, 'name'), ['path', 'name']);

/** Throws ValidationError. */
export function checkProfileName(name: string, loc: Problem['loc']): string {
  if (PROFILE_NAME.test(name)) return name;
  const { source } = PROFILE_NAME;
  const msg = `String should match pattern '${source}'`;
  throw new ValidationError([{ type: 'string_pattern_mismatch', loc, msg, input: name, ctx: { pattern: source } }]);
}
