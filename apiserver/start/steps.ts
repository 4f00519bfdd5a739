/**
 * The way of a conversation from request to READY, one function a state. Each is safe to repeat: the process may die
 * anywhere and another goes on from the last state that was written.
 */
import { isReady, type Sandbox } from '../../contracts/resources.js';
import { AgentError, type AgentEndpoint } from '../agent/http.js';
import type { Conversation, StartTask } from '../db/generated/client.js';
import { ownedBy } from '../db/owned.js';
import { ApiError } from '../http/errors.js';
import { mcpEntry } from '../mcp/entry.js';
import { specFrom } from '../sandboxes/control.js';
import { failureOf, progressOf, slotOf } from '../sandboxes/status.js';
import { emptySettings } from '../settings/model.js';
import { providersOf } from '../settings/secrets.js';
import { settingsStore } from '../settings/store.js';
import { candidatesOf, chooseSandbox } from './choose.js';
import {
  agentOf,
  dirOf,
  notesOf,
  readySandbox,
  sandboxOf,
  StartError,
  type Step,
  type StepContext,
} from './context.js';
import { launchedProfile, launchOf, launchTags } from './launch.js';
import { conversationPayload, llmPayload, modelOf } from './payload.js';
import { installHook, prepareRepository, runSetup } from './prepare.js';
import { workingDirOf } from './repository.js';
import { startRequest, type StartRequest } from './request.js';
import { secretsOf } from './secrets.js';
import { defaultTitle } from './title.js';

export const STEPS: Record<string, Step> = {
  WORKING: createSandbox,
  WAITING_FOR_SANDBOX: waitForSandbox,
  PREPARING_REPOSITORY: prepareRepository,
  RUNNING_SETUP_SCRIPT: runSetup,
  SETTING_UP_GIT_HOOKS: installHook,
  SETTING_UP_SKILLS: saveProfiles,
  STARTING_CONVERSATION: startConversation,
};

async function createSandbox(context: StepContext): Promise<Partial<StartTask>> {
  const { task, request, control, config, directory, save } = context;
  const { ownerId, conversationId } = task;
  const parent = await parentOf(context);
  const strategy = await strategyOf(context);
  const reused = request.sandbox_id ?? parent?.sandboxId ?? (await sharedSandbox(context, strategy));
  const ownFolder = strategy !== 'NO_GROUPING' || reused !== undefined;
  const dir =
    parent?.workingDir ?? workingDirOf({ conversationId, repository: request.selected_repository, ownFolder });
  const notes = { ...notesOf(task), dir };
  if (reused !== undefined) {
    if (directory.get(reused)?.spec.owner !== ownerId) throw new StartError(`There is no sandbox ${reused}.`);
    return { sandboxId: reused, notes };
  }
  // Said before it is made: a crash in between must not leave a sandbox that nobody takes away.
  await save({ sandboxId: conversationId, madeSandbox: true });
  await control.create({ id: conversationId, owner: ownerId, conversationId, spec: specFrom(config.template) });
  return { sandboxId: conversationId, notes };
}

/** The conversation whose sandbox and folder a sub-conversation uses. Throws StartError when it is not there. */
async function parentOf({ task, request, prisma }: StepContext): Promise<Conversation | undefined> {
  const id = request.parent_conversation_id;
  if (id === null) return undefined;
  const parent = await prisma.conversation.findFirst({ where: { id, ownerId: task.ownerId } });
  if (parent === null) throw new StartError(`There is no conversation ${id} that could be the parent.`);
  return parent;
}

async function strategyOf({ task, prisma, box }: StepContext): Promise<string> {
  const settings = await settingsStore(ownedBy(prisma, task.ownerId), box, task.ownerId).read();
  return String(settings?.scalars.sandbox_grouping_strategy ?? 'NO_GROUPING');
}

/** A sandbox of other conversations, where the user wants conversations to share. One that this start already made stays. */
async function sharedSandbox(context: StepContext, strategy: string): Promise<string | undefined> {
  const { task, prisma, directory } = context;
  if (task.madeSandbox || strategy === 'NO_GROUPING') return undefined;
  const db = ownedBy(prisma, task.ownerId);
  return chooseSandbox(strategy, await candidatesOf(db, { directory, ownerId: task.ownerId }));
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

/** The user's saved models, for the agent that changes between them, its sub-agents and titles. */
async function saveProfiles(context: StepContext): Promise<void> {
  const { task, prisma, box, agents, signal } = context;
  const settings = await settingsStore(ownedBy(prisma, task.ownerId), box, task.ownerId).read();
  if (settings === undefined) return;
  const names = Object.keys(settings.profiles);
  if (names.length === 0) return;
  const agent = agentOf(context, await readySandbox(context));
  const save = (name: string) =>
    agents
      .json(agent, {
        method: 'POST',
        path: `/api/profiles/${encodeURIComponent(name)}`,
        body: { llm: llmPayload(settings, name) },
        signal,
      })
      .catch((error: unknown) => {
        // An agent server that takes no profiles, or not of this name, works without.
        if (!(error instanceof AgentError) || error.status < 400 || error.status >= 500) throw error;
      });
  await Promise.all(names.map(save));
}

async function startConversation(context: StepContext): Promise<void> {
  const { task, request, prisma, box, agents, config } = context;
  const { ownerId, conversationId } = task;
  const db = ownedBy(prisma, ownerId);
  const parent = await parentOf(context);
  const { settings, profile } = launchOf((await settingsStore(db, box, ownerId).read()) ?? emptySettings(), {
    named: request.agent_profile_id,
    model: request.llm_model,
    ...(parent === undefined ? {} : { parent: launchedProfile(parent.tags)?.agent_profile_id ?? null }),
  });
  const secrets = await secretsOf(db, box, { task, refs: profile?.secret_refs ?? null });
  const sandbox = await readySandbox(context);
  const agent = agentOf(context, sandbox);
  const workingDir = dirOf(context);
  // The row comes first: the agent's webhooks find it from the first event on.
  await saveConversation(context, {
    parent,
    model: modelOf(settings, request.llm_model),
    tags: { archiveworkspacepath: workingDir, ...launchTags(profile) },
    workingDir,
  });
  const payload = conversationPayload({
    conversationId,
    workingDir,
    ownerId,
    request,
    settings,
    profile,
    secrets,
    hooks: await hooksOf(context, agent),
    mcp: mcpEntry(conversationId, { ...config, providers: await providersOf(db) }),
    slot: slotOf(sandbox) ?? '',
    gateway: config.gateway,
  });
  await agents.json(agent, {
    method: 'POST',
    path: '/api/conversations',
    body: payload,
    timeoutMs: 60_000,
    signal: context.signal,
  });
}

/** The repository's `.openhands/hooks.json`, read in the sandbox. An agent server that does not know hooks has none. */
async function hooksOf(context: StepContext, agent: AgentEndpoint): Promise<unknown> {
  const answer = await context.agents
    .json(agent, {
      method: 'POST',
      path: '/api/hooks',
      body: { project_dir: dirOf(context) },
      maxBytes: 1024 * 1024,
      signal: context.signal,
    })
    .catch((error: unknown) => {
      if (error instanceof AgentError && error.status >= 400 && error.status < 500) return {};
      throw error;
    });
  return (answer as { hook_config?: unknown } | null)?.hook_config ?? null;
}

async function saveConversation(
  context: StepContext,
  known: { parent: Conversation | undefined; model: string; tags: Record<string, string>; workingDir: string },
): Promise<void> {
  const { task, request, prisma } = context;
  const { parent } = known;
  await prisma.conversation.createMany({
    skipDuplicates: true,
    data: [
      {
        id: task.conversationId,
        ownerId: task.ownerId,
        sandboxId: sandboxOf(task),
        title: request.title ?? defaultTitle(task.conversationId),
        selectedRepository: request.selected_repository ?? parent?.selectedRepository ?? null,
        selectedBranch: request.selected_branch ?? parent?.selectedBranch ?? null,
        gitProvider: request.git_provider ?? parent?.gitProvider ?? null,
        trigger: request.trigger,
        prNumber: request.pr_number,
        llmModel: known.model,
        parentId: request.parent_conversation_id,
        public: request.public,
        tags: known.tags,
        executionStatus: 'idle',
        workingDir: known.workingDir,
      },
    ],
  });
}

/** What the user is told when a step fails for good. Nothing of it names an address inside the cluster. */
export function detailOf(error: unknown): string {
  if (error instanceof StartError || error instanceof ApiError) return error.message;
  if (error instanceof AgentError) return `The sandbox runs, but ${error.message}.`;
  return 'The start failed by an internal error; the log of the API server has it.';
}

export function requestOf(task: StartTask): StartRequest {
  return startRequest.parse(task.request);
}
