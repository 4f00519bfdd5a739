/**
 * What a tool is to the agent loop. Names of actions, observations and their fields are those of the OpenHands
 * agent server 1.58 (its openapi.json); null fields are written and dropped where a route drops them.
 */
import type { z } from 'zod';
import type { Child, ChildEnd } from '../seam.js';
import type { AgentDefinition } from '../services/sub-agents.js';
import type { Content, ImageContent, Observation, TextContent, ToolPayload } from '../../contracts/agent/events.js';

export type { Content, Observation };
/** `kind` names the shape, as `TerminalAction`. Fields depend on it. */
export type Action = ToolPayload;

/** Hints for people and clients; the names are MCP's. */
export interface ToolAnnotations {
  title: string;
  readOnlyHint: boolean;
  destructiveHint: boolean;
  idempotentHint: boolean;
  openWorldHint: boolean;
}

export interface RunOptions {
  /** Aborted by an interrupt: the tool stops what it does and rejects or returns soon. */
  signal: AbortSignal;
  /** Aborted by a pause: a tool that works for long by itself (a sub-agent) comes to an end. Most need not look. */
  pause?: AbortSignal;
}

/** What is known of a tool without making one. */
export interface ToolDefinition {
  /** The name that the model calls. */
  name: string;
  /** Class-like names on the wire. */
  kind: string;
  actionKind: string;
  observationKind: string;
  description: string;
  annotations: ToolAnnotations;
  /** Arguments of a call, without `security_risk` and `summary`. Strict: unknown keys are an error. */
  schema: z.ZodObject;
  /** The JSON Schema that the model is told, where the tool brings one of its own; else it is made of `schema`. */
  parameters?: Record<string, unknown>;
  /** How checked arguments are stored, where they are not the action's own fields. */
  toAction?(args: Record<string, unknown>): Action;
  /** Further fields of the tool where events show it. */
  dump?: Record<string, unknown>;
}

export interface Tool extends ToolDefinition {
  /** Runs a validated action. Failures that the model should see are observations with `is_error`. */
  run(action: Action, options: RunOptions): Promise<Observation>;
  /** May run beside its neighbours in an answer; without it, tools that only read do. */
  concurrent?: true;
  /** What must be looked up once before the model sees the tool. */
  prepare?(): Promise<void>;
  /** What the model reads of an observation; without it, its contents. */
  modelContent?(observation: Observation): Content[];
  /** Ends what the tool holds (processes). Safe to call twice. */
  close?(): Promise<void>;
}

interface Clock {
  now(): number;
  monotonic(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Waiting {
  /** Seconds without new output after which a command is reported as still running. */
  quietSeconds?: number;
  /** Silence alone does not end the wait, only that of a program that listens on a port. */
  quietNeedsPort: boolean;
  /** Longest wait for a command that was given no time of its own. */
  longestSeconds?: number;
  /** A command while another one still runs: refused, or run in a fresh terminal while the old one goes on. */
  onBusy: 'refuse' | 'set-aside';
}

export interface ToolContext {
  /** Absolute folder that commands start in. */
  workingDir: string;
  /** The conversation's own folder, for what tools keep (full outputs, the task list). */
  dataDir: string;
  clock: Clock;
  /** Variables of the processes that tools start. */
  environment(): Record<string, string>;
  /** Secrets that a command names, as variables. */
  secretsFor(command: string): Promise<Record<string, string>>;
  /** Maps a path that a client or model says (`/workspace/…`) to the real one. */
  mapPath(path: string): string;
  /** What a tool was asked to be in `agent.tools[].params`. */
  params: Record<string, unknown>;
  /** How the terminal waits, now: it depends on the model, which may be changed. */
  waiting(): Waiting;
  /** Absent where no conversations can be made. */
  subAgents?: SubAgents;
  /** Absent where no models are saved. */
  models?: Models;
}

/** The saved models, and which one works on. */
export interface Models {
  names(): Promise<string[]>;
  /** The conversation goes on with this one from the next call of a model; gives its name, undefined when there is no such profile. */
  use(profile: string): Promise<string | undefined>;
}

/** The sub-agents of this conversation. */
export interface SubAgents {
  readonly depth: number;
  list(): readonly Child[];
  definitions(): Promise<AgentDefinition[]>;
  create(definition: AgentDefinition, description: string | null): Promise<Child>;
  work(child: Child, prompt: string, options: RunOptions): Promise<ChildEnd>;
}

export const text = (value: string): TextContent => ({ cache_prompt: false, type: 'text', text: value });
export const image = (url: string): ImageContent => ({ cache_prompt: false, type: 'image', image_urls: [url] });

/** The text contents, one after the other. */
export function contentText(content: Content[]): string {
  return content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
}
