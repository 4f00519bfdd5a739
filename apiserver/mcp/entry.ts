/** How the agent of a conversation finds this server's MCP server. */
import { mcpKey, sameSecret } from '../../contracts/keys.js';
import { TOOLS } from './tools.js';

/** In the words of clients of the OpenHands app server. */
export const CONVERSATION_HEADER = 'x-openhands-serverconversation-id';
export const MCP_PATH = '/mcp/mcp';

interface Known {
  /** How sandboxes reach this server. */
  apiUrl?: string | undefined;
  secrets: readonly [string, ...string[]];
  /** That the user connected. */
  providers: readonly string[];
}

/**
 * The entry for `mcp_config`, under the name that the original gives it. Its tools open pull requests: for a user without
 * any git provider they would only make the agent's prompt longer. The key is not the sandbox's session key, which changes
 * with every resume while the agent server keeps what it was told at the start.
 */
export function mcpEntry(conversationId: string, { apiUrl, secrets, providers }: Known): Record<string, unknown> {
  const useful = TOOLS.some(({ provider }) => providers.includes(provider));
  if (apiUrl === undefined || !useful) return {};
  return {
    default: {
      url: `${apiUrl}${MCP_PATH}`,
      headers: {
        'X-OpenHands-ServerConversation-ID': conversationId,
        'X-Session-API-Key': mcpKey(secrets[0], conversationId),
      },
    },
  };
}

/** Whether `key` is that conversation's, also under an earlier secret of the installation. */
export function opensMcp(key: string, conversationId: string, secrets: readonly string[]): boolean {
  return secrets.some((secret) => sameSecret(key, mcpKey(secret, conversationId)));
}
