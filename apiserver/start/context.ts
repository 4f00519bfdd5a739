/** What a step of a start works with. */
import { z } from 'zod';
import { isReady, type Sandbox } from '../../contracts/resources.js';
import { AgentError, endpointOf, type AgentEndpoint, type AgentHttp } from '../agent/http.js';
import type { Box } from '../db/box.js';
import type { PrismaClient, StartTask } from '../db/generated/client.js';
import type { ApiConfig } from '../config.js';
import type { SandboxControl } from '../sandboxes/control.js';
import type { SandboxDirectory } from '../sandboxes/directory.js';
import { workingDirOf } from './repository.js';
import type { StartRequest } from './request.js';

export interface StepDeps {
  prisma: PrismaClient;
  box: Box;
  directory: SandboxDirectory;
  control: SandboxControl;
  agents: AgentHttp;
  config: Pick<ApiConfig, 'secrets' | 'apiUrl' | 'gateway' | 'template' | 'startTimeoutMs'>;
}

export interface StepContext extends StepDeps {
  task: StartTask;
  request: StartRequest;
  signal: AbortSignal;
  /** Writes a part of the task now, for the next process to find. */
  save(change: Partial<StartTask>): Promise<void>;
}

/** What the user did or can do something about; its message is shown to them. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

export type Step = (context: StepContext) => Promise<Partial<StartTask> | void>;

export function sandboxOf(task: StartTask): string {
  if (task.sandboxId === null) throw new StartError('The start lost its sandbox; start again.');
  return task.sandboxId;
}

export async function readySandbox({ task, directory, signal, config }: StepContext): Promise<Sandbox> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(config.startTimeoutMs)]);
  return await directory.waitFor(
    sandboxOf(task),
    (sandbox) => (sandbox !== undefined && isReady(sandbox) ? sandbox : undefined),
    limit,
  );
}

export function agentOf({ config }: StepContext, sandbox: Sandbox): AgentEndpoint {
  const agent = endpointOf(sandbox, config.secrets[0]);
  if (agent === undefined) throw new AgentError('the sandbox has no address', 0);
  return agent;
}

const notesSchema = z.object({
  /** What the repository brings. */
  setup: z.boolean().default(false),
  hook: z.boolean().default(false),
  /** Where the agent works: chosen with the sandbox. */
  dir: z.string().optional(),
});
export const notesOf = (task: StartTask): z.infer<typeof notesSchema> => notesSchema.parse(task.notes);

/** Where the conversation's agent works. A start of an earlier release that is still on its way has no note of it. */
export function dirOf({ task, request }: StepContext): string {
  const { conversationId } = task;
  return (
    notesOf(task).dir ?? workingDirOf({ conversationId, repository: request.selected_repository, ownFolder: true })
  );
}
