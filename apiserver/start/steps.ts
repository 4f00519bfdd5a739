/**
 * The way of a conversation from request to READY, one function a state. Each is safe to repeat: the process may die
 * anywhere and another goes on from the last state that was written.
 */
import { z } from 'zod';
import { isReady, type Sandbox } from '../../contracts/resources.js';
import { runBash, type BashResult } from '../agent/bash.js';
import { AgentError, endpointOf, type AgentEndpoint, type AgentHttp } from '../agent/http.js';
import type { Box } from '../db/box.js';
import type { PrismaClient, StartTask } from '../db/generated/client.js';
import { ApiError } from '../http/errors.js';
import type { ApiConfig } from '../config.js';
import { specFrom, type SandboxControl } from '../sandboxes/control.js';
import type { SandboxDirectory } from '../sandboxes/directory.js';
import { failureOf, progressOf, slotOf } from '../sandboxes/status.js';
import { readProviderToken, readSecrets } from '../settings/secrets.js';
import { settingsStore } from '../settings/store.js';
import { emptySettings } from '../settings/model.js';
import { ownedBy } from '../db/owned.js';
import { conversationPayload, modelOf } from './payload.js';
import {
  cloneUrlOf,
  foundIn,
  HOOK_COMMAND,
  prepareCommand,
  SETUP_COMMAND,
  WORKSPACE,
  workingDirOf,
} from './repository.js';
import { startRequest, type StartRequest } from './request.js';
import { defaultTitle } from './title.js';

export interface StepDeps {
  prisma: PrismaClient;
  box: Box;
  directory: SandboxDirectory;
  control: SandboxControl;
  agents: AgentHttp;
  config: Pick<ApiConfig, 'secrets' | 'gateway' | 'template' | 'startTimeoutMs'>;
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

export const STEPS: Record<string, Step> = {
  WORKING: createSandbox,
  WAITING_FOR_SANDBOX: waitForSandbox,
  PREPARING_REPOSITORY: prepareRepository,
  RUNNING_SETUP_SCRIPT: runSetup,
  SETTING_UP_GIT_HOOKS: installHook,
  SETTING_UP_SKILLS: () => Promise.resolve(),
  STARTING_CONVERSATION: startConversation,
};

async function createSandbox({
  task,
  request,
  control,
  prisma,
  config,
  directory,
  save,
}: StepContext): Promise<Partial<StartTask>> {
  const { ownerId, conversationId } = task;
  const parent = request.parent_conversation_id;
  const inherited =
    parent === null
      ? null
      : ((await prisma.conversation.findFirst({ where: { id: parent, ownerId } }))?.sandboxId ?? null);
  const reused = request.sandbox_id ?? inherited;
  if (reused !== null) {
    if (directory.get(reused)?.spec.owner !== ownerId) throw new StartError(`There is no sandbox ${reused}.`);
    return { sandboxId: reused };
  }
  // Said before it is made: a crash in between must not leave a sandbox that nobody takes away.
  await save({ sandboxId: conversationId, madeSandbox: true });
  await control.create({ id: conversationId, owner: ownerId, conversationId, spec: specFrom(config.template) });
  return { sandboxId: conversationId };
}

async function waitForSandbox(context: StepContext): Promise<void> {
  const { task, directory, control, config, save } = context;
  const id = sandboxOf(task);
  if (directory.get(id)?.spec.runState === 'Paused') await control.setRunState(id, 'Running');
  const late = AbortSignal.timeout(config.startTimeoutMs);
  let told = task.detail;
  let telling = Promise.resolve();
  let seen = false;
  const look = (sandbox: Sandbox | undefined): true | undefined => {
    seen ||= sandbox !== undefined;
    if (sandbox === undefined && seen) throw new StartError('The sandbox was deleted while it started.');
    if (sandbox === undefined) return undefined;
    const failure = failureOf(sandbox);
    if (failure !== undefined) throw new StartError(`The sandbox cannot start: ${failure}`);
    if (isReady(sandbox)) return true;
    const note = progressOf(sandbox);
    if (note !== told) {
      told = note;
      telling = telling.then(() => save({ detail: note })).catch(() => undefined);
    }
    return undefined;
  };
  try {
    await directory.waitFor(id, look, AbortSignal.any([context.signal, late]));
  } catch (error) {
    if (!late.aborted || context.signal.aborted) throw error;
    throw new StartError(
      `The sandbox was not ready within ${config.startTimeoutMs / 1000} s. Last seen: ${told ?? 'nothing of it'}.`,
    );
  } finally {
    await telling;
  }
}

async function prepareRepository(context: StepContext): Promise<Partial<StartTask>> {
  const { task, request, prisma, box } = context;
  const db = ownedBy(prisma, task.ownerId);
  const stored = (await settingsStore(db, box, task.ownerId).read()) ?? emptySettings();
  const repository = request.selected_repository;
  const provider = request.git_provider ?? 'github';
  const token = repository === null ? null : await readProviderToken(db, box, { ownerId: task.ownerId, provider });
  const dir = workingDirOf(task.conversationId, repository);
  const command = prepareCommand({
    dir,
    cloneUrl: repository === null ? null : cloneUrlOf(repository, provider, token?.host ?? null),
    token: token?.token ?? null,
    branch: request.selected_branch,
    fullClone: stored.scalars.git_full_clone === true,
    userName: textOrNull(stored.scalars.git_user_name),
    userEmail: textOrNull(stored.scalars.git_user_email),
  });
  const result = await bash(context, command, { cwd: WORKSPACE, timeout: repository === null ? 30 : 300 });
  if (result.exitCode !== 0) {
    const where =
      repository === null
        ? 'prepare the workspace'
        : `clone ${repository}${request.selected_branch === null ? '' : ` (branch ${request.selected_branch})`}`;
    throw new StartError(`Could not ${where}: ${lastLines(hide(result.output, token?.token))}`);
  }
  return { notes: foundIn(result.output) };
}

async function runSetup(context: StepContext): Promise<void> {
  if (!notesOf(context.task).setup) return;
  const result = await bash(context, SETUP_COMMAND, { cwd: dirOf(context), timeout: 600 });
  if (result.exitCode !== 0)
    throw new StartError(
      `.openhands/setup.sh of the repository failed with exit code ${result.exitCode}: ${lastLines(result.output)}`,
    );
}

async function installHook(context: StepContext): Promise<void> {
  if (!notesOf(context.task).hook) return;
  const result = await bash(context, HOOK_COMMAND, { cwd: dirOf(context), timeout: 30 });
  if (result.exitCode !== 0)
    throw new StartError(`The repository's pre-commit hook could not be installed: ${lastLines(result.output)}`);
}

async function startConversation(context: StepContext): Promise<void> {
  const { task, request, prisma, box, agents, config } = context;
  const { ownerId, conversationId } = task;
  const db = ownedBy(prisma, ownerId);
  const settings = (await settingsStore(db, box, ownerId).read()) ?? emptySettings();
  const own =
    task.secrets === null ? {} : (JSON.parse(box.open(task.secrets, `start/${task.id}`)) as Record<string, string>);
  const secrets = {
    ...(await readSecrets(db, box, ownerId)),
    ...Object.fromEntries(Object.entries(own).map(([name, value]) => [name, { value }])),
  };
  const sandbox = await readySandbox(context);
  const workingDir = workingDirOf(conversationId, request.selected_repository);
  // The row comes first: the agent's webhooks find it from the first event on.
  await saveConversation(prisma, task, request, { model: modelOf(settings, request.llm_model), workingDir });
  const payload = conversationPayload({
    conversationId,
    workingDir,
    ownerId,
    request,
    settings,
    secrets,
    slot: slotOf(sandbox) ?? '',
    gateway: config.gateway,
  });
  await agents.json(agentOf(context, sandbox), {
    method: 'POST',
    path: '/api/conversations',
    body: payload,
    timeoutMs: 60_000,
    signal: context.signal,
  });
}

async function saveConversation(
  prisma: PrismaClient,
  task: StartTask,
  request: StartRequest,
  known: { model: string; workingDir: string },
): Promise<void> {
  await prisma.conversation.createMany({
    skipDuplicates: true,
    data: [
      {
        id: task.conversationId,
        ownerId: task.ownerId,
        sandboxId: sandboxOf(task),
        title: request.title ?? defaultTitle(task.conversationId),
        selectedRepository: request.selected_repository,
        selectedBranch: request.selected_branch,
        gitProvider: request.git_provider,
        trigger: request.trigger,
        prNumber: request.pr_number,
        llmModel: known.model,
        parentId: request.parent_conversation_id,
        public: request.public,
        tags: { archiveworkspacepath: known.workingDir },
        executionStatus: 'idle',
        workingDir: known.workingDir,
      },
    ],
  });
}

function sandboxOf(task: StartTask): string {
  if (task.sandboxId === null) throw new StartError('The start lost its sandbox; start again.');
  return task.sandboxId;
}

async function readySandbox({ task, directory, signal, config }: StepContext): Promise<Sandbox> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(config.startTimeoutMs)]);
  return await directory.waitFor(
    sandboxOf(task),
    (sandbox) => (sandbox !== undefined && isReady(sandbox) ? sandbox : undefined),
    limit,
  );
}

function agentOf({ config }: StepContext, sandbox: Sandbox): AgentEndpoint {
  const agent = endpointOf(sandbox, config.secrets[0]);
  if (agent === undefined) throw new AgentError('the sandbox has no address', 0);
  return agent;
}

async function bash(
  context: StepContext,
  command: string,
  options: { cwd: string; timeout: number },
): Promise<BashResult> {
  const agent = agentOf(context, await readySandbox(context));
  return await runBash(context.agents, agent, { command, ...options, signal: context.signal });
}

function dirOf({ task, request }: StepContext): string {
  return workingDirOf(task.conversationId, request.selected_repository);
}

const notesSchema = z.object({ setup: z.boolean().default(false), hook: z.boolean().default(false) });
const notesOf = (task: StartTask) => notesSchema.parse(task.notes);
const textOrNull = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
const lastLines = (output: string): string => output.trim().split('\n').slice(-5).join('\n').slice(-1000);
const hide = (text: string, secret: string | undefined): string =>
  secret === undefined ? text : text.replaceAll(secret, '**********');

/** What the user is told when a step fails for good. Nothing of it names an address inside the cluster. */
export function detailOf(error: unknown): string {
  if (error instanceof StartError || error instanceof ApiError) return error.message;
  if (error instanceof AgentError) return `The sandbox runs, but ${error.message}.`;
  return 'The start failed by an internal error; the log of the API server has it.';
}

export function requestOf(task: StartTask): StartRequest {
  return startRequest.parse(task.request);
}
