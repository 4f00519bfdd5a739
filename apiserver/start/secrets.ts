/** Everything secret that a conversation's agent is given, in the clear; whoever names it last wins. */
import type { Box } from '../db/box.js';
import type { StartTask } from '../db/generated/client.js';
import type { OwnedDb } from '../db/owned.js';
import { readProviderTokens, readSecrets } from '../settings/secrets.js';

export type Secrets = Record<string, { value: string; description?: string | null }>;

export const startPlace = (taskId: string): string => `start/${taskId}`;

/** `refs`: which of the user's named secrets; null: all. Tokens of git providers and what the start brought are always there. */
export async function secretsOf(
  db: OwnedDb,
  box: Box,
  { task, refs }: { task: StartTask; refs: readonly string[] | null },
): Promise<Secrets> {
  const { ownerId } = task;
  const own =
    task.secrets === null ? {} : (JSON.parse(box.open(task.secrets, startPlace(task.id))) as Record<string, string>);
  return {
    ...tokensAsSecrets(await readProviderTokens(db, box, ownerId)),
    ...only(await readSecrets(db, box, ownerId), refs),
    ...Object.fromEntries(Object.entries(own).map(([name, value]) => [name, { value }])),
  };
}

const only = (secrets: Secrets, refs: readonly string[] | null): Secrets =>
  refs === null ? secrets : Object.fromEntries(Object.entries(secrets).filter(([name]) => refs.includes(name)));

/** `GITHUB_TOKEN` and its like: the agent pushes, and asks the provider's API, as its user. */
function tokensAsSecrets(tokens: Record<string, { token: string }>): Secrets {
  return Object.fromEntries(
    Object.entries(tokens).map(([provider, { token }]) => [
      `${provider.toUpperCase()}_TOKEN`,
      { value: token, description: `${provider} authentication token` },
    ]),
  );
}
