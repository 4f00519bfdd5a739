/**
 * The seam between the server of a pod (conversations, their log, sockets, webhooks, routes) and the agent that works in
 * them (`sandbox/agent/`, `sandbox/tools/`). The server implements `AgentConversation`; the agent implements `AgentRuntime`.
 */
import type { AgentEvent, ExecutionStatus, Message, NewEvent } from '../contracts/agent/events.js';
import type { AgentConfig, ConfirmationPolicy, LlmConfig, SecurityAnalyzer } from '../contracts/agent/requests.js';
import type { TokenUsage } from '../contracts/agent/stats.js';
import type { Logger } from '../process/log.js';

export interface Clock {
  /** Milliseconds since 1970, for what people and files are told; may jump. */
  now(): number;
  /** Milliseconds that only grow, for how long something takes. */
  monotonic(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** What a client asked for at creation and may change later. Read it anew at each step: it changes while a run goes on. */
export interface ConversationSettings {
  /** With its secrets in the clear: never log it, never put it into an event. */
  agent: AgentConfig;
  maxIterations: number;
  /** US dollars that the conversation may cost in all, sub-agents and condensations counted; null: no limit. */
  maxBudget: number | null;
  stuckDetection: boolean;
  confirmationPolicy: ConfirmationPolicy;
  securityAnalyzer: SecurityAnalyzer | null;
  hookConfig: Record<string, unknown> | null;
  title: string | null;
  autotitle: boolean;
}

/** What a judge says of a goal. */
export interface GoalVerdict {
  /** How likely it is that the whole goal is provably reached, from 0 to 1. */
  score: number;
  complete: boolean;
  /** What is left, in short. */
  missing: string;
}

/** One model call, for the statistics. */
export interface ModelUsage {
  usageId: string;
  model: string;
  responseId: string;
  latencySeconds: number;
  costUsd: number;
  tokens: Omit<TokenUsage, 'model' | 'response_id' | 'per_turn_token'>;
  /** True when the price of the model is not known: no entry in `costs` then. */
  priceUnknown?: boolean;
}

/** A conversation on this server that an agent gives a part of its task to: same workspace, same secrets. */
export interface Child {
  /** UUID with dashes. */
  id: string;
  /** What its parent calls it, for instance `task_00000001`; unique among the parent's. */
  name: string;
}

export interface ChildRequest {
  /** Shown as the title; null: the name. */
  description: string | null;
  /** Which kind of sub-agent, for logs and people. */
  type: string;
  agent: AgentConfig;
  maxIterations: number;
  maxBudget: number | null;
  confirmationPolicy: ConfirmationPolicy;
  hookConfig: Record<string, unknown> | null;
}

export interface ChildEnd {
  status: ExecutionStatus;
  /** The last word of its agent; may be empty. */
  answer: string;
  /** What went wrong, in words of the conversation's own error. */
  problem: string | null;
}

export interface Children {
  /** 0 for a conversation that a client made, 1 for its children. */
  readonly depth: number;
  list(): readonly Child[];
  /** Definitions of sub-agents that the client brought with the conversation. */
  definitions(): readonly unknown[];
  create(request: ChildRequest): Promise<Child>;
  /**
   * Says `prompt` to the child and lets it work; resolves when it stopped. Its statistics are in the parent's then, as
   * `task:<name>`. A signal stops it: `signal` now, `pause` after its step.
   */
  work(child: Child, prompt: string, signals: { signal: AbortSignal; pause?: AbortSignal }): Promise<ChildEnd>;
  /** A child for one question, gone afterwards; what it cost is added to the parent's statistics under `usageId`. */
  consult(request: ChildRequest, about: { prompt: string; usageId: string; signal: AbortSignal }): Promise<ChildEnd>;
}

export interface Secrets {
  /** The secrets whose names occur in the command, as environment variables; look-ups are resolved now (bounded time). */
  forCommand(command: string): Promise<Record<string, string>>;
  /** Replaces every secret value that was handed out by `<secret-hidden>`. Put all tool output through it. */
  mask(text: string): string;
  /** The same for a text that comes in pieces: a value that is split over two of them is hidden too. */
  streamMask(): { push(piece: string): string; end(): string };
  /** Names and descriptions, for the system prompt. */
  names(): { name: string; description: string | null }[];
}

/** Saved models of this server, by name. */
export interface Profiles {
  names(): Promise<string[]>;
  /** With its key; undefined when there is none of that name. */
  find(name: string): Promise<LlmConfig | undefined>;
}

export interface AgentConversation {
  /** UUID with dashes. */
  readonly id: string;
  /** The folder that the agent works in, on this machine; it exists. */
  readonly workspaceDir: string;
  /** The conversation's own data folder (`observations/` below it is the tools'). */
  readonly dataDir: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly secrets: Secrets;
  /** Absent where conversations cannot have children. */
  readonly children?: Children;
  /** Absent where no models are saved. */
  readonly profiles?: Profiles;

  settings(): Readonly<ConversationSettings>;
  status(): ExecutionStatus;

  /** Writes an event at the end of the active branch; resolves with it, complete, once it is on disk. Sockets and webhooks follow by themselves. */
  append(event: NewEvent): Promise<AgentEvent>;
  /** To sockets only (streaming deltas). Never waits. */
  publish(event: Extract<NewEvent, { kind: 'StreamingDeltaEvent' }>): void;
  /** The active branch, oldest first, without state updates; read from disk, so keep what you need of it. */
  history(): AsyncIterable<AgentEvent>;
  /** The events of the active branch behind this one, oldest first; undefined when it is not on the active branch (then read history() again). */
  historyAfter(eventId: string): Promise<AgentEvent[] | undefined>;
  /** Last event of the active branch; null when it is empty. */
  leafId(): string | null;

  /** US dollars that it cost so far, sub-agents that ended counted. */
  spent(): number;
  /** Adds a model call to the statistics and announces them. */
  recordUsage(usage: ModelUsage): Promise<void>;
  /** Agent-private state that survives restarts (`agent_state` on the wire); small JSON. */
  agentState(): Readonly<Record<string, unknown>>;
  setAgentState(patch: Record<string, unknown>): Promise<void>;
  setTitle(title: string): Promise<void>;
  /** The next model call goes to this model. A masked key is that of the model before. */
  switchLlm(llm: LlmConfig): Promise<void>;
  /** Actions (by event id) and messages that a hook blocked; `blocked_actions` / `blocked_messages` on the wire. */
  block(what: 'action' | 'message', id: string, reason: string): Promise<void>;
  activateSkills(names: string[]): Promise<void>;

  /**
   * Runs `work` while nobody else writes to the conversation. Short: never around a model call or a tool. Not
   * re-entrant. `append` inside `work` works as always.
   */
  exclusive<T>(work: () => Promise<T>): Promise<T>;
  /**
   * Runs tools with their observations: a PauseEvent that is asked for meanwhile is stored after them. Messages are
   * not held up. `exclusive` may be taken inside, never the other way round.
   */
  whileTools<T>(work: () => Promise<T>): Promise<T>;
  /** Environment for processes of this conversation (already without the server's own OH_* and keys). */
  commandEnvironment(): Record<string, string>;
}

export interface RunSignals {
  /** Pause: finish the step that is under way (its actions and observations), then return `paused`. The server writes the PauseEvent. */
  pause: AbortSignal;
  /** Interrupt or shutdown: stop model call and tools now, write an AgentErrorEvent for each open call, return `interrupted`. The server writes the InterruptEvent. */
  interrupt: AbortSignal;
}

/** How a run ended. The server sets the conversation's status by it and tells the world; `error` has its ConversationErrorEvent written already. */
export type RunEnd = 'finished' | 'paused' | 'interrupted' | 'waiting_for_confirmation' | 'error' | 'stuck';

export interface AgentRuntime {
  /**
   * Stores a user's message: the SystemPromptEvent before it when there is none yet, UserPromptSubmit hooks, activated
   * skills. Called inside the conversation's lock (do not call `exclusive`). Returns the MessageEvent's id.
   */
  receiveMessage(conversation: AgentConversation, message: Message, sender?: string): Promise<string>;
  /**
   * Works until one of RunEnd. Pending actions (waiting for confirmation before) are executed first: who calls `run`
   * accepts them. Writes the SystemPromptEvent when there is none. Never throws for what a model or tool does, but for a full disk.
   */
  run(conversation: AgentConversation, signals: RunSignals): Promise<RunEnd>;
  /** Writes a UserRejectObservation for every pending action; returns how many. Called inside the lock. */
  rejectPending(conversation: AgentConversation, reason: string): Promise<number>;
  /** After a crash inside a run: an AgentErrorEvent for every call without an observation; returns how many. Called inside the lock. */
  recover(conversation: AgentConversation): Promise<number>;
  /** Answers a question about the conversation without changing it. */
  askAgent(conversation: AgentConversation, question: string, signal: AbortSignal): Promise<string>;
  /** Whether the history proves that the goal is reached. */
  judgeGoal(conversation: AgentConversation, objective: string, signal: AbortSignal): Promise<GoalVerdict>;
  /** A title of at most `maxLength` characters from the first messages; falls back to the message's own words. Does not store it. */
  generateTitle(
    conversation: AgentConversation,
    options: { maxLength: number; llm?: LlmConfig; signal: AbortSignal },
  ): Promise<string>;
  /** Makes one small call; null when the model answered, or when only the moment was bad (limits, time). */
  tryModel(llm: LlmConfig, signal: AbortSignal): Promise<{ type: string; message: string } | null>;
  /** Condenses now; throws NoCondenserError when the agent has none. */
  condense(conversation: AgentConversation, signal: AbortSignal): Promise<void>;
  /**
   * Runs the SessionEnd hooks, and ends the conversation's terminals, browsers and other processes. Safe to call twice.
   * `lost`: another server owns it now, nothing is written.
   */
  close(conversation: AgentConversation, how?: { lost?: boolean }): Promise<void>;
}

/** Thrown by `condense`: HTTP 409. */
export class NoCondenserError extends Error {
  constructor() {
    super('Cannot condense conversation: No condenser configured');
    this.name = 'NoCondenserError';
  }
}

/**
 * `sandbox/agent/runtime.ts` exports `createAgentRuntime`, loaded when the first conversation needs it. Tool names and
 * catalog (GET /api/tools/) come from `sandbox/tools/catalog.ts`, which must load without any heavy module:
 * `toolNames(): string[]`, `toolCatalog(): { name: string; description: string }[]`.
 */
export type CreateAgentRuntime = (options: { log: Logger; clock: Clock }) => AgentRuntime;
