/**
 * The agent profiles within the settings: named bundles that refer to an LLM profile, MCP servers and secrets by name and hold
 * no key themselves. One is always active. These functions change the settings that they are given.
 */
import { randomUUID } from 'node:crypto';
import { completeLlm } from '../../conversations/llm.js';
import { HttpError, notFound } from '../../http/errors.js';
import type { StoredSettings } from '../settings.js';
import { agentProfileSchema, type AgentProfile, type AgentProfileBody } from './schema.js';

export const DEFAULT_PROFILE = 'default';
const MAX_PROFILES = 50;
/** Of one profile, as JSON: all are read with the settings. */
const MAX_CHARS = 200_000;
const SCHEMA_VERSION = 4;

export const agentProfileOf = ({ agentProfiles }: StoredSettings, id: string | null): AgentProfile | undefined =>
  agentProfiles.find((profile) => profile.id === id);

/** Throws HttpError 404. */
export function agentProfileNamed({ agentProfiles }: StoredSettings, name: string): AgentProfile {
  const found = agentProfiles.find((profile) => profile.name === name);
  if (found === undefined) throw notFound(`Agent profile '${name}' not found`);
  return found;
}

export const lacksActive = (stored: StoredSettings): boolean =>
  agentProfileOf(stored, stored.activeAgentProfileId) === undefined;

/** Where none is active, `default` becomes it; it is made from the settings where it is not there. */
export function ensureActive(stored: StoredSettings): void {
  if (!lacksActive(stored)) return;
  const known = stored.agentProfiles.find(({ name }) => name === DEFAULT_PROFILE);
  const profile = known ?? withIdentity(seedOf(stored), DEFAULT_PROFILE, undefined);
  if (known === undefined) stored.agentProfiles.push(profile);
  stored.activeAgentProfileId = profile.id;
}

function seedOf(stored: StoredSettings): AgentProfileBody {
  const { agent } = stored;
  const { condenser, verification, tool_concurrency_limit, enable_sub_agents } = agent;
  const context = agent['agent_context'] as { system_message_suffix?: unknown } | null | undefined;
  const llm_profile_ref = seedModel(stored);
  const wanted = { condenser, verification, tool_concurrency_limit, enable_sub_agents };
  const given = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value != null));
  const suffix = context?.system_message_suffix ?? null;
  const parsed = agentProfileSchema.safeParse({ llm_profile_ref, system_message_suffix: suffix, ...given });
  return parsed.success ? parsed.data : agentProfileSchema.parse({ llm_profile_ref });
}

/** The active model's profile, or else the settings' model saved as `default`; one that nobody configured is not saved. */
function seedModel(stored: StoredSettings): string {
  if (stored.activeProfile !== null) return stored.activeProfile;
  const given = stored.agent['llm'] as Record<string, unknown> | undefined;
  if (given !== undefined && !Object.hasOwn(stored.profiles, DEFAULT_PROFILE)) {
    const llm = completeLlm(given);
    const isConfigured = [llm.api_key, llm.base_url].some(Boolean) || llm.model.startsWith('builtin/');
    if (isConfigured) stored.profiles[DEFAULT_PROFILE] = llm;
  }
  return DEFAULT_PROFILE;
}

/** Creates or replaces by name; the id stays, the revision goes up. Throws HttpError. */
export function saveAgentProfile(stored: StoredSettings, name: string, body: AgentProfileBody): void {
  const at = stored.agentProfiles.findIndex((profile) => profile.name === name);
  const known = stored.agentProfiles[at];
  if (known === undefined && stored.agentProfiles.length >= MAX_PROFILES)
    throw new HttpError(
      409,
      `Agent profile limit reached (${MAX_PROFILES}). Delete a profile before saving a new one.`,
    );
  const profile = withIdentity(body, name, known);
  if (JSON.stringify(profile).length > MAX_CHARS)
    throw new HttpError(413, `An agent profile may have ${MAX_CHARS} characters as JSON`);
  if (known === undefined) stored.agentProfiles.push(profile);
  else stored.agentProfiles[at] = profile;
}

function withIdentity(
  { skills: _skills, ...body }: AgentProfileBody,
  name: string,
  known: AgentProfile | undefined,
): AgentProfile {
  const revision = known === undefined ? 0 : known.revision + 1;
  return { ...body, schema_version: SCHEMA_VERSION, id: known?.id ?? randomUUID(), name, revision };
}

/** One that is not there is gone already. Without the active one, `default` becomes it. */
export function removeAgentProfile(stored: StoredSettings, name: string): void {
  const found = stored.agentProfiles.find((profile) => profile.name === name);
  if (found === undefined) return;
  stored.agentProfiles = stored.agentProfiles.filter((profile) => profile !== found);
  if (stored.activeAgentProfileId === found.id) ensureActive(stored);
}

/** Throws HttpError 404 or 409. */
export function renameAgentProfile(stored: StoredSettings, from: string, to: string): void {
  const profile = agentProfileNamed(stored, from);
  if (from === to) return;
  if (stored.agentProfiles.some(({ name }) => name === to))
    throw new HttpError(409, `Agent profile '${to}' already exists`);
  profile.name = to;
}

/** Points; what the settings say stays. Throws HttpError 404. */
export function activateAgentProfile(stored: StoredSettings, id: string): void {
  if (agentProfileOf(stored, id) === undefined) throw notFound(`Agent profile '${id}' not found`);
  stored.activeAgentProfileId = id;
}
