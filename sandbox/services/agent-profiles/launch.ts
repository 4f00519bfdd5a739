/** What an agent profile comes to with the settings as they are: what it lacks, and the settings that its agent is made of. Pure. */
import type { LlmConfig } from '../../../contracts/agent/requests.js';
import { redactMcp } from '../../conversations/agent.js';
import { redactLlm } from '../../conversations/llm.js';
import type { SecretSource } from '../../conversations/secrets.js';
import { HttpError, notFound } from '../../http/errors.js';
import { mcpServersOf, type StoredSettings } from '../settings.js';
import { agentProfileOf } from './book.js';
import type { AgentProfile, LaunchAdditions, LaunchedAgentProfile } from './schema.js';

type Fields = Record<string, unknown>;

export interface Launch {
  /** Like `agent_settings` of a request, with its secrets. */
  agentSettings: Fields & { llm: LlmConfig };
  secrets: Record<string, SecretSource>;
  launched: LaunchedAgentProfile;
}

interface LaunchRequest {
  agent?: unknown;
  agent_settings?: unknown;
  agent_profile_id?: string | null | undefined;
  agent_launch_additions?: LaunchAdditions | null | undefined;
}

/** The launch of the agent profile that a request names; undefined when it names none. Throws HttpError. */
export function launchFor(request: LaunchRequest, stored: StoredSettings): Launch | undefined {
  const { agent_profile_id: id, agent_launch_additions: additions } = request;
  if (id == null) {
    if (additions?.llm_profile_ref != null)
      throw new HttpError(422, 'agent_launch_additions.llm_profile_ref goes with an agent_profile_id only');
    return undefined;
  }
  if (request.agent != null || request.agent_settings != null)
    throw new HttpError(422, 'agent_profile_id cannot be combined with agent or agent_settings: give one of them');
  return launchOf(stored, id, additions ?? {});
}

/** Throws HttpError: 404 for an unknown profile, 422 for one that refers to what is not there. */
export function launchOf(stored: StoredSettings, id: string, additions: LaunchAdditions): Launch {
  const known = agentProfileOf(stored, id);
  if (known === undefined) throw notFound(`Agent profile '${id}' not found`);
  const ref = additions.llm_profile_ref ?? null;
  const profile = ref === null ? known : { ...known, llm_profile_ref: ref };
  const errors = lacksOf(stored, profile);
  if (errors.length > 0)
    throw new HttpError(422, `Agent profile '${profile.name}' cannot be used: ${errors.join('; ')}`);
  const { revision, secret_refs } = known;
  return {
    agentSettings: agentSettingsOf(stored, profile, additions),
    secrets: savedSecrets(stored, secret_refs),
    launched: { agent_profile_id: id, revision, secret_refs, llm_profile_ref: ref },
  };
}

/** Those of the secrets that a conversation of this profile may have. */
export function allowedSecrets<Secret>(
  secrets: Record<string, Secret>,
  launched: Pick<LaunchedAgentProfile, 'secret_refs'> | undefined,
): Record<string, Secret> {
  const refs = launched?.secret_refs ?? null;
  return refs === null ? secrets : Object.fromEntries(Object.entries(secrets).filter(([name]) => refs.includes(name)));
}

function savedSecrets({ secrets }: StoredSettings, refs: string[] | null): Record<string, SecretSource> {
  return Object.fromEntries(
    Object.entries(allowedSecrets(secrets, { secret_refs: refs })).map(([name, { value, description }]) => [
      name,
      { kind: 'StaticSecret', value, description },
    ]),
  );
}

function danglingOf(stored: StoredSettings, profile: AgentProfile): { llm: boolean; mcp: string[] } {
  const servers = mcpServersOf(stored);
  return {
    llm: !Object.hasOwn(stored.profiles, profile.llm_profile_ref),
    mcp: (profile.mcp_server_refs ?? []).filter((name) => !Object.hasOwn(servers, name)),
  };
}

function lacksOf(stored: StoredSettings, profile: AgentProfile): string[] {
  const { llm, mcp } = danglingOf(stored, profile);
  return [
    ...(llm ? [`LLM profile '${profile.llm_profile_ref}' not found`] : []),
    ...mcp.map((name) => `MCP server '${name}' not found`),
  ];
}

function serversFor(stored: StoredSettings, { mcp_server_refs: refs }: AgentProfile): Fields {
  const servers = Object.entries(mcpServersOf(stored));
  return Object.fromEntries(refs === null ? servers : servers.filter(([name]) => refs.includes(name)));
}

function agentSettingsOf(stored: StoredSettings, profile: AgentProfile, additions: LaunchAdditions) {
  const { condenser } = profile;
  return {
    agent: profile.agent,
    llm: { ...(stored.profiles[profile.llm_profile_ref] as LlmConfig), usage_id: 'agent' },
    tools: profile.tools,
    mcp_config: serversFor(stored, profile),
    persona: profile.persona,
    agent_context: contextOf(stored, profile, additions),
    condenser: condenser.condenser_kind === 'no_op' ? { ...condenser, enabled: false } : condenser,
    tool_concurrency_limit: profile.tool_concurrency_limit,
    enable_sub_agents: profile.enable_sub_agents ?? false,
    enable_switch_llm_tool: profile.enable_switch_llm_tool ?? true,
  };
}

/** The settings' context, with what the profile and then the launch add. A skill that is there already stays as it is. */
function contextOf(stored: StoredSettings, profile: AgentProfile, additions: LaunchAdditions): Fields {
  const context = (stored.agent['agent_context'] ?? {}) as Fields & { skills?: { name: string }[] | null };
  const skills = context.skills ?? [];
  const added = (additions.skills ?? []).filter(({ name }) => !skills.some((skill) => skill.name === name));
  const suffix = [profile.system_message_suffix, additions.system_message_suffix_append].filter(Boolean).join('\n\n');
  return {
    ...context,
    skills: [...skills, ...added].filter(({ name }) => !profile.disabled_skills.includes(name)),
    disabled_skills: profile.disabled_skills,
    system_message_suffix: suffix === '' ? null : suffix,
  };
}

/** What a launch would come to, without doing it (`AgentProfileDiagnostics`). No secret is in it. */
export function diagnosticsOf(stored: StoredSettings, profile: AgentProfile): Fields {
  const errors = lacksOf(stored, profile);
  const { llm, mcp } = danglingOf(stored, profile);
  const settings = agentSettingsOf(stored, profile, {});
  const key = llm ? null : settings.llm.api_key;
  return {
    agent_kind: profile.agent_kind,
    valid: errors.length === 0,
    errors,
    unusable_tools: [],
    llm_profile_ref: profile.llm_profile_ref,
    llm_profile_resolved: !llm,
    llm_api_key_set: (key ?? '').trim() !== '',
    mcp_server_refs: profile.mcp_server_refs,
    resolved_mcp_config_keys: Object.keys(settings.mcp_config),
    resolved_mcp_servers: Object.keys(settings.mcp_config),
    dangling_mcp_server_refs: mcp,
    disabled_skills: profile.disabled_skills,
    public_skills: profile.public_skills,
    resolved_skills: (settings.agent_context['skills'] as { name: string }[]).map(({ name }) => name),
    secret_refs: profile.secret_refs,
    acp_api_key_secret_name: null,
    acp_base_url_secret_name: null,
    acp_file_secret_names: [],
    meta_profile_ref: profile.meta_profile_ref,
    dangling_meta_profile_ref: null,
    dangling_meta_profile_llm_refs: [],
    resolved_settings:
      errors.length > 0
        ? null
        : {
            ...settings,
            agent_kind: profile.agent_kind,
            verification: profile.verification,
            llm: redactLlm(settings.llm, null),
            mcp_config: redactMcp(settings.mcp_config),
          },
  };
}
