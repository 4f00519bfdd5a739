/** What the agent holds of one conversation while it lives: tools, view, models. */
import type { AgentConfig, LlmConfig } from '../../contracts/agent/requests.js';
import { mapWorkspacePath, terminalEnvironment } from '../tools/environment.js';
import type { McpProblem } from '../tools/mcp/config.js';
import type { McpServers } from '../tools/mcp/servers.js';
import { createTools, toolFilter } from '../tools/registry.js';
import type { Models, Tool } from '../tools/tool.js';
import type { AgentConversation, Profiles } from '../seam.js';
import { createBackground, type Background } from './hook-command.js';
import { LINE_RUNNER_WAITING } from './llm/line-runner.js';
import { LINE_RUNNER } from './llm/names.js';
import { openLlm } from './llm/open.js';
import type { Llm } from './llm/types.js';
import { subAgentsOf } from './sub-agent.js';
import { createViewReader, type ViewReader } from './view.js';

export interface Worker {
  conversation: AgentConversation;
  tools: ReadonlyMap<string, Tool>;
  /** Connects MCP servers at the first use, and waits for tools that they announced; gives the servers and tools that are not there. */
  connected(): Promise<readonly McpProblem[]>;
  view: ViewReader;
  /** Actions as the model wrote them, before secrets were masked in the stored event; by event id, while they wait. */
  unmasked: Map<string, Record<string, unknown>>;
  /** Whether the SessionStart hooks ran. */
  session: boolean;
  /** Hooks that nobody waits for. */
  background: Background;
  /** Messages that a hook forbade: they are not answered. */
  blockedMessages: Set<string>;
  /** The model as configured now. */
  llm(): Llm;
  open(config: LlmConfig): Llm;
  close(): Promise<void>;
}

/** A model that understands the reports of the terminal decides itself. */
const MODEL_WAITING = { quietNeedsPort: false, onBusy: 'refuse' as const };

function toolsOf(
  conversation: AgentConversation,
  agent: AgentConfig,
): Pick<ReturnType<typeof createTools>, 'tools' | 'missing'> {
  const subAgents = subAgentsOf(conversation);
  const { profiles } = conversation;
  const made = createTools(
    { tools: agent.tools, defaults: agent.include_default_tools, filter: agent.filter_tools_regex },
    {
      workingDir: conversation.workspaceDir,
      dataDir: conversation.dataDir,
      clock: conversation.clock,
      environment: () => conversation.commandEnvironment(),
      secretsFor: (command) => conversation.secrets.forCommand(command),
      mapPath: (path) => mapWorkspacePath(path),
      waiting: () => (conversation.settings().agent.llm.model === LINE_RUNNER ? LINE_RUNNER_WAITING : MODEL_WAITING),
      ...(subAgents === undefined ? {} : { subAgents }),
      ...(profiles === undefined ? {} : { models: modelsOf(conversation, profiles) }),
    },
  );
  if (made.unknown.length > 0)
    conversation.log.warn({ tools: made.unknown }, 'tools that are not known here are left out');
  return made;
}

const modelsOf = (conversation: AgentConversation, profiles: Profiles): Models => ({
  names: () => profiles.names(),
  async use(profile) {
    const llm = await profiles.find(profile);
    if (llm !== undefined) await conversation.switchLlm({ ...llm, usage_id: `profile:${profile}` });
    return llm?.model;
  },
});

/** Loaded only for agents that have MCP servers. */
async function openMcp(
  conversation: AgentConversation,
  agent: AgentConfig,
  { tools, others }: { tools: Map<string, Tool>; others: boolean },
): Promise<McpServers | undefined> {
  if (Object.keys(agent.mcp_config).length === 0) return undefined;
  const { openMcpServers } = await import('../tools/mcp/servers.js');
  return openMcpServers(tools, {
    config: agent.mcp_config,
    cwd: conversation.workspaceDir,
    environment: () => terminalEnvironment(conversation.commandEnvironment()),
    secretsFor: (words) => conversation.secrets.forCommand(words),
    wanted: toolFilter(agent.filter_tools_regex),
    others,
    log: conversation.log,
  });
}

export function createWorker(conversation: AgentConversation): Worker {
  const { tools, missing } = toolsOf(conversation, conversation.settings().agent);
  const connections: Promise<McpServers | undefined>[] = [];
  const connecting = new Set<string>();
  /** Those that a plugin brought meanwhile, too. */
  const connectNew = () => {
    const { agent } = conversation.settings();
    const servers = Object.entries((agent.mcp_config['mcpServers'] ?? agent.mcp_config) as Record<string, unknown>);
    const fresh = servers.filter(([name]) => !connecting.has(name));
    if (fresh.length === 0) return;
    for (const [name] of fresh) connecting.add(name);
    connections.push(
      openMcp(
        conversation,
        { ...agent, mcp_config: Object.fromEntries(fresh) },
        { tools, others: connections.length > 0 },
      ),
    );
  };
  const background = createBackground();
  let prepared: Promise<unknown> | undefined;
  const open = (config: LlmConfig): Llm => openLlm(config, { clock: conversation.clock, log: conversation.log });
  return {
    conversation,
    tools,
    connected: async () => {
      prepared ??= Promise.all([...tools.values()].map(async (tool) => tool.prepare?.()));
      connectNew();
      await prepared;
      const servers = (await Promise.all(connections)).filter((each) => each !== undefined);
      await Promise.all(servers.map((each) => each.settled()));
      return [...missing, ...servers.flatMap((each) => each.problems)];
    },
    view: createViewReader(conversation),
    unmasked: new Map(),
    blockedMessages: new Set(),
    session: false,
    background,
    open,
    llm: () => open(conversation.settings().agent.llm),
    close: async () => {
      background.end();
      await Promise.all(connections.map(async (opened) => (await opened)?.close()));
      await Promise.all(
        [...tools.values()].map(async (tool) => {
          await tool
            .close?.()
            .catch((error: unknown) => conversation.log.warn({ error, tool: tool.name }, 'a tool did not close'));
        }),
      );
    },
  };
}
