/**
 * Keys of a sandbox, all derived from the installation's secret, so that the gateway needs to read no Secret.
 * Each purpose has its own prefix in the MAC, so that one key never equals another.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

function derive(secret: string, ...parts: string[]): string {
  return createHmac('sha256', secret).update(parts.join('\n')).digest('base64url');
}

/** What clients of the agent server send as X-Session-API-Key. Changes with every claim and resume. */
export function sessionKey(secret: string, slot: string, epoch: number): string {
  return derive(secret, 'session-key', slot, String(epoch));
}

/** OH_SECRET_KEY: encrypts what the agent server stores; stable for the slot's life, or stored secrets are lost. */
export function agentSecretKey(secret: string, slot: string): string {
  return derive(secret, 'agent-secret', slot);
}

/** Opens POST /api/init of a dormant agent server (header X-Init-API-Key). */
export function initKey(secret: string, slot: string): string {
  return derive(secret, 'init', slot);
}

/** Opens the API server's MCP server for the agent of one conversation, as long as there is that conversation. */
export function mcpKey(secret: string, conversationId: string): string {
  return derive(secret, 'mcp', conversationId);
}

/** Compares two secrets without telling by its duration where they differ. */
export function sameSecret(a: string, b: string): boolean {
  const left = createHmac('sha256', 'compare').update(a).digest();
  const right = createHmac('sha256', 'compare').update(b).digest();
  return timingSafeEqual(left, right);
}
