/**
 * Agent profiles: named bundles of what a conversation's agent gets, which refer to an LLM profile, MCP servers and secrets by
 * name and hold no key themselves. Kept within the sealed settings of their user. Shapes: `/api/agent-profiles` of the OpenHands
 * agent server 1.34 and its TypeScript client 1.39. Pure.
 */
import { randomUUID } from 'node:crypto';
import type { z } from 'zod';
import { ApiError } from '../http/errors.js';
import { applyChange, emptySettings, isDoc, llmOf, settingOf, type Doc, type StoredSettings } from './model.js';
import type { AgentProfile, agentProfileBody } from './profile-schema.js';

const MAX_PROFILES = 30;
/** Of one profile, as JSON: all are read with the settings. */
const MAX_CHARS = 100_000;
const ACTIVE = 'active_agent_profile_id';
const ACTIVE_REVISION = 'active_agent_profile_revision';

/** Throws ApiError `agent_profile_not_found`. */
export function agentProfileNamed({ agentProfiles }: StoredSettings, name: string): AgentProfile {
  const found = agentProfiles.find((profile) => profile.name === name);
  if (found === undefined) throw new ApiError('agent_profile_not_found', { text: `Agent profile '${name}' not found` });
  return found;
}

export const agentProfileOf = ({ agentProfiles }: StoredSettings, id: unknown): AgentProfile | undefined =>
  agentProfiles.find((profile) => profile.id === id);

export const activeAgentProfile = (stored: StoredSettings): AgentProfile | undefined =>
  agentProfileOf(stored, stored.scalars[ACTIVE]);

/** Creates or replaces by name; the id stays, the revision goes up. Throws ApiError. */
export function saveAgentProfile(
  stored: StoredSettings,
  name: string,
  body: z.output<typeof agentProfileBody>,
): StoredSettings {
  const known = stored.agentProfiles.find((profile) => profile.name === name);
  if (known === undefined && stored.agentProfiles.length >= MAX_PROFILES)
    throw new ApiError('too_many_profiles', { text: `Agent profile limit reached (${MAX_PROFILES}).` });
  const profile = {
    ...body,
    schema_version: 1,
    id: known?.id ?? randomUUID(),
    name,
    revision: (known?.revision ?? -1) + 1,
  };
  if (JSON.stringify(profile).length > MAX_CHARS)
    throw new ApiError('body_too_large', { text: `An agent profile may have ${MAX_CHARS} characters.` });
  applyChange(emptySettings(), { agent_settings_diff: overridesOf(profile) });
  const agentProfiles =
    known === undefined
      ? [...stored.agentProfiles, profile]
      : stored.agentProfiles.map((one) => (one === known ? profile : one));
  return pointed({ ...stored, agentProfiles }, known !== undefined && stored.scalars[ACTIVE] === known.id, profile);
}

export function renameAgentProfile(stored: StoredSettings, from: string, to: string): StoredSettings {
  const known = agentProfileNamed(stored, from);
  if (stored.agentProfiles.some((profile) => profile.name === to && profile !== known))
    throw new ApiError('profile_exists');
  return {
    ...stored,
    agentProfiles: stored.agentProfiles.map((one) => (one === known ? { ...known, name: to } : one)),
  };
}

/** However often. */
export function removeAgentProfile(stored: StoredSettings, name: string): StoredSettings {
  const agentProfiles = stored.agentProfiles.filter((profile) => profile.name !== name);
  const next = { ...stored, agentProfiles };
  if (activeAgentProfile(next) !== undefined || stored.scalars[ACTIVE] === undefined) return next;
  const { [ACTIVE]: _id, [ACTIVE_REVISION]: _revision, ...scalars } = stored.scalars;
  return { ...next, scalars };
}

/** Only points: what the settings say stays. Throws ApiError. */
export function activateAgentProfile(stored: StoredSettings, id: string): StoredSettings {
  const profile = agentProfileOf(stored, id);
  if (profile === undefined) throw new ApiError('agent_profile_not_found', { text: `Agent profile '${id}' not found` });
  return pointed(stored, true, profile);
}

const pointed = (stored: StoredSettings, isActive: boolean, { id, revision }: AgentProfile): StoredSettings =>
  isActive ? { ...stored, scalars: { ...stored.scalars, [ACTIVE]: id, [ACTIVE_REVISION]: revision } } : stored;

/** What lacks a profile: names that it refers to and that its user does not have (any more). */
export function danglingOf(stored: StoredSettings, profile: AgentProfile): { llm: boolean; mcp: string[] } {
  const servers = serversOf(stored);
  return {
    llm: !Object.hasOwn(stored.profiles, profile.llm_profile_ref),
    mcp: (profile.mcp_server_refs ?? []).filter((name) => !Object.hasOwn(servers, name)),
  };
}

/** In words for the user; empty when the profile can be used. */
export function lacksOf(stored: StoredSettings, profile: AgentProfile): string[] {
  const { llm, mcp } = danglingOf(stored, profile);
  return [
    ...(llm ? [`LLM profile '${profile.llm_profile_ref}' not found`] : []),
    ...mcp.map((name) => `MCP server '${name}' not found`),
  ];
}

/** The settings that a conversation of this profile starts with. For one that lacks nothing. */
export function withAgentProfile(stored: StoredSettings, profile: AgentProfile): StoredSettings {
  const others = Object.fromEntries(Object.entries(stored.agent).filter(([key]) => !key.startsWith('llm.')));
  const agent = { ...others, ...stored.profiles[profile.llm_profile_ref] };
  const next = applyChange({ ...stored, agent }, { agent_settings_diff: overridesOf(profile) });
  return { ...next, agent: { ...next.agent, mcp_config: serversFor(stored, profile) } };
}

function overridesOf(profile: AgentProfile): Doc {
  const { agent, condenser, verification, enable_sub_agents, enable_switch_llm_tool, tool_concurrency_limit } = profile;
  return {
    agent,
    enable_sub_agents,
    enable_switch_llm_tool,
    tool_concurrency_limit,
    ...(condenser === null ? {} : { condenser }),
    ...(verification === null ? {} : { verification }),
  };
}

function serversOf({ agent }: StoredSettings): Doc {
  const servers = settingOf(agent, 'mcp_config');
  return isDoc(servers) ? servers : {};
}

function serversFor(stored: StoredSettings, { mcp_server_refs: refs }: AgentProfile): Doc {
  const servers = Object.entries(serversOf(stored));
  return Object.fromEntries(refs === null ? servers : servers.filter(([name]) => refs.includes(name)));
}

/** What using the profile would come to, without doing it. No secret is in it. */
export function diagnosticsOf(stored: StoredSettings, profile: AgentProfile): Doc {
  const errors = lacksOf(stored, profile);
  const { llm, mcp } = danglingOf(stored, profile);
  const servers = Object.keys(serversFor(stored, profile));
  return {
    agent_kind: profile.agent_kind,
    valid: errors.length === 0,
    errors,
    llm_profile_ref: profile.llm_profile_ref,
    llm_profile_resolved: !llm,
    llm_api_key_set: stored.profiles[profile.llm_profile_ref]?.['llm.api_key'] !== undefined,
    mcp_server_refs: profile.mcp_server_refs,
    resolved_mcp_servers: servers,
    resolved_mcp_config_keys: servers,
    dangling_mcp_server_refs: mcp,
    disabled_skills: profile.disabled_skills,
    resolved_skills: profile.skills.map(({ name }) => name),
    acp_api_key_secret_name: null,
    acp_base_url_secret_name: null,
    acp_file_secret_names: [],
    resolved_settings:
      errors.length > 0
        ? null
        : {
            ...overridesOf(profile),
            agent_kind: profile.agent_kind,
            llm: llmOf(withAgentProfile(stored, profile).agent, { secrets: false }),
          },
  };
}
