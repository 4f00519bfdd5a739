/** Named secrets and provider tokens of a user, sealed at rest. */
import type { Box } from '../db/box.js';
import type { OwnedDb } from '../db/owned.js';

export const secretPlace = (ownerId: string, name: string): string => `secrets/${ownerId}/${name}`;
export const tokenPlace = (ownerId: string, provider: string): string => `provider_tokens/${ownerId}/${provider}`;

/** More than anybody names by hand; a bound on what one start carries. */
export const MAX_SECRETS = 500;

export async function readSecrets(
  db: OwnedDb,
  box: Box,
  ownerId: string,
): Promise<Record<string, { value: string; description: string | null }>> {
  const rows = await db.secret.findMany({ take: MAX_SECRETS, orderBy: { name: 'asc' } });
  return Object.fromEntries(
    rows.map((row) => [
      row.name,
      { value: box.open(row.value, secretPlace(ownerId, row.name)), description: row.description },
    ]),
  );
}

/** Names of the git providers that the user connected. */
export async function providersOf(db: OwnedDb): Promise<string[]> {
  const rows = await db.providerToken.findMany({ take: 50, select: { provider: true } });
  return rows.map(({ provider }) => provider);
}

export async function readProviderTokens(
  db: OwnedDb,
  box: Box,
  ownerId: string,
): Promise<Record<string, { token: string; host: string | null }>> {
  const rows = await db.providerToken.findMany({ take: 50, orderBy: { provider: 'asc' } });
  return Object.fromEntries(
    rows.map(({ provider, token, host }) => [
      provider,
      { token: box.open(token, tokenPlace(ownerId, provider)), host },
    ]),
  );
}

export async function readProviderToken(
  db: OwnedDb,
  box: Box,
  whose: { ownerId: string; provider: string },
): Promise<{ token: string; host: string | null } | null> {
  const row = await db.providerToken.findFirst({ where: { provider: whose.provider } });
  return row === null
    ? null
    : { token: box.open(row.token, tokenPlace(whose.ownerId, whose.provider)), host: row.host };
}
