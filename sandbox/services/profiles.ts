/** Saved models by name ("LLM profiles"). They are kept with the settings: sealed, and written together with which one is active. */
import type { LlmConfig } from '../../contracts/agent/requests.js';
import { completeLlm, LLM_SECRETS, unmasked } from '../conversations/llm.js';
import { HttpError, notFound } from '../http/errors.js';
import type { Profiles } from '../seam.js';
import type { Settings, StoredSettings } from './settings.js';

export const PROFILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const MAX_PROFILES = 50;

export interface ProfileSummary {
  name: string;
  model: string;
  base_url: string | null;
  provider_connection_id: string | null;
  provider_connection_broken: boolean;
  api_key_set: boolean;
}

export interface ProfileStore extends Profiles {
  list(): Promise<{ profiles: ProfileSummary[]; active: string | null }>;
  /** Replaces one of that name; a masked key is the one that it had, or else the settings'. Rejects with HttpError 409. */
  save(name: string, llm: LlmConfig, options: { withSecrets: boolean }): Promise<void>;
  /** A profile that is not there is gone already. Rejects with HttpError 409 while agent profiles refer to it. */
  remove(name: string): Promise<void>;
  /** Rejects with HttpError 404 or 409. */
  rename(from: string, to: string): Promise<void>;
  /** Makes it the settings' model. Rejects with HttpError 404. */
  activate(name: string): Promise<void>;
  /** The model of the settings, for keys that come back masked. */
  current(): Promise<Partial<LlmConfig> | undefined>;
}

export const noProfile = (name: string) => notFound(`Profile '${name}' not found`);
export const hasKey = (llm: LlmConfig): boolean => (llm.api_key ?? '').trim() !== '';

export function createProfiles(settings: Settings): ProfileStore {
  const find = async (name: string) => structuredClone(profileOf(await settings.read(), name));
  return {
    names: async () => Object.keys((await settings.read()).profiles).sort(),
    find,
    current: async () => currentOf(await settings.read()),
    async list() {
      const { profiles, activeProfile } = await settings.read();
      const names = Object.keys(profiles).sort();
      return { profiles: names.map((name) => summary(name, profiles[name] as LlmConfig)), active: activeProfile };
    },
    async save(name, llm, { withSecrets }) {
      await settings.update((stored) => {
        const known = profileOf(stored, name);
        if (known === undefined && Object.keys(stored.profiles).length >= MAX_PROFILES)
          throw new HttpError(409, `There are ${MAX_PROFILES} profiles already, which is the limit. Delete one first.`);
        const whole = unmasked(llm, known ?? currentOf(stored));
        stored.profiles[name] = withSecrets ? whole : withoutSecrets(whole);
      });
    },
    async remove(name) {
      if ((await find(name)) === undefined) return;
      await settings.update((stored) => {
        const users = stored.agentProfiles.filter((profile) => profile.llm_profile_ref === name);
        if (users.length > 0)
          throw new HttpError(
            409,
            `Profile '${name}' is used by agent profiles: ${users.map((user) => user.name).join(', ')}. Change or delete them first.`,
          );
        delete stored.profiles[name];
        if (stored.activeProfile === name) stored.activeProfile = null;
      });
    },
    async rename(from, to) {
      await settings.update((stored) => {
        const profile = profileOf(stored, from);
        if (profile === undefined) throw noProfile(from);
        if (from === to) return;
        if (profileOf(stored, to) !== undefined) throw new HttpError(409, `Profile '${to}' already exists`);
        stored.profiles[to] = profile;
        delete stored.profiles[from];
        if (stored.activeProfile === from) stored.activeProfile = to;
        for (const user of stored.agentProfiles) if (user.llm_profile_ref === from) user.llm_profile_ref = to;
      });
    },
    async activate(name) {
      await settings.update((stored) => {
        const profile = profileOf(stored, name);
        if (profile === undefined) throw noProfile(name);
        stored.agent = { ...stored.agent, llm: profile };
        stored.activeProfile = name;
      });
    },
  };
}

const profileOf = ({ profiles }: StoredSettings, name: string): LlmConfig | undefined =>
  Object.hasOwn(profiles, name) ? profiles[name] : undefined;

const currentOf = ({ agent }: StoredSettings): Partial<LlmConfig> | undefined =>
  agent['llm'] === undefined ? undefined : completeLlm(agent['llm'] as Record<string, unknown>);

function withoutSecrets(llm: LlmConfig): LlmConfig {
  return { ...llm, extra_headers: null, ...Object.fromEntries(LLM_SECRETS.map((name) => [name, null])) };
}

const summary = (name: string, llm: LlmConfig): ProfileSummary => ({
  name,
  model: llm.model,
  base_url: llm.base_url,
  provider_connection_id: null,
  provider_connection_broken: false,
  api_key_set: hasKey(llm),
});
