/** `/mcp/mcp`: tools for the agents in sandboxes. Tokens of git providers stay here; agents say what to open. */
import type { FastifyRequest } from 'fastify';
import { ZodError } from 'zod';
import { conversationDashed } from '../../contracts/names.js';
import type { Conversation } from '../db/generated/client.js';
import { ownedBy } from '../db/owned.js';
import type { Deps } from '../deps.js';
import { openProvider } from '../git/open.js';
import { ApiError } from '../http/errors.js';
import type { Api } from '../http/schema.js';
import { hexId } from '../http/validate.js';
import { LOCAL_USER } from '../identity/identity.js';
import { statusOf } from '../sandboxes/status.js';
import { readProviderToken } from '../settings/secrets.js';
import { CONVERSATION_HEADER, MCP_PATH, opensMcp } from './entry.js';
import { answerMcp, type ToolAnswer } from './server.js';
import type { Tool } from './tools.js';

const BODY_LIMIT = 1024 * 1024;
const config = { need: 'sandbox' } as const;

export function mcpRoutes(app: Api, deps: Deps): void {
  app.post(MCP_PATH, { bodyLimit: BODY_LIMIT, config }, async (request, reply) => {
    const conversation = await conversationOfRequest(deps, request);
    const answer = await answerMcp({
      request: webRequest(request),
      body: request.body,
      call: (tool, args) => open(deps, conversation, { tool, args }),
    });
    const text = await answer.text();
    return reply
      .status(answer.status)
      .headers(Object.fromEntries(answer.headers))
      .send(text === '' ? null : text);
  });
  // Nothing is said unasked and no session is kept: clients go on without, when told so.
  for (const method of ['GET', 'DELETE'] as const)
    app.route({
      method,
      url: MCP_PATH,
      config,
      handler: async (request, reply) => {
        await conversationOfRequest(deps, request);
        void reply.header('allow', 'POST');
        throw new ApiError('method_not_allowed');
      },
    });
}

/** The conversation whose agent asks. Throws ApiError 401, the same for a wrong key as for a conversation that is gone. */
async function conversationOfRequest({ db, config: { secrets }, directory }: Deps, request: FastifyRequest) {
  const key = request.headers['x-session-api-key'];
  if (typeof key !== 'string' || key === '') throw new ApiError('no_session_key');
  const id = hexId(String(request.headers[CONVERSATION_HEADER] ?? ''));
  if (id === undefined || !opensMcp(key, id, secrets)) throw new ApiError('bad_session_key');
  const conversation = await db.prisma.conversation.findUnique({ where: { id } });
  const sandbox = conversation === null ? undefined : directory.get(conversation.sandboxId);
  if (conversation === null || sandbox === undefined || statusOf(sandbox) !== 'RUNNING')
    throw new ApiError('bad_session_key');
  const owner = await db.prisma.user.findUnique({ where: { id: conversation.ownerId } });
  if (conversation.ownerId !== LOCAL_USER.id && (owner === null || owner.disabledAt !== null))
    throw new ApiError('user_disabled');
  return conversation;
}

async function open(
  deps: Deps,
  conversation: Conversation,
  { tool, args }: { tool: Tool; args: unknown },
): Promise<ToolAnswer> {
  const { ownerId, id } = conversation;
  const db = ownedBy(deps.db.prisma, ownerId);
  try {
    const wanted = tool.read(args);
    const token = await readProviderToken(db, deps.box, { ownerId, provider: tool.provider });
    if (token === null) return failure(`The user has stored no token for ${tool.provider}; ask them to add one.`);
    const body = wanted.body + linkTo(deps, id);
    const { url, number } = await openProvider(tool.provider, token, deps.gitDispatcher).openPullRequest({
      ...wanted,
      body,
    });
    await db.conversation.update({ where: { id }, data: { prNumber: { push: number } } });
    return { text: url, failed: false };
  } catch (error) {
    if (error instanceof ZodError) return failure(error.issues.map(told).join('; '));
    if (error instanceof ApiError) return failure(error.message);
    deps.log.error({ err: error, conversation_id: id, tool: tool.name }, 'a tool failed');
    return failure('It failed by an internal error.');
  }
}

const failure = (text: string): ToolAnswer => ({ text, failed: true });
const told = ({ path, message }: ZodError['issues'][number]): string =>
  path.length === 0 ? message : `${path.join('.')}: ${message}`;

/** Where the installation has an address for everybody, readers of the pull request find the conversation. */
function linkTo({ config: { identity } }: Deps, id: string): string {
  if (identity.publicUrl === undefined) return '';
  return `\n\n[The conversation that made this](${identity.publicUrl}/conversations/${conversationDashed(id)})`;
}

/** The head of the request in the form of the web; its address is not looked at. */
function webRequest({ method, headers }: FastifyRequest): Request {
  const pairs = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return new Request(`http://sandlot.invalid${MCP_PATH}`, { method, headers: pairs });
}
