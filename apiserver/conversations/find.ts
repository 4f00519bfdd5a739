import type { Conversation } from '../db/generated/client.js';
import type { OwnedDb } from '../db/owned.js';
import type { Deps } from '../deps.js';
import { conversationDashed } from '../../contracts/names.js';
import { endpointOf, type AgentEndpoint } from '../agent/http.js';
import { ApiError } from '../http/errors.js';
import { pathId } from '../http/validate.js';
import { statusOf } from '../sandboxes/status.js';

/** The user's conversation of a path. Throws ApiError 400 or 404. */
export async function findConversation(db: OwnedDb, id: string): Promise<Conversation> {
  const hex = pathId(id);
  const row = await db.conversation.findUnique({ where: { id: hex } });
  if (row === null)
    throw new ApiError('conversation_not_found', { text: `Conversation ${conversationDashed(hex)} not found` });
  return row;
}

/** The agent server of a conversation that must run for what is asked. Throws ApiError 409, 410 or 503, in words for `what`. */
export function runningAgent(
  deps: Pick<Deps, 'directory' | 'config'>,
  conversation: Conversation,
  pausedText?: string,
): AgentEndpoint {
  const sandbox = deps.directory.get(conversation.sandboxId);
  switch (statusOf(sandbox)) {
    case 'PAUSED':
      throw new ApiError('sandbox_paused', { text: pausedText });
    case 'STARTING':
      throw new ApiError('sandbox_not_running', { text: 'Sandbox is STARTING. Try again in a moment.' });
    case 'MISSING':
      throw new ApiError('sandbox_gone');
    case 'ERROR':
      throw new ApiError('sandbox_failed');
    case 'RUNNING': {
      const agent = sandbox === undefined ? undefined : endpointOf(sandbox, deps.config.secrets[0]);
      if (agent === undefined) throw new ApiError('sandbox_not_running');
      return agent;
    }
  }
}
