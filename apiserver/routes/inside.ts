/** What the API server answers by asking the sandbox. */
import { z } from 'zod';
import { conversationDashed } from '../../contracts/names.js';
import { AgentError, endpointOf, type AgentEndpoint, type AgentHttp } from '../agent/http.js';
import { listFiles } from '../agent/listing.js';
import { hooksOf, skillsOf } from '../conversations/brought.js';
import { findConversation, runningAgent } from '../conversations/find.js';
import { planFileOf } from '../conversations/plan.js';
import type { Conversation } from '../db/generated/client.js';
import type { OwnedDb } from '../db/owned.js';
import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { ApiError } from '../http/errors.js';
import { hexId, idPath } from '../http/validate.js';
import { statusOf, slotOf } from '../sandboxes/status.js';
import { workHostsSkill } from '../start/payload.js';

const path = z.string().min(1).max(4000);
const gitQuery = z.object({ path, ref: z.string().max(500).optional() });
const filesQuery = z.object({ path: path.optional() });
const fileQuery = z.object({ file_path: path.optional() });
const GIT_PAUSED = 'Sandbox is paused; resume it before reading git state.';
const FILES_PAUSED = 'Sandbox is paused; resume it before reading its files.';
const MAX_FILE = 10 * 1024 * 1024;

export function insideRoutes(app: Api, deps: Deps): void {
  const git = (what: 'changes' | 'diff') =>
    app.get(
      `/app-conversations/:id/git/${what}`,
      { schema: { params: idPath, querystring: gitQuery } },
      async ({ params, query: wanted, owned }) => {
        const conversation = await findConversation(owned, params.id);
        const agent = runningAgent(deps, conversation, GIT_PAUSED);
        const search = new URLSearchParams({
          path: wanted.path,
          ...(wanted.ref === undefined ? {} : { ref: wanted.ref }),
        });
        const body = await askAgent(deps, agent, `/api/git/${what}?${search.toString()}`);
        return body;
      },
    );
  git('changes');
  git('diff');

  app.get('/app-conversations/:id/skills', { schema: { params: idPath } }, async ({ params, owned }) => {
    const conversation = await findOr404(owned, params.id);
    const sandbox = deps.directory.get(conversation.sandboxId);
    const slot = sandbox === undefined || statusOf(sandbox) !== 'RUNNING' ? undefined : slotOf(sandbox);
    if (slot === undefined) return { skills: [] };
    const { name, content } = workHostsSkill(deps.config.gateway, slot);
    const brought = await brings(deps, conversation, skillsOf);
    return { skills: [...brought, { name, type: 'repo', content, triggers: [] }] };
  });

  app.get('/app-conversations/:id/hooks', { schema: { params: idPath } }, async ({ params, owned }) => {
    return { hooks: await brings(deps, await findOr404(owned, params.id), hooksOf) };
  });

  app.get(
    '/app-conversations/:id/files',
    { schema: { params: idPath, querystring: filesQuery } },
    async ({ params, query, owned }) => {
      const conversation = await findConversation(owned, params.id);
      const agent = runningAgent(deps, conversation, FILES_PAUSED);
      return await fromAgent(listFiles(deps.agents, agent, query.path ?? conversation.workingDir));
    },
  );

  /** The content of a file as a JSON string; empty whatever goes wrong, as recorded: the caller only looks whether there is a plan. */
  app.get(
    '/app-conversations/:id/file',
    { schema: { params: idPath, querystring: fileQuery } },
    async ({ params, query, owned }, reply) => {
      const { file_path } = query;
      const text = await readFile(deps, owned, { id: params.id, file: file_path }).catch(() => '');
      return reply.type('application/json').send(JSON.stringify(text));
    },
  );
}

async function readFile(deps: Deps, owned: OwnedDb, wanted: { id: string; file: string | undefined }): Promise<string> {
  const conversation = await findConversation(owned, wanted.id);
  const file = wanted.file ?? planFileOf(conversation.workingDir);
  const agent = runningAgent(deps, conversation);
  const answer = await deps.agents.send(agent, {
    path: `/api/file/download?path=${encodeURIComponent(file)}`,
    maxBytes: MAX_FILE,
  });
  return answer.status === 200 ? answer.bytes.toString('utf8') : '';
}

/** What the repository of a running conversation brings; nothing of a sandbox that sleeps, or answers what is none of it. */
async function brings<T>(
  deps: Deps,
  conversation: Conversation,
  ask: (agents: AgentHttp, agent: AgentEndpoint, dir: string) => Promise<T[]>,
): Promise<T[]> {
  const sandbox = deps.directory.get(conversation.sandboxId);
  const agent =
    sandbox === undefined || statusOf(sandbox) !== 'RUNNING' ? undefined : endpointOf(sandbox, deps.config.secrets[0]);
  if (agent === undefined) return [];
  return await ask(deps.agents, agent, conversation.workingDir).catch((error: unknown) => {
    deps.log.debug({ err: error, conversation_id: conversation.id }, 'the agent server does not say what there is');
    return [];
  });
}

/** JSON of the agent server, passed on. */
async function askAgent({ agents }: Deps, agent: AgentEndpoint, where: string): Promise<unknown> {
  const answer = await fromAgent(agents.send(agent, { path: where }));
  if (answer.status !== 200) throw new ApiError('agent_failed', { text: `Agent server error: ${answer.status}` });
  try {
    return JSON.parse(answer.bytes.toString('utf8'));
  } catch (cause) {
    throw new ApiError('agent_failed', { cause });
  }
}

/** What the agent server answers; its troubles become 502, without its address. */
async function fromAgent<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (cause) {
    throw new ApiError('agent_failed', {
      cause,
      ...(cause instanceof AgentError ? { text: `The sandbox runs, but ${cause.message}.` } : {}),
    });
  }
}

/** These two routes say `error`, the others `detail`. */
async function findOr404(owned: OwnedDb, id: string): Promise<Conversation> {
  const hex = hexId(id);
  const row = hex === undefined ? null : await owned.conversation.findUnique({ where: { id: hex } });
  if (row === null)
    throw new ApiError('conversation_missing', {
      text: `Conversation ${hex === undefined ? id.slice(0, 100) : conversationDashed(hex)} not found`,
    });
  return row;
}
