/** Which agent profile a conversation starts with, and what that makes of its user's settings. Pure. */
import { ApiError } from '../http/errors.js';
import type { StoredSettings } from '../settings/model.js';
import { activeAgentProfile, agentProfileOf, lacksOf, withAgentProfile } from '../settings/agent-profiles.js';
import type { AgentProfile } from '../settings/profile-schema.js';

export interface Launch {
  settings: StoredSettings;
  profile: AgentProfile | undefined;
}

/**
 * The profile that the request names must be there and complete (ApiError tells what it lacks). Without one it is that of the
 * parent, else the active one; those are left out where they lack something, and so when the request names its own model.
 */
export function launchOf(
  settings: StoredSettings,
  { named, model, parent }: { named: string | null; model: string | null; parent?: unknown },
): Launch {
  if (named !== null) return using(settings, usableProfile(settings, named));
  if (model !== null) return { settings, profile: undefined };
  const profile = parent === undefined ? activeAgentProfile(settings) : agentProfileOf(settings, parent);
  return profile === undefined || lacksOf(settings, profile).length > 0
    ? { settings, profile: undefined }
    : using(settings, profile);
}

const using = (settings: StoredSettings, profile: AgentProfile): Launch => ({
  settings: withAgentProfile(settings, profile),
  profile,
});

/** Throws ApiError: 404 for an unknown one, 409 for one that refers to what is not there. */
export function usableProfile(settings: StoredSettings, id: string): AgentProfile {
  const profile = agentProfileOf(settings, id);
  if (profile === undefined) throw new ApiError('agent_profile_not_found', { text: `Agent profile '${id}' not found` });
  const lacks = lacksOf(settings, profile);
  if (lacks.length > 0)
    throw new ApiError('agent_profile_incomplete', {
      text: `Agent profile '${profile.name}' cannot be used: ${lacks.join('; ')}.`,
    });
  return profile;
}

const ID = 'agentprofileid';
const REVISION = 'agentprofilerevision';

/** Tags by which the conversation tells later what it was started with, as OpenHands' app server names them. */
export const launchTags = (profile: AgentProfile | undefined): Record<string, string> =>
  profile === undefined ? {} : { [ID]: profile.id, [REVISION]: String(profile.revision) };

/** `launched_agent_profile` from the tags of a conversation. */
export function launchedProfile(tags: unknown): { agent_profile_id: string; revision: number } | null {
  const { [ID]: id, [REVISION]: revision } = (tags ?? {}) as Record<string, unknown>;
  return typeof id === 'string' && typeof revision === 'string'
    ? { agent_profile_id: id, revision: Number(revision) }
    : null;
}
