import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import type { OwnedDb } from '../db/owned.js';
import { ApiError } from '../http/errors.js';
import { agentSchema, conversationSchema } from '../settings/schema.js';
import { applyChange, isDoc, shownSettings, type StoredSettings } from '../settings/model.js';
import { settingsStore } from '../settings/store.js';

export function settingsRoutes(app: Api, { box, clock }: Deps): void {
  app.get('/settings', async ({ owned, user }) => {
    const stored = await settingsStore(owned, box, user.id).read();
    if (stored === undefined) throw new ApiError('settings_not_found');
    return {
      ...(await showSettings(owned, stored, new Date(clock.now()))),
      llm_api_key_set: stored.agent['llm.api_key'] !== undefined,
      search_api_key_set: stored.scalars.search_api_key !== undefined,
    };
  });

  app.post('/settings', async ({ body, owned, user }) => {
    if (!isDoc(body))
      throw new ApiError('validation', {
        issues: [{ type: 'dict_type', loc: ['body'], msg: 'Input should be a valid dictionary', input: null }],
      });
    await settingsStore(owned, box, user.id).change((stored) => applyChange(stored, body));
    return { message: 'Settings stored' };
  });

  app.get('/settings/agent-schema', () => agentSchema);
  app.get('/settings/conversation-schema', () => conversationSchema);
}

/** Settings with what the tables beside them add. */
export async function showSettings(
  owned: OwnedDb,
  stored: StoredSettings,
  now: Date,
): Promise<Record<string, unknown>> {
  const tokens = await owned.providerToken.findMany({ select: { provider: true, host: true } });
  return {
    ...shownSettings(stored, { now, providers: tokens.map(({ provider }) => provider) }),
    provider_tokens_set: Object.fromEntries(tokens.map(({ provider, host }) => [provider, host])),
  };
}
