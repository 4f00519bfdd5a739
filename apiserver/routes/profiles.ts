/** Saved model settings by name. */
import { z } from 'zod';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { namedPath } from '../http/validate.js';
import { applyChange, emptySettings, llmOf, type Doc, type StoredSettings } from '../settings/model.js';
import { profileName as name } from '../settings/profile-schema.js';
import { settingsStore } from '../settings/store.js';

const saveBody = z.object({
  include_secrets: z.boolean().default(true),
  preserve_existing_api_key: z.boolean().default(false),
  llm: z.record(z.string(), z.unknown()).nullish(),
});
const savePath = z.object({ name });
const renameBody = z.object({ new_name: name });
const MAX_PROFILES = 10;
const KEY = 'llm.api_key';

export function profileRoutes(app: Api, { box }: Deps): void {
  app.get('/settings/profiles', async ({ owned, user }) => {
    const { profiles, activeProfile } = (await settingsStore(owned, box, user.id).read()) ?? emptySettings();
    return {
      profiles: Object.entries(profiles).map(([key, profile]) => summary(key, profile)),
      active_profile: activeProfile,
    };
  });

  app.get('/settings/profiles/:name', { schema: { params: namedPath } }, async ({ params, owned, user }) => {
    const profile = profileOf((await settingsStore(owned, box, user.id).read()) ?? emptySettings(), params.name);
    return { name: params.name, config: llmOf(profile, { secrets: false }), api_key_set: profile[KEY] !== undefined };
  });

  app.post(
    '/settings/profiles/:name',
    { schema: { params: savePath, body: saveBody } },
    async ({ params, body: wanted, owned, user }, reply) => {
      const key = params.name;
      await settingsStore(owned, box, user.id).change((stored) => save(stored, key, wanted));
      return reply.status(201).send({ name: key, message: `Profile '${key}' saved` });
    },
  );

  app.delete('/settings/profiles/:name', { schema: { params: namedPath } }, async ({ params, owned, user }) => {
    await settingsStore(owned, box, user.id).change((stored) => {
      const { [params.name]: _gone, ...profiles } = stored.profiles;
      return { ...stored, profiles, activeProfile: stored.activeProfile === params.name ? null : stored.activeProfile };
    });
    return { name: params.name, message: `Profile '${params.name}' deleted` };
  });

  app.post('/settings/profiles/:name/activate', { schema: { params: namedPath } }, async ({ params, owned, user }) => {
    const { agent } = await settingsStore(owned, box, user.id).change((stored) => activate(stored, params.name));
    return {
      name: params.name,
      message: `Profile '${params.name}' activated`,
      model: llmOf(agent, { secrets: false }).model,
    };
  });

  app.post(
    '/settings/profiles/:name/rename',
    { schema: { params: namedPath, body: renameBody } },
    async ({ params, body, owned, user }) => {
      const { new_name } = body;
      await settingsStore(owned, box, user.id).change((stored) => rename(stored, params.name, new_name));
      return { name: new_name, message: `Profile '${params.name}' renamed to '${new_name}'` };
    },
  );
}

function profileOf(stored: StoredSettings, key: string): Doc {
  const profile = Object.hasOwn(stored.profiles, key) ? stored.profiles[key] : undefined;
  if (profile === undefined) throw new ApiError('profile_not_found', { text: `Profile '${key}' not found` });
  return profile;
}

function summary(key: string, profile: Doc) {
  const { model, base_url } = llmOf(profile, { secrets: false });
  return { name: key, model, base_url, api_key_set: profile[KEY] !== undefined };
}

/** Without `llm`: a snapshot of the current settings. */
function save(stored: StoredSettings, key: string, wanted: z.infer<typeof saveBody>): StoredSettings {
  const known = Object.hasOwn(stored.profiles, key) ? stored.profiles[key] : undefined;
  if (known === undefined && Object.keys(stored.profiles).length >= MAX_PROFILES)
    throw new ApiError('too_many_profiles');
  const source =
    wanted.llm == null
      ? stored.agent
      : applyChange(emptySettings(), { agent_settings_diff: { llm: wanted.llm } }).agent;
  const profile = Object.fromEntries(Object.entries(source).filter(([field]) => field.startsWith('llm.')));
  if (!wanted.include_secrets) delete profile[KEY];
  if (wanted.preserve_existing_api_key && known?.[KEY] !== undefined) profile[KEY] = known[KEY];
  return { ...stored, profiles: { ...stored.profiles, [key]: profile } };
}

function activate(stored: StoredSettings, key: string): StoredSettings {
  const profile = profileOf(stored, key);
  const others = Object.fromEntries(Object.entries(stored.agent).filter(([field]) => !field.startsWith('llm.')));
  return { ...stored, agent: { ...others, ...profile }, activeProfile: key };
}

function rename(stored: StoredSettings, from: string, to: string): StoredSettings {
  const profile = profileOf(stored, from);
  if (from !== to && Object.hasOwn(stored.profiles, to)) throw new ApiError('profile_exists');
  const { [from]: _gone, ...others } = stored.profiles;
  return {
    ...stored,
    profiles: { ...others, [to]: profile },
    activeProfile: stored.activeProfile === from ? to : stored.activeProfile,
    agentProfiles: stored.agentProfiles.map((one) =>
      one.llm_profile_ref === from ? { ...one, llm_profile_ref: to } : one,
    ),
  };
}
