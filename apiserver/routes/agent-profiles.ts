/** Agent profiles, at the addresses and in the shapes of OpenHands' cloud: saved and found by name, activated by id. */
import { z } from 'zod';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { namedPath } from '../http/validate.js';
import {
  activateAgentProfile,
  activeAgentProfile,
  agentProfileNamed,
  diagnosticsOf,
  removeAgentProfile,
  renameAgentProfile,
  saveAgentProfile,
} from '../settings/agent-profiles.js';
import { emptySettings } from '../settings/model.js';
import { agentProfileBody, profileName, type AgentProfile } from '../settings/profile-schema.js';
import { settingsStore } from '../settings/store.js';

const AT = '/agent-profiles';
const savePath = z.object({ name: profileName });
const renameBody = z.object({ new_name: profileName });

type Asking = Parameters<typeof settingsStore>[0];

export function agentProfileRoutes(app: Api, { box }: Deps): void {
  const read = async (owned: Asking, id: string) => (await settingsStore(owned, box, id).read()) ?? emptySettings();

  app.get(AT, async ({ owned, user }) => {
    const stored = await read(owned, user.id);
    return {
      profiles: stored.agentProfiles.map(summary),
      active_agent_profile_id: activeAgentProfile(stored)?.id ?? null,
    };
  });

  app.get(`${AT}/:name`, { schema: { params: namedPath } }, async ({ params, owned, user }) => {
    const profile = agentProfileNamed(await read(owned, user.id), params.name);
    return { name: profile.name, profile };
  });

  app.post(
    `${AT}/:name`,
    { schema: { params: savePath, body: agentProfileBody } },
    async ({ params: { name }, body, owned, user }, reply) => {
      await settingsStore(owned, box, user.id).change((stored) => saveAgentProfile(stored, name, body));
      return reply.status(201).send({ name, message: `Agent profile '${name}' saved` });
    },
  );

  app.delete(`${AT}/:name`, { schema: { params: namedPath } }, async ({ params: { name }, owned, user }) => {
    await settingsStore(owned, box, user.id).change((stored) => removeAgentProfile(stored, name));
    return { name, message: `Agent profile '${name}' deleted` };
  });

  app.post(
    `${AT}/:name/rename`,
    { schema: { params: namedPath, body: renameBody } },
    async ({ params: { name }, body: { new_name: to }, owned, user }) => {
      await settingsStore(owned, box, user.id).change((stored) => renameAgentProfile(stored, name, to));
      return { name: to, message: `Agent profile '${name}' renamed to '${to}'` };
    },
  );

  // By its id: clients keep that when they rename it.
  app.post(`${AT}/:name/activate`, { schema: { params: namedPath } }, async ({ params: { name: id }, owned, user }) => {
    await settingsStore(owned, box, user.id).change((stored) => activateAgentProfile(stored, id));
    return { id, message: 'Agent profile activated', agent_settings_applied: false };
  });

  app.post(`${AT}/:name/materialize`, { schema: { params: namedPath } }, async ({ params, owned, user }) => {
    const stored = await read(owned, user.id);
    return diagnosticsOf(stored, agentProfileNamed(stored, params.name));
  });
}

const summary = ({ id, name, agent_kind, revision, llm_profile_ref, mcp_server_refs }: AgentProfile) => ({
  id,
  name,
  agent_kind,
  revision,
  llm_profile_ref,
  mcp_server_refs,
});
