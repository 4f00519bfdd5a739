/** The states of a start that prepare the workspace, through the agent server's shell. */
import { runBash, type BashResult } from '../agent/bash.js';
import { uploadFile } from '../agent/files.js';
import type { StartTask } from '../db/generated/client.js';
import { ownedBy } from '../db/owned.js';
import { emptySettings } from '../settings/model.js';
import { readProviderToken } from '../settings/secrets.js';
import { settingsStore } from '../settings/store.js';
import { agentOf, dirOf, notesOf, readySandbox, StartError, type StepContext } from './context.js';
import { cloneUrlOf, foundIn, HOOK_COMMAND, loginOf, prepareCommand, SETUP_COMMAND, WORKSPACE } from './repository.js';

export async function prepareRepository(context: StepContext): Promise<Partial<StartTask>> {
  const { task, request, prisma, box } = context;
  const db = ownedBy(prisma, task.ownerId);
  const stored = (await settingsStore(db, box, task.ownerId).read()) ?? emptySettings();
  // A sub-conversation works where its parent does.
  const repository = request.parent_conversation_id === null ? request.selected_repository : null;
  const provider = request.git_provider ?? 'github';
  const token = repository === null ? null : await readProviderToken(db, box, { ownerId: task.ownerId, provider });
  const login = token === null ? null : loginOf(provider, token.token);
  const passwordFile = `.sandlot-login-${task.id}`;
  const command = prepareCommand({
    dir: dirOf(context),
    cloneUrl: repository === null ? null : urlOf(repository, provider, token?.host ?? null),
    login: login === null ? null : { user: login.user, passwordFile },
    branch: request.selected_branch,
    fullClone: stored.scalars.git_full_clone === true,
    userName: textOrNull(stored.scalars.git_user_name),
    userEmail: textOrNull(stored.scalars.git_user_email),
  });
  if (login !== null) await give(context, `${WORKSPACE}/${passwordFile}`, login.password);
  const result = await bash(context, command, { cwd: WORKSPACE, timeout: repository === null ? 30 : 300 });
  if (result.exitCode !== 0) {
    const where =
      repository === null
        ? 'prepare the workspace'
        : `clone ${repository}${request.selected_branch === null ? '' : ` (branch ${request.selected_branch})`}`;
    throw new StartError(`Could not ${where}: ${lastLines(hide(result.output, login?.password))}`);
  }
  return { notes: { ...notesOf(task), ...foundIn(result.output) } };
}

function urlOf(repository: string, provider: string, host: string | null): string {
  const url = cloneUrlOf(repository, provider, host);
  if (url === undefined)
    throw new StartError(`Store a token for ${provider} with its host; it is not known where it is.`);
  return url;
}

export async function runSetup(context: StepContext): Promise<void> {
  if (!notesOf(context.task).setup) return;
  const result = await bash(context, SETUP_COMMAND, { cwd: dirOf(context), timeout: 600 });
  if (result.exitCode !== 0)
    throw new StartError(
      `.openhands/setup.sh of the repository failed with exit code ${result.exitCode}: ${lastLines(result.output)}`,
    );
}

export async function installHook(context: StepContext): Promise<void> {
  if (!notesOf(context.task).hook) return;
  const result = await bash(context, HOOK_COMMAND, { cwd: dirOf(context), timeout: 30 });
  if (result.exitCode !== 0)
    throw new StartError(`The repository's pre-commit hook could not be installed: ${lastLines(result.output)}`);
}

async function give(context: StepContext, path: string, content: string): Promise<void> {
  const agent = agentOf(context, await readySandbox(context));
  await uploadFile(context.agents, agent, { path, content, signal: context.signal });
}

async function bash(
  context: StepContext,
  command: string,
  options: { cwd: string; timeout: number },
): Promise<BashResult> {
  const agent = agentOf(context, await readySandbox(context));
  return await runBash(context.agents, agent, { command, ...options, signal: context.signal });
}

const textOrNull = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
const lastLines = (output: string): string => output.trim().split('\n').slice(-5).join('\n').slice(-1000);
const hide = (text: string, secret: string | undefined): string =>
  secret === undefined ? text : text.replaceAll(secret, '**********');
