import type { Deps } from '../deps.js';
import type { Api } from '../http/schema.js';
import { emptySettings } from '../settings/model.js';
import { settingsStore } from '../settings/store.js';
import { showSettings } from './settings.js';

export function userRoutes(app: Api, { box, clock }: Deps): void {
  app.get('/users/me', async ({ owned, user }) => {
    const stored = (await settingsStore(owned, box, user.id).read()) ?? emptySettings();
    const { provider_tokens_set: _set, ...settings } = await showSettings(owned, stored, new Date(clock.now()));
    return { ...settings, id: user.shown };
  });
}
