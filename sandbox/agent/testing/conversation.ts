/** A conversation in memory, for tests of the loop. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  DEFAULT_SOURCE,
  type AgentEvent,
  type ExecutionStatus,
  type NewEvent,
} from '../../../contracts/agent/events.js';
import type { AgentConfig, LlmConfig } from '../../../contracts/agent/requests.js';
import { systemClock } from '../../../process/clock.js';
import { createLog } from '../../../process/log.js';
import { createStreamMask, maskValues } from '../../masking.js';
import type { AgentConversation, Clock, ConversationSettings, ModelUsage } from '../../seam.js';

export const llmConfig = (over: Partial<LlmConfig>): LlmConfig => ({
  model: 'openai/scripted',
  api_key: 'sk-scripted',
  base_url: null,
  usage_id: 'agent',
  num_retries: 0,
  retry_multiplier: 1,
  retry_min_wait: 1,
  retry_max_wait: 8,
  timeout: 20,
  stream_idle_timeout: null,
  temperature: null,
  top_p: null,
  top_k: null,
  max_input_tokens: null,
  max_output_tokens: null,
  input_cost_per_token: null,
  output_cost_per_token: null,
  stream: false,
  caching_prompt: true,
  native_tool_calling: true,
  reasoning_effort: null,
  extra_headers: null,
  litellm_extra_body: {},
  log_completions: false,
  log_completions_folder: 'logs',
  ...over,
});

export const agentConfig = (llm: Partial<LlmConfig>, over: Partial<AgentConfig> = {}): AgentConfig => ({
  kind: 'Agent',
  llm: llmConfig(llm),
  tools: ['terminal', 'file_editor', 'task_tracker'].map((name) => ({
    name,
    params: name === 'terminal' ? { no_change_timeout_seconds: 0.5 } : {},
  })),
  mcp_config: {},
  filter_tools_regex: null,
  include_default_tools: ['FinishTool', 'ThinkTool'],
  agent_context: null,
  system_prompt: null,
  system_prompt_kwargs: {},
  condenser: null,
  tool_concurrency_limit: 1,
  ...over,
});

export interface TestConversation extends AgentConversation {
  events: AgentEvent[];
  deltas: NewEvent[];
  usages: ModelUsage[];
  change(patch: Partial<ConversationSettings>): void;
  kinds(): string[];
  remove(): void;
}

export interface TestOptions {
  agent: AgentConfig;
  settings?: Partial<ConversationSettings>;
  secrets?: Record<string, string>;
  clock?: Clock;
  env?: Record<string, string>;
}

export function testConversation(options: TestOptions): TestConversation {
  const dir = mkdtempSync(join(tmpdir(), 'agent-test-'));
  const events: AgentEvent[] = [];
  const deltas: NewEvent[] = [];
  const usages: ModelUsage[] = [];
  const secrets = options.secrets ?? {};
  let turn: Promise<unknown> = Promise.resolve();
  let settings: ConversationSettings = {
    agent: options.agent,
    maxIterations: 500,
    maxBudget: null,
    stuckDetection: true,
    confirmationPolicy: { kind: 'NeverConfirm' },
    securityAnalyzer: null,
    hookConfig: null,
    title: null,
    autotitle: false,
    ...options.settings,
  };
  return {
    id: randomUUID(),
    workspaceDir: dir,
    dataDir: join(dir, '.data'),
    log: createLog({ name: 'test', level: 'silent' }),
    clock: options.clock ?? systemClock,
    secrets: {
      forCommand: (command) =>
        Promise.resolve(Object.fromEntries(Object.entries(secrets).filter(([name]) => command.includes(name)))),
      mask: (text) => maskValues(text, Object.values(secrets)),
      streamMask: () => createStreamMask(() => Object.values(secrets)),
      names: () => Object.keys(secrets).map((name) => ({ name, description: null })),
    },
    events,
    deltas,
    usages,
    settings: () => settings,
    change: (patch) => void (settings = { ...settings, ...patch }),
    status: (): ExecutionStatus => 'idle',
    append: (event) => {
      const parent = events.at(-1)?.id;
      const whole = {
        id: randomUUID(),
        timestamp: new Date().toISOString(),
        source: DEFAULT_SOURCE[event.kind],
        ...(parent === undefined ? {} : { parent_id: parent }),
        ...structuredClone(event),
      } as AgentEvent;
      events.push(whole);
      return Promise.resolve(whole);
    },
    publish: (event) => void deltas.push(event),
    async *history() {
      yield* events;
    },
    historyAfter: (id) => {
      const at = events.findIndex((event) => event.id === id);
      return Promise.resolve(at < 0 ? undefined : events.slice(at + 1));
    },
    leafId: () => events.at(-1)?.id ?? null,
    spent: () => usages.reduce((sum, usage) => sum + usage.costUsd, 0),
    recordUsage: (usage) => {
      usages.push(usage);
      return Promise.resolve();
    },
    agentState: () => ({}),
    setAgentState: () => Promise.resolve(),
    setTitle: () => Promise.resolve(),
    switchLlm: (llm) => {
      settings = { ...settings, agent: { ...settings.agent, llm } };
      return Promise.resolve();
    },
    block: () => Promise.resolve(),
    activateSkills: () => Promise.resolve(),
    exclusive: (work) => {
      const done = turn.then(work);
      turn = done.catch(() => undefined);
      return done;
    },
    whileTools: (work) => work(),
    commandEnvironment: () => ({
      PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
      HOME: dir,
      ...options.env,
    }),
    kinds: () => events.map((event) => event.kind),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}
