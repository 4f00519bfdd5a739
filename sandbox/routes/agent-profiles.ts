/** `/api/agent-profiles`: what agents of new conversations are made of, by name; activated by id, which outlives a rename. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Context } from '../context.js';
import { bodyOf, paramOf } from '../http/route.js';
import {
  activateAgentProfile,
  agentProfileNamed,
  ensureActive,
  lacksActive,
  removeAgentProfile,
  renameAgentProfile,
  saveAgentProfile,
} from '../services/agent-profiles/book.js';
import { diagnosticsOf } from '../services/agent-profiles/launch.js';
import { agentProfileSchema, type AgentProfile } from '../services/agent-profiles/schema.js';
import { checkProfileName, profileNameOf } from './profiles.js';

const BASE = '/api/agent-profiles';
const renameSchema = z.looseObject({ new_name: z.string() });
const materializeSchema = z.strictObject({ profile: agentProfileSchema.nullish() });

export function agentProfileRoutes(app: FastifyInstance, { settings }: Context): void {
  app.get(BASE, async () => {
    const read = await settings.read();
    const { agentProfiles, activeAgentProfileId } = lacksActive(read) ? await settings.update(ensureActive) : read;
    return { profiles: agentProfiles.map(summary), active_agent_profile_id: activeAgentProfileId };
  });
  app.get(`${BASE}/:name`, async (request) => {
    const name = profileNameOf(request);
    return { name, profile: agentProfileNamed(await settings.read(), name) };
  });
  app.post(`${BASE}/:name`, async (request, reply) => {
    const name = profileNameOf(request);
    const body = bodyOf(request, agentProfileSchema);
    await settings.update((stored) => saveAgentProfile(stored, name, body));
    return reply.code(201).send({ name, message: `Agent profile '${name}' saved` });
  });
  app.delete(`${BASE}/:name`, async (request) => {
    const name = profileNameOf(request);
    await settings.update((stored) => removeAgentProfile(stored, name));
    return { name, message: `Agent profile '${name}' deleted` };
  });
  app.post(`${BASE}/:name/rename`, async (request) => {
    const name = profileNameOf(request);
    const next = checkProfileName(bodyOf(request, renameSchema).new_name, ['body', 'new_name']);
    await settings.update((stored) => renameAgentProfile(stored, name, next));
    return { name: next, message: `Agent profile '${name}' renamed to '${next}'` };
  });
  app.post(`${BASE}/:name/activate`, async (request) => {
    const id = idOf(request);
    await settings.update((stored) => activateAgentProfile(stored, id));
    return { id, message: `Agent profile '${id}' activated`, agent_settings_applied: false };
  });
  app.post(`${BASE}/:name/materialize`, async (request) => {
    const name = profileNameOf(request);
    const { profile: draft } = bodyOf(request, materializeSchema, { optional: true });
    const stored = await settings.read();
    const profile = draft == null ? agentProfileNamed(stored, name) : ({ ...draft, name } as AgentProfile);
    return diagnosticsOf(stored, profile);
  });
}

const idOf = (request: FastifyRequest): string => paramOf(request, 'name');

const summary = ({ id, name, agent_kind, revision, llm_profile_ref, mcp_server_refs }: AgentProfile) => ({
  id,
  name,
  agent_kind,
  revision,
  llm_profile_ref,
  mcp_server_refs,
});
